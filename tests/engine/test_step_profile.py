"""Where the time of a step goes, without touching the training in the same folder."""

import json

import pytest

from faceskd.common.config import compose
from faceskd.common.errors import ConfigError
from faceskd.engine.base import Engine
from faceskd.engine.step_profile import StepProfile
from faceskd.engine.training import train

pytestmark = pytest.mark.filterwarnings(
    "ignore:The number of training batches",
    "ignore:Found .* in eval mode",
    "ignore:The dataloader, .* does not have many workers",
    "ignore:Checkpoint directory .* exists",
    "ignore:.*Profiler",
)


@pytest.fixture
def profile(words):
    def start(*overrides):
        line = [word for word in words("experiment=student_no_kd") if "callbacks." not in word]
        return train(compose("train", [*line, "callbacks=step_profile", *overrides]))

    return start


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


SHORT = [f"callbacks.step_profile.{name}=1" for name in ("warmup", "timed", "profiled")]


@pytest.mark.parametrize("resume", ["true", "false"])
def test_steps_are_measured_and_a_training_stays_as_it_is(run, profile, tmp_path, resume):
    run("experiment=student_no_kd")
    before = files(tmp_path / "run")
    other = ["steps=8", "data.steps_per_epoch=4", "data.batch_size=1", f"resume={resume}"]
    trained = profile(*SHORT, *other, "logger=default")
    assert trained.profiled and trained.weights is None and trained.steps == 3
    after = files(tmp_path / "run")
    record = after.pop(tmp_path / "run" / "step_profile.json")
    assert after == before
    figures = json.loads(record)
    assert figures["faces_per_second"] > 0
    assert sum(figures["share"].values()) == pytest.approx(1)


def test_validation_is_no_time_of_a_step(profile, monkeypatch):
    """An epoch has two steps, so that one ends among the timed steps."""
    validated = []
    monkeypatch.setattr(Engine, "validation_step", lambda *_: validated.append(1))
    assert profile(*SHORT, "callbacks.step_profile.timed=2").steps == 4
    assert not validated


def test_a_training_that_is_too_short_to_measure_is_said(profile, tmp_path, capsys):
    assert profile().profiled
    said = "measured nothing: expected at least 35 steps, got 4: set steps=35 or more"
    assert said in capsys.readouterr().err
    assert set(files(tmp_path / "run")) == {tmp_path / "run" / ".lock"}


@pytest.mark.parametrize("name", ["warmup", "timed", "profiled"])
def test_numbers_of_steps_are_checked(name, tmp_path):
    with pytest.raises(ConfigError, match=rf"step_profile\.{name} as a whole number of at least 1"):
        StepProfile(out=tmp_path, **{name: 0})
