"""Jobs: queue, list, cancel, retry, and the pictures of their results."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from fastapi.responses import Response
from sqlalchemy import select

from faceskd.studio import library, queue, removal, schemas, views
from faceskd.studio.context import RequestKey, Studio, WithLanguage, WithStudio, WithUser
from faceskd.studio.errors import Refusal, not_found
from faceskd.studio.routes import files
from faceskd.studio.routes.photos import PAGE, Cursor, Limit
from faceskd.studio.tables import Album, Job, Photo, User, utcnow

router = APIRouter(prefix=schemas.API, tags=["jobs"])
JobId = Annotated[schemas.Id, Path(examples=[schemas.EXAMPLE_ID])]


@router.get("/kinds")
def kinds(
    studio: WithStudio, user: WithUser, language: WithLanguage
) -> schemas.Items[schemas.Kind]:
    """Kinds of restoration, with their options."""
    return schemas.Items(items=views.kinds(studio.settings, language))


@router.get("/jobs")
def jobs(
    studio: WithStudio,
    user: WithUser,
    state: Literal["queued", "running", "done", "failed", "cancelled"] | None = None,
    photo: schemas.Id | None = None,
    cursor: Cursor = None,
    limit: Limit = PAGE,
) -> schemas.Page[schemas.Job]:
    """Jobs, newest first."""
    return list_jobs(studio, user, state, photo, cursor, limit)


@router.post("/jobs", status_code=201)
def new_jobs(
    body: schemas.NewJobs, studio: WithStudio, user: WithUser, key: RequestKey = None
) -> schemas.Items[schemas.Job]:
    """Restore photos, or all photos of an album: a job for each."""
    return schemas.Items(items=create(studio, user, body, key))


@router.get("/jobs/{job_id}")
def job(job_id: JobId, studio: WithStudio, user: WithUser) -> schemas.Job:
    """One job."""
    return schemas.Job.of(find(studio, user, job_id))


@router.delete("/jobs/{job_id}", status_code=204)
def delete_job(job_id: JobId, studio: WithStudio, user: WithUser) -> None:
    """Delete a job with its result."""
    remove(studio, user, job_id)


@router.post("/jobs/{job_id}/cancel")
def cancel_job(job_id: JobId, studio: WithStudio, user: WithUser) -> schemas.Job:
    """Cancel a job that waits or runs."""
    return cancel(studio, user, job_id)


@router.post("/jobs/{job_id}/retry")
def retry_job(job_id: JobId, studio: WithStudio, user: WithUser) -> schemas.Job:
    """Queue a job that failed or was cancelled again."""
    return retry(studio, user, job_id)


@router.get("/jobs/{job_id}/file", response_class=Response)
def result_file(job_id: JobId, studio: WithStudio, user: WithUser) -> Response:
    """The result."""
    job = find(studio, user, job_id)
    if job.result is None:
        raise not_found()
    name = files.result_name(job.photo_name, job.result.format)
    return files.download(studio.storage, job.result.file, name, job.result.format)


@router.get("/jobs/{job_id}/preview", response_class=Response)
def result_preview(job_id: JobId, studio: WithStudio, user: WithUser) -> Response:
    """The result, at most 2048 pixels along a side, WebP."""
    result = find(studio, user, job_id).result
    return files.picture(studio.storage, result.preview if result else None)


@router.get("/jobs/{job_id}/before", response_class=Response)
def result_before(job_id: JobId, studio: WithStudio, user: WithUser) -> Response:
    """The original, or its crop, at the size of the result's preview, WebP."""
    result = find(studio, user, job_id).result
    return files.picture(studio.storage, result.before if result else None)


def find(studio: Studio, user: User, job_id: str) -> Job:
    """A job of a user's."""
    with studio.database.read() as session:
        return library.owned(session, Job, job_id, user)


def list_jobs(
    studio: Studio,
    user: User,
    state: str | None = None,
    photo: str | None = None,
    cursor: str | None = None,
    limit: int = PAGE,
) -> schemas.Page[schemas.Job]:
    """A part of a user's jobs."""
    where = [library.is_shown()]
    if state:
        where.append(Job.state == state)
    with studio.database.read() as session:
        if photo:
            library.owned(session, Photo, photo, user)
            where.append(Job.photo_id == photo)
        rows, following = library.page(session, Job, user, cursor, limit, *where)
        return schemas.Page(items=[schemas.Job.of(row) for row in rows], next=following)


def create(
    studio: Studio, user: User, body: schemas.NewJobs, key: str | None = None
) -> list[schemas.Job]:
    """Queue jobs."""
    photos = list(dict.fromkeys(body.photos))
    if body.album is not None:
        with studio.database.read() as session:
            library.owned(session, Album, body.album, user)
            inside = select(Photo.id).where(Photo.album_id == body.album, Photo.state != "broken")
            photos += [key for key in session.scalars(inside) if key not in photos]
    if not photos:
        raise Refusal(422, "invalid", "Choose at least one photo.")
    crop = body.crop.model_dump() if body.crop else None
    rows = library.add_jobs(
        studio.database, studio.settings, user, photos, body.kind, body.options, crop, key=key
    )
    return [find_view(studio, user, row.id) for row in rows]


def find_view(studio: Studio, user: User, job_id: str) -> schemas.Job:
    """A job of a user's, as it is shown."""
    return schemas.Job.of(find(studio, user, job_id))


def cancel(studio: Studio, user: User, job_id: str) -> schemas.Job:
    """Cancel a job of a user's.

    Raises:
        Refusal: it has ended.
    """
    with studio.database.write() as session:
        if not queue.cancel(session, library.owned(session, Job, job_id, user)):
            raise Refusal(409, "conflict", "The job has ended already.")
    return find_view(studio, user, job_id)


def retry(studio: Studio, user: User, job_id: str) -> schemas.Job:
    """Queue a job of a user's again.

    Raises:
        Refusal: it has not failed, its photo was deleted, too many jobs wait, or no room for
            results.
    """
    with studio.database.write() as session:
        job = library.owned(session, Job, job_id, user)
        if job.photo_id is None:
            raise Refusal(409, "conflict", "The photo of this job was deleted.")
        library.check_room(session, studio.settings, user, 1)
        if not queue.retry(session, job, utcnow()):
            raise Refusal(
                409, "conflict", "Only jobs that failed or were cancelled can be retried."
            )
    return find_view(studio, user, job_id)


def remove(studio: Studio, user: User, job_id: str) -> None:
    """Delete a job, and tell the browsers."""
    removal.delete_job(studio.database, studio.storage, user, job_id)
    studio.hub.tell(user.id, "job-deleted", {"id": job_id})
