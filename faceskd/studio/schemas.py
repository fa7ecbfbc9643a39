"""JSON of the API: what comes in, checked, and what goes out."""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from faceskd.studio import problems, tables

Id = Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Password = Annotated[str, StringConstraints(max_length=1000)]
Ids = Annotated[list[Id], Field(min_length=1, max_length=1000)]
Item = TypeVar("Item")
API = "/api/v1"
EXAMPLE_ID = "0f8c2b6a4d5e4c3b9a7f1e2d3c4b5a69"


class Page(BaseModel, Generic[Item]):
    """A part of a list; `next` is the cursor of the next part, null at the end."""

    items: list[Item]
    next: str | None = None


class Items(BaseModel, Generic[Item]):
    """A whole list."""

    items: list[Item]


class ErrorText(BaseModel):
    """Why a request was refused: a word for programs, a sentence for people."""

    code: str = Field(examples=["not_found"])
    message: str = Field(examples=["There is nothing here. It may have been deleted."])


class Error(BaseModel):
    """What a refused request is answered with."""

    error: ErrorText


class Problem(BaseModel):
    """Why a photo cannot be read, or a job cannot be done.

    `code` and `values` are for programs; `message` is the English text.
    """

    code: str = Field(examples=["too_many_pixels"])
    values: dict[str, str] = Field(examples=[{"limit": "50,000,000"}])
    message: str

    @classmethod
    def of(cls, stored: dict[str, Any] | None) -> "Problem | None":
        if stored is None:
            return None
        problem = problems.Problem.from_stored(stored)
        return cls(code=problem.code, values=problem.values, message=str(problem))


class User(BaseModel):
    """Who makes the request."""

    id: Id
    name: str
    local: bool
    created: datetime

    @classmethod
    def of(cls, user: tables.User) -> "User":
        return cls(id=user.id, name=user.name, local=user.local, created=user.created)


class Usage(BaseModel):
    """What a user has, and may have."""

    photos: int
    jobs_waiting: int
    jobs_limit: int
    bytes: int
    bytes_limit: int


class Album(BaseModel):
    """An album; `photos` is their number, `cover` the URL of a thumbnail."""

    id: Id
    name: str
    created: datetime
    photos: int
    cover: str | None


class Face(BaseModel):
    """A face that was found: box x1, y1, x2, y2 in pixels of the photo or its crop."""

    box: tuple[float, float, float, float]
    status: str
    restored: bool
    message: str


class Result(BaseModel):
    """What became of a job, with the URLs of its pictures."""

    width: int
    height: int
    bytes: int
    format: str
    seconds: float
    file: str
    preview: str
    before: str
    faces: list[Face]


class Crop(BaseModel):
    """A square of an upright photo, in pixels."""

    x: int = Field(ge=0, le=100_000)
    y: int = Field(ge=0, le=100_000)
    side: int = Field(ge=8, le=100_000)


class Job(BaseModel):
    """A job: one photo, one kind of restoration."""

    id: Id
    photo_id: Id | None
    photo_name: str
    kind: str
    options: dict[str, Any]
    crop: Crop | None
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    progress: float
    step: str
    error: Problem | None
    attempts: int
    created: datetime
    started: datetime | None
    finished: datetime | None
    result: Result | None

    @classmethod
    def of(cls, job: tables.Job) -> "Job":
        names = set(cls.model_fields) - {"result", "error"}
        values = {name: getattr(job, name) for name in names}
        url = f"{API}/jobs/{job.id}"
        kept = job.result
        result = (
            None
            if kept is None
            else Result(
                **{
                    name: getattr(kept, name)
                    for name in ("width", "height", "bytes", "format", "seconds", "faces")
                },
                file=f"{url}/file",
                preview=f"{url}/preview",
                before=f"{url}/before",
            )
        )
        return cls(**values, error=Problem.of(job.error), result=result)


class Photo(BaseModel):
    """A photo, with the URLs of its file and pictures, and its newest job."""

    id: Id
    album_id: Id | None
    name: str
    state: Literal["new", "ready", "broken"]
    error: Problem | None
    width: int
    height: int
    bytes: int
    format: str
    created: datetime
    file: str
    thumbnail: str | None
    preview: str | None
    job: Job | None
    job_count: int

    @classmethod
    def of(cls, photo: tables.Photo, job: tables.Job | None, job_count: int) -> "Photo":
        names = ("id", "album_id", "name", "state", "width", "height", "bytes", "format")
        url = f"{API}/photos/{photo.id}"
        return cls(
            **{name: getattr(photo, name) for name in names},
            error=Problem.of(photo.error),
            created=photo.created,
            file=f"{url}/file",
            thumbnail=f"{url}/thumbnail" if photo.thumbnail else None,
            preview=f"{url}/preview" if photo.preview else None,
            job=None if job is None else Job.of(job),
            job_count=job_count,
        )


class Choice(BaseModel):
    """A word that an option can be."""

    value: str
    title: str


class Option(BaseModel):
    """A setting of a kind of restoration."""

    name: str
    title: str
    description: str
    type: Literal["number", "choice", "flag"]
    default: float | str | bool
    minimum: float | None
    maximum: float | None
    step: float | None
    choices: list[Choice]


class Kind(BaseModel):
    """A kind of restoration."""

    name: str
    title: str
    description: str
    options: list[Option]


class Token(BaseModel):
    """A personal access token; only its start is known after it was made."""

    id: Id
    name: str
    start: str
    created: datetime
    used: datetime | None


class NewToken(Token):
    """A token with its text, which is shown once."""

    token: str


class Cost(BaseModel):
    """What restoring costs, from the seconds that finished jobs of the kind `photo` took.

    `processor` is what the newest of them ran on, a GPU or a processor; only jobs on the same
    count. `threads` is how many of the processor's a worker used, null on a GPU.
    """

    photos: int
    seconds_per_photo: float | None
    seconds_per_megapixel: float | None
    photos_per_month: int | None
    processor: str | None
    threads: int | None


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Credentials(_Input):
    """A name and a password."""

    name: Name = Field(examples=["Mina"])
    password: Password = Field(examples=["correct horse battery"])


class NewPassword(_Input):
    """The present password and a new one."""

    current: Password
    new: Password


class PasswordOnly(_Input):
    """The password, to confirm."""

    password: Password


class Named(_Input):
    """A name."""

    name: Name = Field(examples=["Grandparents"])


class PhotoChange(_Input):
    """What is to change of a photo; `album_id` null takes it out of its album."""

    name: Name | None = None
    album_id: Id | None = None


class PhotoIds(_Input):
    """Photos."""

    photos: Ids = Field(examples=[[EXAMPLE_ID]])


class Move(PhotoIds):
    """Photos, and the album they go to; null for none."""

    album_id: Id | None


class NewJobs(_Input):
    """What to restore, and how: photos, or all photos of an album."""

    photos: Annotated[list[Id], Field(max_length=1000)] = Field(default=[], examples=[[EXAMPLE_ID]])
    album: Id | None = None
    kind: str = Field(max_length=32, examples=["photo"])
    options: dict[str, float | bool | str] = Field(default={}, examples=[{"scale": 2}])
    crop: Crop | None = None
