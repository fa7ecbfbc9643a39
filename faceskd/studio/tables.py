"""The tables: users, albums, photos, jobs and results.

Files are in the storage folder under the SHA-256 of their bytes (`faceskd.studio.storage`);
columns named after what they hold (`file`, `preview`, ...) contain that hash. Every such column is
in `FILE_COLUMNS`: a file that none of them names is deleted.
"""

import secrets
from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, ForeignKey, Index, String, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

NEW, READY, BROKEN = "new", "ready", "broken"
QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
OPEN = (QUEUED, RUNNING)

IMPORT = "import"
"""The kind of the jobs that decode a new photo and make its thumbnail; users do not see them."""


def new_id() -> str:
    """A random id, 32 hexadecimal digits."""
    return secrets.token_hex(16)


def utcnow() -> datetime:
    """Now, by this machine's clock."""
    return datetime.now(UTC)


class Moment(TypeDecorator[datetime]):
    """A time with time zone, UTC; SQLite has none and keeps it without."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map: ClassVar = {
        datetime: Moment,
        dict[str, Any]: JSON(none_as_null=True),
        list[dict[str, Any]]: JSON(none_as_null=True),
    }


Id = String(32)
Hash = String(64)


class User(Base):
    """Somebody with an account, or on loopback the one local user.

    Attributes:
        name: as it is shown.
        key: the name as it is compared, see `faceskd.studio.accounts.name_key`.
        password: the Argon2 hash; None for the local user, who cannot log in.
    """

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    key: Mapped[str] = mapped_column(String(200))
    password: Mapped[str | None] = mapped_column(String(200))
    local: Mapped[bool] = mapped_column(default=False)
    created: Mapped[datetime] = mapped_column(default=utcnow)

    __table_args__ = (Index("users_key", "key", unique=True),)


class Login(Base):
    """A session of a browser; the cookie holds a token, the table its SHA-256."""

    __tablename__ = "logins"

    token: Mapped[str] = mapped_column(Hash, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), index=True)
    created: Mapped[datetime] = mapped_column(default=utcnow)
    used: Mapped[datetime] = mapped_column(default=utcnow)
    user: Mapped[User] = relationship(lazy="joined")


class Token(Base):
    """A personal access token for the API; the table holds its SHA-256."""

    __tablename__ = "tokens"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    start: Mapped[str] = mapped_column(String(16))
    token: Mapped[str] = mapped_column(Hash, unique=True)
    created: Mapped[datetime] = mapped_column(default=utcnow)
    used: Mapped[datetime | None]
    user: Mapped[User] = relationship(lazy="joined")


class LoginFailure(Base):
    """A wrong password, by name and by address, for the limit on guesses."""

    __tablename__ = "login_failures"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    key: Mapped[str] = mapped_column(String(100))
    time: Mapped[datetime] = mapped_column(default=utcnow)

    __table_args__ = (Index("login_failures_key", "key", "time"),)


class Album(Base):
    """A user's album."""

    __tablename__ = "albums"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    created: Mapped[datetime] = mapped_column(default=utcnow)


class File(Base):
    """A file in the storage folder; its row is locked while the file is written or deleted."""

    __tablename__ = "files"

    sha256: Mapped[str] = mapped_column(Hash, primary_key=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime] = mapped_column(default=utcnow)


class Photo(Base):
    """A photo as uploaded.

    Attributes:
        name: its file name, without folders.
        state: "new" until a worker has decoded it, then "ready" or "broken".
        error: why it is broken, see `faceskd.studio.problems`.
        width, height: pixels, upright; 0 while it is new.
        direct: it came by `POST /api/v1/restore`, is not shown, and is deleted afterwards.
        changed: when anything here changed, for the events.
    """

    __tablename__ = "photos"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    album_id: Mapped[str | None] = mapped_column(
        ForeignKey(Album.id, ondelete="SET NULL"), index=True
    )
    name: Mapped[str] = mapped_column(String(255))
    file: Mapped[str] = mapped_column(ForeignKey(File.sha256), index=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    format: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), default=NEW)
    error: Mapped[dict[str, Any] | None]
    width: Mapped[int] = mapped_column(default=0)
    height: Mapped[int] = mapped_column(default=0)
    thumbnail: Mapped[str | None] = mapped_column(ForeignKey(File.sha256), index=True)
    preview: Mapped[str | None] = mapped_column(ForeignKey(File.sha256), index=True)
    direct: Mapped[bool] = mapped_column(default=False)
    created: Mapped[datetime] = mapped_column(default=utcnow)
    changed: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow, index=True)

    __table_args__ = (Index("photos_listing", "user_id", "created", "id"),)


