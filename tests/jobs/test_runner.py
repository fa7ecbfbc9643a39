"""What is done and what is done again, what resumes, what a failure spares, slices."""

import json
import multiprocessing
import os
import signal
import time
from contextlib import nullcontext

import pytest
from rich.console import Console

from faceskd.common.arguments import quoted
from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.common.files import write_text
from faceskd.jobs.markers import Markers
from faceskd.jobs.plan import read_jobs
from faceskd.jobs.report import jobs_section
from faceskd.jobs.runner import Runner


def job(*words, needs=(), command="restore"):
    return {"command": command, "needs": list(needs), "overrides": list(words)}


CHAIN = {
    "faces": job("faces"),
    "teacher": job("teacher", needs=["faces"]),
    "student": job("student", needs=["teacher"]),
    "rcan": job("rcan", needs=["faces"]),
}


def test_what_is_done_is_not_done_again(plan):
    first = plan.run(CHAIN)
    assert plan.names == list(CHAIN)
    again = plan.run(CHAIN)
    assert (plan.names, plan.status) == ([], 0)
    assert [o.cached for o in again.outcomes.values()] == [True] * 4
    assert [o.seconds for o in again.outcomes.values()] == [
        o.seconds for o in first.outcomes.values()
    ]


def test_progress_is_told(plan):
    plan.run(CHAIN)
    lines = plan.printed.splitlines()
    assert [line.strip("─ ") for line in lines if "─" in line] == [
        "[1/4] faces", "[2/4] teacher", "[3/4] student", "[4/4] rcan",
    ]  # fmt: skip
    assert "$ faceskd restore teacher" in lines
    assert "teacher: done after 0.0 s" in lines
    plan.run(CHAIN)
    assert plan.printed.count("done before, in 0.0 s: faceskd restore ") == 4


def test_restart_does_everything_again(plan):
    plan.run(CHAIN)
    plan.run(CHAIN, restart=True)
    assert plan.names == list(CHAIN)


# Keys.


@pytest.mark.parametrize("kind", ["words", "order", "product", "nothing"])
@pytest.mark.parametrize("name", CHAIN)
def test_a_change_is_carried_to_all_that_need_it_and_to_no_other(plan, name, kind):
    """By what a job was told, or by what it made."""
    configs = {n: c | {"overrides": [n, "-o", f"{plan.out}/{n}.bin"]} for n, c in CHAIN.items()}
    for each in CHAIN:
        plan.ends[each] = lambda each=each: (plan.out / f"{each}.bin").write_text("made") and 0
    plan.run(configs)
    after = {"faces": ["teacher", "student", "rcan"], "teacher": ["student"]}.get(name, [])
    expected = {"words": [name, *after], "product": after}.get(kind, [])
    if kind == "words":
        configs[name]["overrides"].append("more")
    elif kind == "order":
        configs = dict(reversed(configs.items()))
    elif kind == "product":
        (plan.out / f"{name}.bin").write_text("another's")
    plan.run(configs)
    assert plan.names == expected
    plan.run(configs)
    assert plan.names == []


def test_a_job_whose_product_is_gone_is_done_again(plan):
    made = plan.out / "a"
    plan.ends["a"] = lambda: made.write_text("a") and 0
    plan.run({"a": job("a", "-o", str(made))})
    made.unlink()
    plan.run({"a": job("a", "-o", str(made))})
    assert plan.names == ["a"]


def test_the_content_of_what_is_given_counts_and_its_place_does_not(plan, tmp_path):
    def configs():
        return {
            "photos": {"command": "portraits", "given": str(photos)},
            "faces": job("faces", f"src={photos}/x", needs=["photos"]),
            "other": job("other"),
        }

    photos = tmp_path / "photo.bin"
    photos.write_text("one")
    plan.run(configs())
    assert plan.names == ["faces", "other"]
    photos = photos.rename(tmp_path / "moved.bin")
    plan.run(configs())
    assert plan.names == []
    photos.write_text("two")
    plan.run(configs())
    assert plan.names == ["faces"]


