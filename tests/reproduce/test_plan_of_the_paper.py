"""The plan of `faceskd reproduce`: every job composes, and the budgets add up."""

import pytest

from faceskd.common.config import compose, to_plain
from faceskd.common.errors import ConfigError
from faceskd.jobs.plan import read_jobs
from faceskd.reproduce import published
from faceskd.reproduce.page import check_page
from faceskd.reproduce.paper import planned, results_name
from faceskd.reproduce.rates import choice, trial, with_rates
from faceskd.reproduce.seeds import with_seeds


@pytest.fixture(params=["quick", "cpu", "full"])
def plan(request, tmp_path):
    return to_plain(compose("reproduce", [f"budget={request.param}", f"out={tmp_path}"]))


def test_every_job_of_a_budget_composes(plan, tmp_path):
    jobs = read_jobs(plan["jobs"], plan["shared"], tmp_path)
    steps, faces = {}, {}
    for job in jobs.values():
        composed = compose(job.command, job.overrides)
        if job.command == "train":
            steps[job.name] = composed.steps
            faces[job.name] = composed.steps * composed.data.batch_size
            assert composed.steps % composed.data.steps_per_epoch == 0, job.name
    goal = plan["budget"]["steps"]
    assert steps["srgan_start"] + steps["srgan"] == steps["srfeat_start"] + steps["srfeat"] == goal
    assert steps["teacher"] == steps["student_mskd"] == steps["rcan"] == steps["hifacegan"] == goal
    if plan["budget"]["name"] == "cpu":  # equal numbers of faces for all
        parts = {"srgan", "srfeat", "srgan_start", "srfeat_start"}
        assert len({count for name, count in faces.items() if name not in parts}) == 1
    else:
        assert steps["plain"] == steps["lite_plain"] == 2 * goal


def test_tables_and_hypotheses_name_methods(plan):
    known = {*plan["jobs"], *plan["interpolations"], *plan["other_dictionaries"]}
    evaluations = {name: config for name, config in plan["evaluations"].items() if config}
    for evaluation in evaluations.values():
        assert set(evaluation["methods"]) <= known
        assert evaluation.get("paper") in {None, *published.QUALITY}
    for evaluation, *pair in plan["comparisons"] + plan["as_good"]:
        assert set(pair) <= set(evaluations[evaluation]["methods"])
    named = {method for table in published.QUALITY.values() for method in table}
    assert named - {"bicubic"} <= known
    for config in plan["other_dictionaries"].values():
        assert set(config.values()) <= set(plan["jobs"])


def test_every_method_of_the_cpu_budget_chooses_its_rate(tmp_path):
    plan = to_plain(compose("reproduce", ["budget=cpu", f"out={tmp_path}"]))
    options = with_rates(plan)
    jobs = read_jobs(with_seeds(options["jobs"], plan["seeds"]), plan["shared"], tmp_path)
    trained = [name for name in plan["jobs"] if name in jobs and jobs[name].command == "train"]
    choices = {choice(method) for method in plan["rates"]["methods"]}
    for name in trained:
        assert len(choices & set(jobs[name].needs)) == 1, name
    assert choice("student_mskd") in jobs["student_mskd_seed2"].needs
    third = compose("train", jobs[trial("student_mskd", 3)].overrides)
    assert third.learning_rate == plan["rates"]["values"][2]
    assert third.steps == plan["budget"]["chunk"] < plan["budget"]["steps"]
    assert "teacher" in jobs[trial("student_mskd", 3)].needs
    compose("evaluate", jobs[choice("student_mskd")].overrides)


def test_chosen_tables_train_only_what_they_need(tmp_path):
    def jobs_of(*tables):
        chosen = f"tables=[{','.join(tables)}]"
        plan = to_plain(compose("reproduce", ["budget=cpu", f"out={tmp_path}", chosen]))
        jobs = set(planned(plan)[1])
        check_page(plan["page"], results_name(plan))
        return jobs

    dictionary = jobs_of("dictionary", "extended")
    assert {"faces", "teacher_seed2", "plain", choice("teacher"), trial("plain", 1)} <= dictionary
    assert {"second", "dictionary_extended", "teacher_random", "teacher_own"} <= dictionary
    assert not {name for name in dictionary if name.startswith(("student", "lite", "srresnet"))}
    distillation = jobs_of("distillation")
    assert {"student_mskd_seed2", "student_strong", "teacher_privileged"} <= distillation
    assert not distillation & {"plain", "teacher_random", "dictionary_double", "second"}
    light, terms = jobs_of("light"), jobs_of("light_terms")
    assert terms - light == {"lite_sskd_3", "lite_no_adversarial", "lite_no_feature", "lite_output"}
    parts = [dictionary, distillation, light, terms, jobs_of("methods", "second")]
    plan = to_plain(compose("reproduce", ["budget=cpu", f"out={tmp_path}"]))
    assert {name for name, job in plan["jobs"].items() if job} <= set().union(*parts)
    with pytest.raises(ConfigError, match=r"expected tables of methods, .*; got 'none'"):
        jobs_of("none")


@pytest.mark.parametrize(
    ("word", "name"),
    [("baselines=[rcam]", "rcam"), ("profile.models=[rcan,rcam]", "rcam"),
     ("evaluations.methods.methods=[rcam]", "rcam"), ("comparisons=[[methods,rcan,rcam]]", "rcam"),
     ("as_good=[[method,rcan,teacher]]", "method")],
)  # fmt: skip
def test_a_misspelt_name_is_told_before_the_trainings(word, name, tmp_path):
    plan = to_plain(compose("reproduce", [f"out={tmp_path}", word]))
    with pytest.raises(ConfigError, match=rf"expected {word.split('=')[0]} of .*; got '{name}'"):
        planned(plan)


def test_the_weights_of_the_encoder_count_by_their_content(tmp_path):
    def given(weights):
        words = [f"out={tmp_path}/out", "photos=null", f"budget.encoder_weights={weights}"]
        jobs = planned(to_plain(compose("reproduce", words)))[1]
        return {name: job.given for name, job in jobs.items() if job.given}

    file, made = tmp_path / "vgg.pth", tmp_path / "out" / "encoder" / "weights.safetensors"
    made.parent.mkdir(parents=True)
    for path in (file, made):
        path.touch()
    assert given(file) == {"encoder_weights": file}
    assert given(made) == given("torchvision") == given("null") == {}
