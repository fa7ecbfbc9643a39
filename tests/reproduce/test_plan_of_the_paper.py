"""The plan of `faceskd reproduce`: every job composes, and the budgets add up."""

import pytest

from faceskd.common.config import compose, to_plain
from faceskd.common.errors import ConfigError
from faceskd.jobs.plan import read_jobs
from faceskd.reproduce import published
from faceskd.reproduce.page import check_page
from faceskd.reproduce.paper import planned, results_name, runs_of
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
        as_printed = "printed" in name
        assert len(choices & set(jobs[name].needs)) == (0 if as_printed else 1), name
        if as_printed:
            printed = compose("train", jobs[name].overrides)
            assert printed.learning_rate == 2e-4
            assert not printed.model.decoder.bicubic_skip
            assert printed.engine.average_decay is None
    assert choice("student_mskd") in jobs["student_mskd_seed2"].needs
    third = compose("train", jobs[trial("student_mskd", 3)].overrides)
    assert third.learning_rate == plan["rates"]["values"][2]
    assert third.steps == plan["budget"]["chunk"] < plan["budget"]["steps"]
    assert "teacher" in jobs[trial("student_mskd", 3)].needs
    compose("evaluate", jobs[choice("student_mskd")].overrides)


def cpu_plan(tmp_path, *words):
    return to_plain(compose("reproduce", ["budget=cpu", f"out={tmp_path}", *words]))


def test_each_part_trains_only_what_its_tables_need(tmp_path):
    plan = cpu_plan(tmp_path)
    runs = {run["part"]: run for run in runs_of(plan)}
    jobs = {part: set(planned(run)[1]) for part, run in runs.items()}
    assert [*jobs] == ["dictionary", "distillation", "light", "printed", "methods"]
    for part, run in runs.items():
        assert results_name(run) == f"cpu-{part}"
        check_page(run["page"], results_name(run))
    dictionary, distillation = jobs["dictionary"], jobs["distillation"]
    assert {"faces", "teacher_seed2", "plain_adversarial", choice("teacher")} <= dictionary
    assert {"second", "dictionary_extended", "teacher_random", "teacher_own"} <= dictionary
    assert not {name for name in dictionary if name.startswith(("student", "lite", "srresnet"))}
    assert {"student_mskd_seed2", "student_strong", "teacher_privileged"} <= distillation
    assert not distillation & {"plain", "teacher_random", "dictionary_double", "second"}
    assert not {name for name in jobs["light"] | jobs["printed"] if "srresnet" in name}
    assert {name for name, job in plan["jobs"].items() if job} <= set().union(*jobs.values())
    shown = [bool(run["figure_1"]) + len(run["profile"]["models"]) for run in runs.values()]
    assert shown[:-1] == [0] * 4 and shown[-1] > 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["part=none"], "expected part of dictionary, .*; got 'none'"),
        (["part=light", "tables=light"], "expected part=null, got 'light': tables says"),
        (["part=light", "only=teacher"], "expected part=null, got 'light': only says"),
        (["part=light", "budget=quick"], "expected part=null, .* this budget has no parts"),
    ],
)
def test_a_part_that_cannot_be_run_is_said(words, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        runs_of(cpu_plan(tmp_path, *words))


def test_tables_and_jobs_are_run_instead_of_parts(tmp_path):
    for word in ("tables=[light]", "only=teacher"):
        (run,) = runs_of(cpu_plan(tmp_path, word))
        assert run["part"] is None
    assert [run["part"] for run in runs_of(cpu_plan(tmp_path, "part=[light,printed]"))] == [
        "light", "printed",
    ]  # fmt: skip
    (run,) = runs_of(to_plain(compose("reproduce", ["budget=quick"])))
    assert results_name(run) == "quick"
    with pytest.raises(ConfigError, match=r"expected tables of methods, .*; got 'none'"):
        planned(cpu_plan(tmp_path, "tables=none"))


def test_the_same_number_of_weights_is_trained_with_and_without_a_dictionary(tmp_path):
    jobs = planned(cpu_plan(tmp_path, "tables=[dictionary]"))[1]
    own, teacher = (compose("train", jobs[name].overrides) for name in ("teacher_own", "teacher"))
    assert (own.model.selection, own.model.dictionary) == ("own", None)
    differing = {key for key in teacher.model if teacher.model[key] != own.model[key]}
    assert differing == {"selection", "dictionary"}
    assert own.losses == teacher.losses and own.engine == teacher.engine


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
