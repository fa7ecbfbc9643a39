"""What restoring costs: seconds per photo, measured by the jobs that were done."""

from statistics import median

from sqlalchemy import select
from sqlalchemy.orm import Session

from faceskd.studio import schemas
from faceskd.studio.tables import Job, Photo, Result

MEASURED_JOBS = 200
SECONDS_PER_MONTH = 30 * 86_400


def cost(session: Session) -> schemas.Cost:
    """The cost, from the newest 200 finished jobs of the kind "photo", of all users.

    Workers may run on different machines. Only jobs on the same processor as the newest count.
    """
    query = (
        select(Result.processor, Result.threads, Result.seconds, Photo.width * Photo.height)
        .join(Job, Job.id == Result.job_id)
        .join(Photo, Photo.id == Job.photo_id)
        .where(Job.kind == "photo", Job.crop.is_(None), Result.seconds > 0)
        .order_by(Result.created.desc())
        .limit(MEASURED_JOBS)
    )
    rows = session.execute(query).tuples().all()
    processor, threads = rows[0][:2] if rows else (None, None)
    same = [row[2:] for row in rows if row[:2] == (processor, threads)]
    each = median(seconds for seconds, _ in same) if same else None
    sized = [1e6 * seconds / pixels for seconds, pixels in same if pixels]
    return schemas.Cost(
        photos=len(same),
        seconds_per_photo=each,
        seconds_per_megapixel=median(sized) if sized else None,
        photos_per_month=int(SECONDS_PER_MONTH / each) if each else None,
        processor=processor,
        threads=threads,
    )