def test_what_is_given_counts_for_a_job_that_reads_it_without_needing_it(plan, tmp_path):
    def configs():
        return {
            "scene": job("scene", f"+folders={{path:{photos}/train,share:1}}"),
            "other": job("other"),
            "photos": {"command": "portraits", "given": str(photos)},
        }

    photos = tmp_path / "photos"
    write_text(photos / "train" / "a.png", "one")
    plan.run(configs())
    assert plan.names == ["scene", "other"]
    photos = photos.rename(tmp_path / "moved")
    for only in (None, ["scene"]):
        plan.run(configs(), only)
        assert plan.names == []
    write_text(photos / "train" / "a.png", "two")
    plan.run(configs())
    assert plan.names == ["scene"]


def test_a_folder_that_was_moved_is_still_done(plan):
    configs = {"a": job("a", f"faces={plan.out}/x")}
    plan.run(configs)
    plan.out = plan.out.rename(plan.out.with_name("moved"))
    plan.run({"a": job("a", f"faces={plan.out}/x")})
    assert plan.names == []
    plan.out = plan.out.rename(plan.out.with_name("mövéd to here"))  # the path needs quotes
    plan.run({"a": job("a", f"faces={quoted(str(plan.out / 'x'))}")})
    assert plan.names == []


# Interruptions.


@pytest.mark.parametrize("end", [KeyboardInterrupt(), 128 + signal.SIGTERM])
def test_an_interrupted_job_resumes_and_a_changed_one_starts_again(plan, end):
    """Else a teacher would go on with weights that were trained on another dictionary."""

    def training(*words):
        return {"a": job("a"), "b": job("b", *words, needs=["a"], command="train")}

    checkpoint = plan.out / "b" / "last.ckpt"

    def interrupt():
        found.append(checkpoint.is_file())
        checkpoint.parent.mkdir(exist_ok=True)
        checkpoint.write_text("half")
        if isinstance(end, int):
            return end
        raise end

    def finish():
        found.append(checkpoint.is_file())
        checkpoint.parent.mkdir(exist_ok=True)
        (plan.out / "b" / "weights.safetensors").write_text("whole")
        return 0

    found = []
    plan.ends["b"] = interrupt
    for _ in range(2):
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            plan.run(training())
    plan.ends["b"] = finish
    plan.run(training())
    assert found == [False, True, True]
    plan.run(training("wider"))
    assert found == [False, True, True, False]
    assert plan.status == 0


def test_what_another_key_left_is_gone_before_the_new_key_counts(plan):
    """Killed in between, the job must not resume from what the old key left."""
    checkpoint = plan.out / "a" / "last.ckpt"

    def leave():
        checkpoint.parent.mkdir(exist_ok=True)
        checkpoint.write_text("old")
        return 75

    plan.ends["old"] = leave
    plan.run({"a": job("old", command="train")})
    assert checkpoint.is_file()
    plan.ends["new"] = KeyboardInterrupt()  # at once: before the command did anything
    with pytest.raises(KeyboardInterrupt):
        plan.run({"a": job("new", command="train")})
    assert not checkpoint.exists()


def _killed(out, word):
    def command(_, arguments):
        Markers(out).folder.joinpath("begun").touch()
        time.sleep(60)
        return 0

    runner = Runner(out, command, Console(quiet=True))
    runner.run_all(read_jobs({"a": job(word)}, {}, out))


def test_a_killed_job_is_not_done_and_its_lock_is_free(plan):
    process = multiprocessing.get_context("fork").Process(target=_killed, args=(plan.out, "a"))
    process.start()
    while not (plan.out / "jobs" / "begun").exists():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    plan.run({"a": job("a")})
    assert plan.names == ["a"]
    plan.run({"a": job("a")})
    assert plan.names == []


