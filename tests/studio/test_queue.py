"""The queue: each job is done once, whatever dies."""

import threading
import time
from datetime import timedelta

import pytest
from helpers.studio import restore, upload
from sqlalchemy import func, select, update

from faceskd.studio import leases
from faceskd.studio.leases import renewing
from faceskd.studio.problems import Problem
from faceskd.studio.queue import Queue
from faceskd.studio.tables import DONE, FAILED, QUEUED, RUNNING, Job, Photo, Result, Total, utcnow


@pytest.fixture
def queue(place):
    return Queue(place.database, lease_seconds=30, attempts=3)


@pytest.fixture
def jobs(place, queue):
    """Ids of six jobs on one photo, whose import is done."""
    client = place.browser("Mina")
    photo = upload(client)
    (job,) = queue.claim("importer", 1)
    assert queue.finish("importer", job.id, lambda *_: None)
    return [restore(client, photo) for _ in range(6)]


def result(place):
    with place.database.read() as session:
        file = session.scalar(select(Photo.file))
    shown = {"file": file, "preview": file, "before": file}
    size = {"bytes": 1, "format": "JPEG", "width": 1, "height": 1}
    return Result(**shown, **size, faces=[], seconds=2.0)


def rows(place):
    with place.database.read() as session:
        return {job.id: job for job in session.scalars(select(Job)).unique()}


def expire(place, *jobs):
    """Let leases run out."""
    past = utcnow() - timedelta(seconds=1)
    with place.database.write() as session:
        session.execute(update(Job).where(Job.id.in_(jobs)).values(lease=past))


def test_jobs_are_claimed_in_the_order_in_which_they_came(queue, jobs):
    first = [job.id for job in queue.claim("a", 2)]
    second = [job.id for job in queue.claim("b", 10)]
    assert first + second == jobs
    assert queue.claim("c", 1) == []


def test_many_workers_never_claim_the_same_job(place, queue, jobs):
    claimed, lock = [], threading.Lock()

    def work(name):
        while found := queue.claim(name, 1):
            with lock:
                claimed.extend(job.id for job in found)

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(jobs)


def test_an_import_comes_before_jobs_that_waited_longer(place, queue, jobs):
    client = place.browser("Jun")
    upload(client)
    assert queue.claim("a", 1)[0].kind == "import"


def test_a_renewed_lease_lasts_and_an_expired_one_is_taken_over(place, queue, jobs):
    queue.claim("a", 2)
    expire(place, *jobs[:2])
    assert queue.renew("a", jobs[:1]) == {jobs[0]}
    taken = queue.claim("b", 1)
    assert [job.id for job in taken] == [jobs[1]]
    assert taken[0].attempts == 2
    assert queue.renew("a", jobs[:2]) == {jobs[0]}


def test_after_three_dead_workers_a_job_fails_and_says_so(place, queue, jobs):
    for worker in "abc":
        assert jobs[0] in {job.id for job in queue.claim(worker, 1)}
        expire(place, jobs[0])
    assert jobs[0] not in {job.id for job in queue.claim("d", 10)}
    job = rows(place)[jobs[0]]
    assert (job.state, job.attempts) == (FAILED, 3)
    assert job.error == {"code": "workers_died", "values": {"attempts": "3"}}


def test_a_deadly_job_takes_none_of_its_batch_with_it(place, queue, jobs):
    deadly, *others = jobs
    done, batches = set(), []
    while claimed := [job.id for job in queue.claim("a", 4)]:
        batches.append(len(claimed))
        if deadly in claimed:
            expire(place, *claimed)  # the worker dies of it
            continue
        for job in claimed:
            assert queue.finish("a", job, lambda *_: None)
            done.add(job)
    assert batches == [4, 1, 1, 1, 1, 1, 2]
    assert done == set(others)
    found = rows(place)[deadly]
    assert (found.state, found.error["code"]) == (FAILED, "workers_died")


