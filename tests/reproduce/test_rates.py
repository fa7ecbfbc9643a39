"""The rule that chooses learning rates, and the jobs that apply it."""

import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.jobs.plan import read_plan
from faceskd.jobs.runner import Runner
from faceskd.reproduce.rates import complete, rate_rows, rates_section, with_rates
from faceskd.reproduce.seeds import seeded_options

FIGURES = {  # (PSNR, LPIPS) at each rate
    "0.0001": (25.0, 0.50),
    "0.001": (25.9, 0.44),
    "0.01": (26.0, 0.46),  # more PSNR, but the product with LPIPS is larger
}


def options(out, **more):
    return {
        "out": str(out),
        "only": None,
        "restart": False,
        "slice": None,
        "seeds": {"student": 2},
        "evaluations": {},
        "other_dictionaries": {},
        "jobs": {
            "faces": {"command": "prepare", "overrides": [f"dst={out}/faces"]},
            "student": {"command": "train", "needs": ["faces"]},
            "variant": {"command": "train", "needs": ["faces"]},
        },
        "shared": {"train": ["learning_rate=7"], "rates": ["split=val"]},
        "rates": {
            "methods": ["student"],
            "like": {"variant": "student"},
            "values": [float(rate) for rate in FIGURES],
            "overrides": ["steps=1"],
        },
        **more,
    }


class Commands:
    """Stands in for the commands: notes each, and writes what the rule reads."""

    def __init__(self, failing=()):
        self.failing = failing
        self.lines = {}

    def __call__(self, command, overrides):
        values = dict(text.lstrip("+").split("=", 1) for text in overrides)
        out = Path(values.get("out") or values["dst"])
        self.lines[out.name] = overrides
        rate = values.get("learning_rate")
        if out.name in self.failing:
            raise FaceskdError("the loss became nan")
        out.mkdir(parents=True, exist_ok=True)
        (out / "weights.safetensors").write_text(str(rate))
        if command == "evaluate":
            metrics = {}
            for key, path in values.items():
                if found := re.fullmatch(r"methods\.(\w+)", key):
                    psnr, lpips = FIGURES[Path(path).read_text()]
                    metrics[found[1]] = {"values": {"psnr": psnr, "lpips_squeeze": lpips}}
            (out / "metrics.json").write_text(json.dumps({"metrics": metrics}))
        return 0


def run(out, commands):
    plan = seeded_options(with_rates(options(out)))
    runner = Runner.of(plan, commands, Console(quiet=True))
    runner.run_all(read_plan(plan), complete=lambda job: complete(job, plan, runner))
    return plan, runner


def rate_of(commands, name):
    return [text for text in commands.lines[name] if text.startswith("learning_rate=")][-1]


def test_each_training_gets_the_rate_of_the_best_trial(tmp_path):
    commands = Commands()
    plan, runner = run(tmp_path, commands)
    assert not runner.failures
    for name in ("student", "student_seed1", "variant"):
        assert rate_of(commands, name) == "learning_rate=0.001"
        assert "steps=1" not in commands.lines[name]
    assert rate_of(commands, "student_rate3") == "learning_rate=0.01"
    assert "steps=1" in commands.lines["student_rate3"]
    assert "split=val" in commands.lines["student_rate"]
    (row,) = rate_rows(plan, runner)
    assert row["chosen"] == "0.001"
    assert row["score at 0.0001"] == "28.01"  # 25 - 10 log10(0.5)
    assert "`variant` that of `student`" in "".join(rates_section(plan, runner))


def test_a_trial_that_failed_is_not_taken(tmp_path):
    commands = Commands(failing={"student_rate2"})
    plan, runner = run(tmp_path, commands)
    assert set(runner.failures) == {"student_rate2"}
    assert not any("student_rate2" in word for word in commands.lines["student_rate"])
    assert rate_of(commands, "student") == "learning_rate=0.01"
    assert rate_rows(plan, runner)[0]["score at 0.001"] == "failed"


def test_a_method_without_any_trial_is_skipped(tmp_path):
    trials = {f"student_rate{number}" for number in (1, 2, 3)}
    commands = Commands(failing=trials)
    _, runner = run(tmp_path, commands)
    assert set(runner.failures) == trials | {"student_rate", "student", "student_seed1", "variant"}
    assert "student" not in commands.lines


def test_done_jobs_are_not_repeated(tmp_path):
    run(tmp_path, Commands())
    again = Commands()
    run(tmp_path, again)
    assert not again.lines


def test_a_rate_needs_a_training(tmp_path):
    for rates in ({"methods": ["faces"]}, {"methods": ["nobody"]}, {"like": {"variant": "faces"}}):
        plan = options(tmp_path)
        plan["rates"] = plan["rates"] | rates
        with pytest.raises(ConfigError, match="expected rates"):
            with_rates(plan)


def test_methods_that_are_left_out_have_no_rate(tmp_path):
    plan = options(tmp_path)
    plan["jobs"]["variant"] = None
    plan["seeds"] = {"variant": 3}
    assert "student_rate1" in seeded_options(with_rates(plan))["jobs"]
    plan["jobs"] |= {"student": None, "variant": {"command": "train"}}
    with pytest.raises(ConfigError, match=r"got jobs\.student=null: also leave variant out"):
        with_rates(plan)