def test_two_processes_do_not_run_the_same_job(plan):
    """The second waits, and says so."""
    seen = []

    def second():
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        process = context.Process(target=_waits, args=(plan.out, queue))
        process.start()
        seen.append(queue.get(timeout=30))
        process.terminate()
        process.join()
        return 0

    plan.ends["a"] = second
    plan.run({"a": job("a")})
    assert seen == ["waiting"]


def _waits(out, queue):
    with Markers(out).lock("a", lambda: queue.put("waiting")):
        queue.put("running")


def test_nothing_is_deleted_that_no_job_wrote(plan):
    own = plan.out / "a" / "diary.txt"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    for _ in range(2):
        runner = plan.run({"a": job("x", command="train")})
        assert "found what this plan did not make" in runner.failures["a"]
        assert (plan.names, own.read_text(), plan.status) == ([], "mine", 1)


def test_nothing_outside_the_folder_is_deleted(plan, tmp_path):
    for place in (tmp_path / "else", plan.out / ".." / "else"):
        (tmp_path / "else").write_text("mine")
        plan.run({"a": job("a", "-o", str(place))})
        plan.run({"a": job("b", "-o", str(place))})
        assert plan.names == ["b"]
        assert (tmp_path / "else").read_text() == "mine"


@pytest.mark.parametrize("text", ["", "{", '{"history": "a"}', "[]"])
def test_a_marker_that_cannot_be_read_is_none(plan, text):
    plan.run({"a": job("a")})
    (plan.out / "jobs" / "a.json").write_text(text)
    plan.run({"a": job("a")})
    assert plan.names == ["a"]


# Failures.


@pytest.mark.parametrize(
    "end", [FaceskdError("no memory"), RuntimeError("no memory"), KeyError(), 2]
)
def test_the_failure_of_one_leaves_the_others(plan, end):
    plan.ends["teacher"] = end
    runner = plan.run(CHAIN)
    assert set(runner.outcomes) == {"faces", "rcan"}
    assert set(runner.failures) == {"teacher", "student"}
    assert runner.failures["student"] == "skipped: it needs teacher, which is not done"
    assert "student: skipped: it needs teacher" in plan.printed
    assert plan.status == 1
    error = plan.out / "jobs" / "teacher.error.txt"
    assert "Error" in error.read_text()
    assert "student" not in plan.names

    plan.ends.clear()
    assert not plan.run(CHAIN).failures
    assert plan.names == ["teacher", "student"]
    assert not error.exists()


def test_some_failed_files_are_told_and_tried_again_and_leave_the_others(plan):
    configs = {"a": job("a"), "b": job("b", needs=["a"])}
    plan.ends["a"] = 1
    for names in (["a", "b"], ["a"]):
        runner = plan.run(configs)
        assert (plan.names, plan.status) == (names, 1)
        assert set(runner.outcomes) == {"a", "b"} and not runner.failures
        assert "a: some files failed: call again to try them again" in plan.printed
        assert "Some files failed in `a`." in jobs_section(runner.outcomes.values())
    plan.ends.clear()
    runner = plan.run(configs)
    assert (plan.names, plan.status) == (["a"], 0)
    assert "failed" not in jobs_section(runner.outcomes.values())
    plan.run(configs)
    assert (plan.names, plan.status) == ([], 0)


# Slices.


def after(plan, seconds, status=0):
    """A command that takes this time."""

    def run():
        plan.now += seconds
        return status

    return run


def test_a_call_ends_when_its_time_is_over_and_the_next_resumes(plan):
    for name in CHAIN:
        plan.ends[name] = after(plan, 60)
    done = []
    for _ in range(5):
        plan.run(CHAIN, seconds=100)
        done.append((plan.names, plan.status))
        assert ("there is more to do: call again" in plan.printed) == (plan.status == 75)
    assert done[:2] == [(["faces", "teacher"], 75), (["student", "rcan"], 0)]
    assert done[2:] == [([], 0)] * 3