def test_only_the_owner_ends_a_job_and_there_is_one_result(place, queue, jobs):
    queue.claim("a", 1)
    expire(place, jobs[0])
    queue.claim("b", 1)
    assert not queue.finish("a", jobs[0], lambda *_: result(place))
    kept = result(place)
    assert queue.finish("b", jobs[0], lambda *_: kept)
    assert not queue.finish("b", jobs[0], lambda *_: result(place))
    with place.database.read() as session:
        assert session.scalar(select(func.count(Result.job_id))) == 1
    assert rows(place)[jobs[0]].state == DONE


def test_a_result_that_cannot_be_written_leaves_the_job_as_it_was(place, queue, jobs):
    queue.claim("a", 1)

    def broken(session, job):
        session.add(result(place))
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        queue.finish("a", jobs[0], broken)
    assert rows(place)[jobs[0]].state == RUNNING
    with place.database.read() as session:
        assert session.scalar(select(func.count(Result.job_id))) == 0


def test_an_accident_is_tried_again_later_and_thrice_at_most(place, queue, jobs):
    only = jobs[0]
    with place.database.write() as session:
        session.execute(update(Job).where(Job.id != only).values(state=DONE))
    for attempt in (1, 2, 3):
        assert [job.id for job in queue.claim("a", 1)] == [only]
        queue.fail("a", only, Problem("disk_full"), again=True)
        job = rows(place)[only]
        assert (job.attempts, job.error["code"]) == (attempt, "disk_full")
        if attempt < 3:
            assert job.state == QUEUED
            assert queue.claim("b", 1) == []  # not before it is due
            with place.database.write() as session:
                session.execute(update(Job).values(due=utcnow() - timedelta(seconds=1)))
    assert job.state == FAILED


def test_what_fails_for_good_is_not_tried_again(place, queue, jobs):
    queue.claim("a", 1)
    queue.fail("a", jobs[0], Problem("unreadable"), again=False)
    assert rows(place)[jobs[0]].state == FAILED


def test_jobs_given_back_count_no_attempt(place, queue, jobs):
    queue.claim("a", 2)
    queue.release("a", jobs[:2])
    assert {rows(place)[job].attempts for job in jobs[:2]} == {0}
    assert [job.id for job in queue.claim("b", 2)] == jobs[:2]


def test_reports_are_seen_only_from_the_owner(place, queue, jobs):
    queue.claim("a", 1)
    queue.report("a", jobs[:1], "restoring", 0.5)
    queue.report("b", jobs[:1], "writing", 0.9)
    job = rows(place)[jobs[0]]
    assert (job.step, job.progress) == ("restoring", 0.5)


def test_sums_for_the_metrics(place, queue, jobs):
    queue.claim("a", 2)
    queue.finish("a", jobs[0], lambda *_: result(place))
    queue.fail("a", jobs[1], Problem("unreadable"), again=False)
    with place.database.read() as session:
        sums = {(row.name, row.label): row.value for row in session.scalars(select(Total))}
    assert sums["jobs", "none:done"] == sums["jobs", "none:failed"] == 1
    assert sums["work_seconds", "none"] == 2
    assert sums["queue_seconds", "none"] >= 0


def test_leases_are_renewed_while_the_work_goes_on(place, queue, jobs):
    queue.claim("a", 1)
    first = rows(place)[jobs[0]].lease
    queue.lease = timedelta(seconds=100)
    with renewing(queue, "a", jobs[:1], most_seconds=600, every=0.01):
        end = time.monotonic() + 30
        while rows(place)[jobs[0]].lease <= first:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_batch_that_hangs_ends_the_process(place, queue, jobs, monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr(leases.os, "_exit", lambda status: ended.set())
    queue.claim("a", 1)
    with renewing(queue, "a", jobs[:1], most_seconds=0, every=0.01):
        assert ended.wait(30)
