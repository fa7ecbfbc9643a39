"""Jobs from a config: their order, what they share, what is impossible."""

from pathlib import Path

import pytest

from faceskd.common.errors import ConfigError
from faceskd.jobs.plan import Job, read_jobs, read_plan, select_jobs

CHAIN = {
    "student": {"command": "restore", "needs": ["teacher"], "overrides": ["student"]},
    "teacher": {"command": "restore", "needs": ["faces"], "overrides": ["teacher"]},
    "rcan": {"command": "restore", "needs": ["faces"], "overrides": ["rcan"]},
    "faces": {"command": "restore", "overrides": ["faces"]},
}


def test_a_job_comes_right_after_what_it_needs_else_as_the_config_has_it(tmp_path):
    assert list(read_jobs(CHAIN, {}, tmp_path)) == ["faces", "teacher", "student", "rcan"]


def test_some_jobs_with_all_that_they_need(tmp_path):
    jobs = read_jobs(CHAIN, {}, tmp_path)
    assert list(select_jobs(jobs, ["student"])) == ["faces", "teacher", "student"]
    with pytest.raises(ConfigError, match=r"expected jobs of faces, .*; got 'rcam'"):
        select_jobs(jobs, ["rcam"])


@pytest.mark.parametrize("only", ["teacher", ["teacher"]])
def test_the_option_only(only, tmp_path):
    options = {"jobs": CHAIN, "shared": {}, "out": str(tmp_path), "only": only}
    assert list(read_plan(options)) == ["faces", "teacher"]


def test_a_job_left_out_is_needed_by_none(tmp_path):
    jobs = read_jobs(CHAIN | {"faces": None}, {}, tmp_path)
    assert list(jobs) == ["teacher", "student", "rcan"]
    assert jobs["teacher"].needs == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"needs": ["photos"]}, "the job faces needs 'photos': there is no such job"),
        ({"needs": ["student"]}, "jobs need each other: "),
        ({"uses": ["gpu"]}, "the job faces uses 'gpu'"),
        ({"override": ["a"]}, "the job faces has 'override': expected command, "),
        ({"given": "nowhere"}, "expected a file or folder for faces at 'nowhere', found none"),
    ],
)
def test_impossible_jobs(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        read_jobs(CHAIN | {"faces": CHAIN["faces"] | change}, {}, tmp_path)


def test_what_is_given_needs_nothing(tmp_path):
    given = CHAIN["teacher"] | {"given": str(tmp_path)}
    jobs = read_jobs(CHAIN | {"teacher": given}, {}, tmp_path)
    assert jobs["teacher"] == Job("teacher", "restore", given=tmp_path)
    assert list(select_jobs(jobs, ["student"])) == ["teacher", "student"]


def test_trainings_get_what_they_share_and_have_the_last_word(tmp_path):
    config = {"rcan": {"command": "train", "uses": ["pixel"], "overrides": ["steps=9"]}}
    shared = {"train": ["steps=5"], "pixel": ["losses=pixel"]}
    (job,) = read_jobs(config, shared, tmp_path).values()
    words = ("steps=5", "losses=pixel", "steps=9", "name=rcan", f"out={tmp_path}/rcan")
    assert job.overrides == words
    assert job.line() == f"faceskd train {' '.join(words)}"


@pytest.mark.parametrize(
    ("command", "words", "output"),
    [
        ("prepare", ("src=a b", "dst='it\\'s here'"), "it's here"),
        ("export", ("out=first", "out=/a/x.onnx"), "/a/x.onnx"),
        ("restore", ("-i", "photos", "-o", "my faces"), "my faces"),
        ("restore", ("--scale", "2"), None),
    ],
)
def test_what_a_command_writes_is_read_off_its_options(command, words, output):
    job = Job("a", command, words)
    assert job.output == job.product == (output and Path(output))


def test_of_a_training_others_use_the_weights():
    assert Job("a", "train", ("out=runs/a",)).product == Path("runs/a/weights.safetensors")
