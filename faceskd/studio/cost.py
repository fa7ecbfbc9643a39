"""What restoring costs: seconds per photo, measured by the jobs that were done."""

import os
import platform
from functools import cache
from statistics import median

from sqlalchemy import select
from sqlalchemy.orm import Session

from faceskd.studio import schemas
from faceskd.studio.tables import Job, Photo, Result

MEASURED_JOBS = 200
SECONDS_PER_MONTH = 30 * 86_400


def cost(session: Session) -> schemas.Cost:
    """The cost, from the newest 200 finished jobs of the kind "photo", of all users."""
    query = (
        select(Result.seconds, Photo.width * Photo.height)
        .join(Job, Job.id == Result.job_id)
        .join(Photo, Photo.id == Job.photo_id)
        .where(Job.kind == "photo", Job.crop.is_(None))
        .order_by(Result.created.desc())
        .limit(MEASURED_JOBS)
    )
    rows = [(seconds, pixels) for seconds, pixels in session.execute(query) if seconds > 0]
    each = median(seconds for seconds, _ in rows) if rows else None
    sized = [1e6 * seconds / pixels for seconds, pixels in rows if pixels]
    return schemas.Cost(
        photos=len(rows),
        seconds_per_photo=each,
        seconds_per_megapixel=median(sized) if sized else None,
        photos_per_month=int(SECONDS_PER_MONTH / each) if each else None,
        machine=processor(),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        gpu=None,
    )


@cache
def processor() -> str:
    """The name of this machine's processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            names = [line.split(":", 1)[1].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