class Job(Base):
    """A job of the queue.

    Attributes:
        photo_id: None once the photo was deleted.
        options: of its kind, complete and checked.
        crop: {"x", "y", "side"} of the square to restore, in pixels of the upright photo.
        priority: higher ones are claimed first.
        error: why it failed, or why it is tried again, see `faceskd.studio.problems`.
        attempts: how often a worker has claimed it.
        due: not to be claimed before.
        worker: who has claimed it, and `lease` until when; None where nobody has.
        queued: since when it waits, anew after a retry.
    """

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    photo_id: Mapped[str | None] = mapped_column(
        ForeignKey(Photo.id, ondelete="SET NULL"), index=True
    )
    photo_name: Mapped[str] = mapped_column(String(255))
    kind: Mapped[str] = mapped_column(String(32))
    options: Mapped[dict[str, Any]]
    crop: Mapped[dict[str, Any] | None]
    priority: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(String(16), default=QUEUED)
    progress: Mapped[float] = mapped_column(default=0)
    step: Mapped[str] = mapped_column(String(16), default="waiting")
    error: Mapped[dict[str, Any] | None]
    attempts: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None] = mapped_column(String(100))
    lease: Mapped[datetime | None]
    due: Mapped[datetime] = mapped_column(default=utcnow)
    created: Mapped[datetime] = mapped_column(default=utcnow)
    queued: Mapped[datetime] = mapped_column(default=utcnow)
    started: Mapped[datetime | None]
    finished: Mapped[datetime | None]
    changed: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow, index=True)
    photo: Mapped[Photo | None] = relationship()
    result: Mapped["Result | None"] = relationship(
        lazy="joined", cascade="all, delete-orphan", passive_deletes=True
    )

    __table_args__ = (
        Index("jobs_claim", "state", "priority", "created"),
        Index("jobs_listing", "user_id", "created", "id"),
    )


class Result(Base):
    """What became of a job; its key is the job's, so that there is never a second one.

    Attributes:
        before: the original, or its crop, as a picture of the size of `preview`.
        faces: of the photo, or of its crop: box, status, restored, message.
        seconds: that the work took, its share of a batch.
        processor: what it ran on: the name of a GPU, or of a processor.
        threads: of the processor that the worker used; None on a GPU.
    """

    __tablename__ = "results"

    job_id: Mapped[str] = mapped_column(
        Id, ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True
    )
    file: Mapped[str] = mapped_column(ForeignKey(File.sha256), index=True)
    preview: Mapped[str] = mapped_column(ForeignKey(File.sha256), index=True)
    before: Mapped[str] = mapped_column(ForeignKey(File.sha256), index=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    format: Mapped[str] = mapped_column(String(16))
    width: Mapped[int]
    height: Mapped[int]
    faces: Mapped[list[dict[str, Any]]]
    seconds: Mapped[float]
    processor: Mapped[str | None] = mapped_column(String(200))
    threads: Mapped[int | None]
    created: Mapped[datetime] = mapped_column(default=utcnow)


class Total(Base):
    """A sum that only grows, for /metrics; it survives the deletion of what it counts."""

    __tablename__ = "totals"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    label: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[float] = mapped_column(default=0)


FILE_COLUMNS = (
    Photo.file,
    Photo.thumbnail,
    Photo.preview,
    Result.file,
    Result.preview,
    Result.before,
)
