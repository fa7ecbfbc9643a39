"""The plan of `faceskd reproduce`: every job composes, and the budgets add up."""

import pytest

from faceskd.common.config import compose, to_plain
from faceskd.jobs.plan import read_jobs


@pytest.mark.parametrize("budget", ["quick", "full"])
def test_every_job_of_a_budget_composes(budget, tmp_path):
    cfg = to_plain(compose("reproduce", [f"budget={budget}", f"out={tmp_path}"]))
    jobs = read_jobs(cfg["jobs"], cfg["shared"], tmp_path)
    steps = {}
    for job in jobs.values():
        composed = compose(job.command, job.overrides)
        if job.command == "train":
            steps[job.name] = composed.steps
            assert composed.steps % composed.data.steps_per_epoch == 0, job.name
    goal = cfg["budget"]["steps"]
    assert steps["srgan_start"] + steps["srgan"] == steps["srfeat_start"] + steps["srfeat"] == goal
    assert steps["teacher"] == steps["student_mskd"] == steps["rcan"] == steps["hifacegan"] == goal
    assert steps["plain"] == steps["lite_plain"] == 2 * goal
    known = {*jobs, *cfg["interpolations"]}
    for evaluation in cfg["evaluations"].values():
        assert set(evaluation["methods"]) <= known
    for evaluation, *pair in cfg["comparisons"]:
        assert set(pair) <= set(cfg["evaluations"][evaluation]["methods"])
