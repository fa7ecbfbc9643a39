"""`faceskd release`: slices that resume, an evaluation after each training, what is written."""

import json
import shutil

import pytest
from helpers.tiny_training import QUICK, TINY

from faceskd.commands import run_command
from faceskd.commands.release import main as release_command
from faceskd.common.config import EXIT_UNFINISHED, compose, to_plain
from faceskd.common.errors import FacesError
from faceskd.jobs.plan import read_plan
from faceskd.models.weights import read_metadata
from faceskd.reproduce.release import with_evaluations

FEW = ["experiment=student_no_kd", *TINY]


def tiny(faces, out, **changes):
    """The config of two tiny trainings, the second from the first's weights."""
    cfg = compose("release", [f"faces={faces}", f"out='{out}'", "slice=0"])
    cfg.jobs = {
        "faces": cfg.jobs.faces,
        "first": {"command": "train", "needs": ["faces"], "uses": ["network"], "overrides": FEW},
        "second": {
            "command": "train",
            "needs": ["faces", "first"],
            "uses": ["network"],
            "overrides": [*FEW, f"init='{out}/first/weights.safetensors'"],
        },
    }
    cfg.shared.train = [*QUICK[1:], "logger=default"]
    cfg.shared.network = [f"data.faces={faces}"]
    cfg.shared.evaluate = [f"faces={faces}", "metrics=[psnr]", "groups=null", "show=0"]
    cfg.update(changes)
    return cfg


def call(cfg):
    """The exit status of one call."""
    try:
        release_command.task(cfg)
    except SystemExit as end:
        return end.code
    return 0


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("release") / "my out"


@pytest.fixture(scope="module")
def statuses(prepared_faces, out):
    """Of as many calls as it took, each with no time for more than one slice."""
    ends = []
    while len(ends) < 12 and ends[-1:] != [0]:
        ends.append(call(tiny(prepared_faces, out)))
    return ends


def log(out):
    lines = (out / "jobs" / "log.jsonl").read_text().splitlines()
    return [(entry["job"], entry["result"]) for entry in map(json.loads, lines)]


def test_a_call_resumes_where_the_last_one_ended(out, statuses):
    assert statuses == [EXIT_UNFINISHED] * 5 + [0]
    assert log(out) == [
        ("first", "unfinished"), ("first", "done"), ("first_val", "done"),
        ("second", "unfinished"), ("second", "done"), ("second_val", "done"),
    ]  # fmt: skip
    assert read_metadata(out / "second/weights.safetensors")["steps"] == 4


def test_what_it_leaves(out, statuses):
    for name in ("first", "second"):
        assert (out / name / "curves.png").is_file()
        assert (out / name / "val/report.md").is_file()
    summary = (out / "summary.md").read_text()
    assert "| first_val | first | 4 |" in summary
    assert "| second_val | bicubic | – |" in summary
    assert "`faceskd train " in summary


def test_what_is_done_is_not_done_again_and_new_weights_are_evaluated(
    prepared_faces, out, statuses
):
    before = log(out)
    assert call(tiny(prepared_faces, out, slice=None)) == 0
    assert log(out) == before
    shutil.copy(out / "first/weights.safetensors", out / "second/weights.safetensors")
    assert call(tiny(prepared_faces, out, slice=None)) == 0
    assert log(out)[len(before) :] == [("second_val", "done")]


@pytest.mark.parametrize("only", ["first", ["first"]])
def test_some_trainings_with_what_they_need_and_their_evaluation(prepared_faces, out, only):
    plan = read_plan(with_evaluations(to_plain(tiny(prepared_faces, out, only=only))))
    assert list(plan) == ["faces", "first", "first_val"]


def test_folders_without_faces_are_told_at_once(tmp_path):
    (tmp_path / "faces").mkdir()
    with pytest.raises(FacesError):
        run_command("release", [f"faces={tmp_path}/faces", f"out={tmp_path}/out"])


def test_the_plan_composes_and_has_at_most_four_phases_a_network(tmp_path):
    cfg = to_plain(compose("release", [f"faces={tmp_path}", f"out={tmp_path}/out"]))
    jobs = read_plan(with_evaluations(cfg))
    phases = dict.fromkeys(("encoder", "teacher", "lite_m", "lite_s"), 0)
    for job in jobs.values():
        composed = compose(job.command, job.overrides) if job.given is None else None
        if job.command == "train":
            assert composed.steps % composed.data.steps_per_epoch == 0
            phases[next(name for name in phases if job.name.startswith(name))] += 1
            is_network = composed.get("model") is not None
            assert (f"{job.name}_val" in jobs) == is_network
            named = {need for need in jobs if f"{tmp_path}/out/{need}/" in job.line()}
            assert named <= {*job.needs, job.name}
    assert all(1 <= count <= 4 for count in phases.values())