def test_every_call_gets_something_done_also_after_a_failure(plan):
    plan.ends = {"teacher": after(plan, 60, 2), **{n: after(plan, 60) for n in ("faces", "rcan")}}
    told = []
    for _ in range(3):
        plan.run(CHAIN, seconds=0)
        told.append((plan.names, plan.status))
    assert told == [(["faces"], 75), (["teacher", "rcan"], 1), (["teacher"], 1)]


def test_trying_failed_files_again_does_not_use_up_a_slice(plan):
    plan.ends = {n: after(plan, 60, n == "faces") for n in CHAIN}
    told = []
    for _ in range(3):
        plan.run(CHAIN, seconds=0)
        told.append((plan.names, plan.status))
    assert told == [(["faces", n], 75) for n in ("teacher", "student")] + [(["faces", "rcan"], 1)]


def test_a_training_is_told_its_time_and_is_not_done_when_it_is_over(plan):
    configs = {"a": job("a", command="train"), "b": job("b", needs=["a"])}
    plan.ends["a"] = after(plan, 90, 75)
    runner = plan.run(configs, seconds=90061.4)
    assert plan.calls[0][-1] == "trainer.max_time=01:01:01:01"
    assert (plan.names, plan.status, runner.outcomes) == (["a"], 75, {})
    weights = plan.out / "a" / "weights.safetensors"
    weights.parent.mkdir()
    plan.ends["a"] = lambda: weights.write_text("whole") and 0
    runner = plan.run(configs)
    assert plan.calls[0] == ["train", "a", "name=a", f"out={plan.out}/a"]
    assert (plan.names, plan.status) == (["a", "b"], 0)
    log = [json.loads(line) for line in (plan.out / "jobs" / "log.jsonl").read_text().splitlines()]
    assert [(e["job"], e["result"]) for e in log] == [
        ("a", "unfinished"), ("a", "done"), ("b", "done"),
    ]  # fmt: skip
    assert {"time", "machine", "git_revision", "command", "seconds"} < set(log[0])


def test_the_time_of_all_slices_is_added(plan, monkeypatch):
    monkeypatch.setattr("faceskd.jobs.runner.time.perf_counter", lambda: plan.now)
    configs = {"a": job("a", command="train")}
    plan.ends["a"] = after(plan, 90, 75)
    plan.run(configs, seconds=60)
    plan.run(configs, seconds=60)
    plan.ends["a"] = after(plan, 10)
    assert plan.run(configs).outcomes["a"].seconds == 190


@pytest.mark.parametrize(
    ("end", "result"),
    [(KeyboardInterrupt(), "stopped"), (128 + signal.SIGTERM, "stopped"), (2, "failed")],
)
def test_the_time_of_a_call_that_ended_early_is_added(plan, monkeypatch, end, result):
    monkeypatch.setattr("faceskd.jobs.runner.time.perf_counter", lambda: plan.now)
    configs = {"a": job("a", command="train")}

    def stop():
        plan.now += 90
        if isinstance(end, BaseException):
            raise end
        return end

    plan.ends["a"] = stop
    with nullcontext() if end == 2 else pytest.raises((KeyboardInterrupt, SystemExit)):
        plan.run(configs)
    plan.ends["a"] = after(plan, 10)
    assert plan.run(configs).outcomes["a"].seconds == 100
    log = [json.loads(line) for line in (plan.out / "jobs" / "log.jsonl").read_text().splitlines()]
    assert [(e["result"], e["seconds"]) for e in log] == [(result, 90), ("done", 10)]


def test_a_restart_in_slices_says_how_to_go_on(plan):
    plan.ends["faces"] = after(plan, 60)
    plan.run(CHAIN, seconds=1, restart=True)
    assert "there is more to do: call again, without restart=true" in plan.printed


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "30m"])
def test_a_time_that_is_none(plan, seconds):
    with pytest.raises(ConfigError, match="expected slice as seconds"):
        plan.run(CHAIN, seconds=seconds)
