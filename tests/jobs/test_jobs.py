"""Jobs in order, failures survived, what is done again; and the parts of adversarial baselines."""

import io
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console

from faceskd.common.config import compose, to_plain
from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.jobs import stages as pipeline
from faceskd.jobs.jobs import Runner, read_jobs, select_jobs
from faceskd.losses import PerceptualLoss
from faceskd.losses.cross_entropy import CrossEntropy
from faceskd.models import VGG19
from faceskd.models.gan_discriminators import (
    ImageAndFeatureDiscriminator,
    SRFeatFeatureDiscriminator,
    SRGANDiscriminator,
)
from faceskd.reproduce.figure_landmarks import (
    LandmarkPair,
    find_pairs,
    inter_ocular_error,
    summarise,
)

CHAIN = {
    "student": {"command": "restore", "needs": ["teacher"], "overrides": ["student"]},
    "teacher": {"command": "restore", "needs": ["faces"], "overrides": ["teacher"]},
    "rcan": {"command": "restore", "needs": ["faces"], "overrides": ["rcan"]},
    "faces": {"command": "restore", "overrides": ["faces"]},
}


@pytest.fixture
def commands(monkeypatch):
    """A command that only writes down its argument; `fail[argument]` is raised."""
    calls, fail = [], {}

    def main(arguments):
        calls.append(arguments[0])
        if error := fail.get(arguments[0]):
            raise error
        return 0

    monkeypatch.setattr(pipeline, "import_module", lambda name: SimpleNamespace(main=main))
    return SimpleNamespace(calls=calls, fail=fail)


def run(configs, out, only=None, **options):
    jobs = read_jobs(configs, {}, out)
    runner = Runner(out, console=Console(file=io.StringIO()), **options)
    for job in select_jobs(jobs, only or jobs).values():
        runner.run(job)
    return runner


def test_jobs_come_after_what_they_need(commands, tmp_path):
    run(CHAIN, tmp_path)
    order = commands.calls
    assert sorted(order) == sorted(CHAIN)
    assert order[0] == "faces"
    assert order.index("teacher") < order.index("student")


@pytest.mark.parametrize("error", [FaceskdError("no memory"), RuntimeError("no memory"), KeyError])
def test_the_failure_of_one_leaves_the_others(commands, tmp_path, error):
    commands.fail["teacher"] = error
    runner = run(CHAIN, tmp_path)
    assert set(runner.outcomes) == {"faces", "rcan"}
    assert set(runner.failures) == {"teacher", "student"}
    assert runner.failures["student"] == "it needs teacher, which is not done"
    assert "Error" in (tmp_path / "stages" / "teacher.error.txt").read_text()
    assert "student" not in commands.calls

    commands.fail.clear()
    commands.calls.clear()
    assert not run(CHAIN, tmp_path).failures
    assert commands.calls == ["teacher", "student"]


def test_an_interruption_is_no_failure(commands, tmp_path):
    commands.fail["teacher"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(CHAIN, tmp_path)


def test_a_change_is_carried_to_those_that_need_it_alone(commands, tmp_path):
    run(CHAIN, tmp_path)
    commands.calls.clear()
    changed = CHAIN | {"teacher": CHAIN["teacher"] | {"overrides": ["teacher", "wider"]}}
    run(changed, tmp_path)
    assert commands.calls == ["teacher", "student"]
    commands.calls.clear()
    run(changed, tmp_path, restart=True)
    assert sorted(commands.calls) == sorted(CHAIN)


def test_one_job_with_what_it_needs(commands, tmp_path):
    run(CHAIN, tmp_path, only=["student"])
    assert commands.calls == ["faces", "teacher", "student"]
    with pytest.raises(ConfigError, match=r"expected jobs of faces, .*; got 'rcam'"):
        run(CHAIN, tmp_path, only=["rcam"])


def test_a_job_left_out_is_needed_by_none(commands, tmp_path):
    run(CHAIN | {"faces": None}, tmp_path)
    assert "faces" not in commands.calls
    assert set(commands.calls) == {"teacher", "rcan", "student"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"needs": ["photos"]}, "the job faces needs 'photos': there is no such job"),
        ({"needs": ["student"]}, "jobs need each other: "),
        ({"uses": ["gpu"]}, "the job faces uses 'gpu'"),
    ],
)
def test_impossible_jobs(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        read_jobs(CHAIN | {"faces": CHAIN["faces"] | change}, {}, tmp_path)


def test_trainings_get_what_they_share_and_have_the_last_word(tmp_path):
    config = {"rcan": {"command": "train", "uses": ["pixel"], "overrides": ["steps=9"]}}
    shared = {"train": ["steps=5"], "pixel": ["losses=pixel"]}
    (job,) = read_jobs(config, shared, tmp_path).values()
    assert job.stage.overrides == (
        "steps=5", "losses=pixel", "steps=9", "name=rcan", f"out={tmp_path}/rcan",
    )  # fmt: skip


@pytest.mark.parametrize("budget", ["quick", "full"])
def test_every_job_of_a_budget_composes(budget, tmp_path):
    cfg = to_plain(compose("experiment", [f"budget={budget}", f"out={tmp_path}"]))
    jobs = read_jobs(cfg["jobs"], cfg["shared"], tmp_path)
    steps = {}
    for job in jobs.values():
        composed = compose(job.stage.command, job.stage.overrides)
        if job.stage.command == "train":
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


# Adversarial baselines.


def test_cross_entropy_is_its_literal_form():
    real, fake = torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.5], [3.0]])

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    loss = CrossEntropy()
    generator = -(math.log(sigmoid(0.5)) + math.log(sigmoid(3.0))) / 2
    discriminator = -(math.log(sigmoid(2.0)) + math.log(sigmoid(-1.0))) / 2
    discriminator -= (math.log(1 - sigmoid(0.5)) + math.log(1 - sigmoid(3.0))) / 2
    assert loss.generator([fake]).item() == pytest.approx(generator, rel=1e-5)
    assert loss.discriminator([real], [fake]).item() == pytest.approx(discriminator, rel=1e-5)
    assert loss.generator([fake, fake]).item() == pytest.approx(2 * generator, rel=1e-5)


def test_content_loss_is_a_relative_squared_error():
    torch.manual_seed(0)
    vgg = VGG19(width=2, taps=["relu2_1"], weights="random")
    sr, hr = torch.rand(2, 3, 16, 16, requires_grad=True), torch.rand(2, 3, 16, 16)
    loss = PerceptualLoss(vgg=vgg, distance="squared")(sr, hr)
    a, b = (vgg(x)[0].detach().numpy() for x in (sr, hr))
    assert loss.item() == pytest.approx(((a - b) ** 2).mean() / (b**2).mean(), rel=1e-4)
    loss.backward()
    assert sr.grad.abs().sum() > 0
    assert PerceptualLoss(vgg=vgg, distance="squared")(hr, hr).item() == 0
    assert not any(parameter.requires_grad for parameter in vgg.parameters())


def test_scores_on_images_and_on_their_features():
    torch.manual_seed(0)
    image = SRGANDiscriminator(image_size=64, width=2, hidden=4)
    feature = SRFeatFeatureDiscriminator(channels=16, feature_size=4, width=2, hidden=4)
    vgg = VGG19(width=2, taps=["relu5_1"], weights="random")
    both = ImageAndFeatureDiscriminator(image=image, feature=feature, vgg=vgg)
    images = torch.rand(3, 3, 64, 64, requires_grad=True)
    assert [verdict.shape for verdict in both(images)] == [(3, 1), (3, 1)]
    sum(verdict.sum() for verdict in both(images)).backward()
    assert images.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in vgg.parameters())
    assert all(parameter.grad is not None for parameter in feature.parameters())
    assert len(ImageAndFeatureDiscriminator(image=image)(images)) == 1
    with pytest.raises(ConfigError, match="expected both feature and vgg"):
        ImageAndFeatureDiscriminator(image=image, feature=feature)


# Figure 1.

POINTS = np.array([[80, 100], [180, 100], [130, 150], [95, 190], [165, 190]], np.float32)


class Fixed:
    """A detector that finds given points, or nothing."""

    min_face = 1.0

    def __init__(self, points):
        self.points = points

    def detect(self, image):
        return [] if self.points is None else [SimpleNamespace(landmarks=self.points)]


def face(name):
    return {"name": name, "hr": torch.zeros(3, 256, 256), "lr": torch.zeros(3, 32, 32)}


def test_landmarks_on_lr_are_compared_in_pixels_of_hr():
    (pair,) = find_pairs(
        [face("a")], on_hr=Fixed(POINTS), on_lr=Fixed((POINTS + np.array([8, 6])) / 8)
    )
    assert pair.error == pytest.approx(10 / 100, rel=1e-5)
    assert inter_ocular_error(POINTS, POINTS) == 0


def test_faces_that_are_not_found_are_counted_not_averaged():
    (missed,) = find_pairs([face("a")], on_hr=Fixed(POINTS), on_lr=Fixed(None))
    assert missed.error is None
    found = [LandmarkPair(str(i), POINTS, POINTS + np.array([i, 0])) for i in (1, 3)]
    summary = summarise([missed, *found])
    assert (summary["faces"], summary["found_on_hr"], summary["found_on_lr"]) == (3, 3, 2)
    assert summary["mean_error"] == pytest.approx(0.02)
    assert "mean_error" not in summarise([missed])
