"""A run goes on with the settings that it was started with, or not at all."""

import math
import shutil

import numpy as np
import pytest
import torch
from helpers.tiny_training import QUICK, assert_same_training, checkpoint, train_here
from omegaconf import OmegaConf

from faceskd.common.config import compose
from faceskd.common.errors import ConfigError
from faceskd.common.images import write_image
from faceskd.engine.run_record import RunRecord
from faceskd.engine.training import train
from faceskd.models.dictionary import Dictionary
from faceskd.models.weights import read_metadata

pytestmark = pytest.mark.filterwarnings(
    "ignore:The number of training batches",
    "ignore:Found .* in eval mode",
    "ignore:The dataloader, .* does not have many workers",
    "ignore:Checkpoint directory .* exists",
)


def rate(folder):
    """The learning rate that a checkpoint goes on with."""
    return checkpoint(folder / "run")["optimizer_states"][0]["param_groups"][0]["lr"]


ENCODER = ("experiment=encoder", "engine.encoder.width=2", "engine.crop=64")
START = ("experiment=student_no_kd", "scheduler@engine.scheduler=cosine")


@pytest.fixture(scope="module")
def trained(words_in, tmp_path_factory):
    """The folder of a training of `START`."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(compose("train", words_in(folder, *START)))
    return folder


@pytest.fixture
def finished(trained, tmp_path):
    """A copy of it, where the fixture `run` trains."""
    return shutil.copytree(trained, tmp_path / "run")


def test_other_settings_end_with_a_list_and_the_choices(run, finished):
    before = checkpoint(finished)["state_dict"]
    weights = (finished / "weights.safetensors").read_bytes()
    with pytest.raises(ConfigError) as caught:
        run(*START, "seed=1", "learning_rate=1e-9", "engine.clip=null", "+engine.new=3")
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("run' holds a training with other settings:")
    assert set(lines[1:-1]) == {
        "  seed: 0, now 1",
        "  data.seed: 0, now 1",
        "  learning_rate: 0.0002, now 1e-09",
        "  engine.optimizer.lr: 0.0002, now 1e-09",
        "  engine.clip: 1.0, now None",
        "  engine.new: not set, now 3",
    }
    assert all(choice in lines[-1] for choice in ("resume=stored", "resume=false", "out=FOLDER"))
    after = checkpoint(finished)["state_dict"]
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert (finished / "weights.safetensors").read_bytes() == weights


@pytest.mark.parametrize(
    "changed",
    [
        "seed=1", "losses=paper", "model.encoder.width=3", "model=student_quarter",
        "data.batch_size=1", "data.steps_per_epoch=1", "data.train_limit=7",
        "data.augment.flip=0.25",
        "degradation@data.degradation=clean", "engine.average_decay=0.5", "init=FILE",
        "scheduler@engine.scheduler=constant", "trainer.precision=bf16-mixed",
    ],
)  # fmt: skip
def test_whatever_changes_the_weights_is_refused(changed, words):
    record = RunRecord.of(compose("train", words(*START)))
    with pytest.raises(ConfigError, match=r"run' holds a training with other settings"):
        record.check_same(compose("train", words(*START, changed)))


@pytest.mark.parametrize(
    "changed",
    [
        "name=other", "threads=null", "data.workers=1", "data.cache=3", "logger=default",
        "trainer.max_time=00:01:00:00", "trainer.accelerator=auto", "trainer.log_every_n_steps=1",
        "optimized_metric=val/ssim", "steps=8",
    ],
)  # fmt: skip
def test_what_changes_no_weight_may_differ(changed, words):
    record = RunRecord.of(compose("train", words(*START)))
    record.check_same(compose("train", words(*START, changed)))


def test_stopped_and_resumed_with_another_rate(run):
    """Case 14: after 4 of 16 steps, lr=1e-9 was ignored and another epoch ended the training."""
    slow = (*START, "steps=16", "data.steps_per_epoch=4")
    run(*slow, "trainer.max_time=00:00:00:00")
    for changed in ("learning_rate=1e-9", "data.steps_per_epoch=8", "data.steps_per_epoch=16"):
        with pytest.raises(ConfigError, match=changed.split("=")[0]):
            run(*slow, changed)
    assert run(*slow).steps == 16


@pytest.mark.usefixtures("finished")
def test_a_refusal_is_a_status_and_no_traceback(words):
    status, output = train_here(*words(*START, "seed=1"))
    assert status == 2
    assert "seed: 0, now 1" in output
    assert "Traceback" not in output


def test_resume_stored_goes_on_as_it_was_started(run, tmp_path):
    run(*START, "seed=3", "steps=6", out="whole")
    run(*START, "seed=3", "steps=6", "trainer.max_time=00:00:00:00", out="sliced")
    trained = run("losses=paper", "seed=4", "steps=2", "resume=stored", out="sliced")
    assert (trained.steps, trained.planned_steps) == (6, 6)
    assert read_metadata(trained.weights)["seed"] == 3
    assert_same_training(tmp_path / "whole", tmp_path / "sliced")


def test_resume_false_starts_again_and_leaves_nothing_old(run, tmp_path):
    pictures = (
        "{_target_:faceskd.engine.callbacks.PictureGrid,folder:" + f"{tmp_path}/run/pictures}}"
    )
    run(*START, "logger=default", f"callbacks.pictures={pictures}")
    written = {"csv", "tensorboard", "curves.png", "pictures/epoch-0001.png", "weights.safetensors"}
    assert all((tmp_path / "run" / name).exists() for name in written)
    shutil.copy(
        tmp_path / "run" / "weights.safetensors", tmp_path / "run" / "weights_mine.safetensors"
    )
    stopped = run(*START, "seed=1", "steps=6", "resume=false", "trainer.max_time=00:00:00:00")
    assert (stopped.steps, stopped.weights) == (2, None)
    left = {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert left == {".lock", "config.yaml", "last.ckpt", "weights_mine.safetensors"}
    assert OmegaConf.load(tmp_path / "run" / "config.yaml").config.seed == 1
    with pytest.raises(ConfigError, match="seed: 1, now 0"):
        run(*START, "steps=6")


class TestLonger:
    @pytest.mark.usefixtures("finished")
    def test_goes_on_with_the_schedule_of_the_longer_run(self, run, tmp_path):
        assert rate(tmp_path) == pytest.approx(1e-6)
        trained = run(*START, "steps=8", "trainer.max_time=00:00:00:00")
        assert trained.steps == 6
        expected = 1e-6 + (2e-4 - 1e-6) * (1 + math.cos(math.pi * 6 / 8)) / 2
        assert rate(tmp_path) == pytest.approx(expected)
        trained = run(*START, "steps=8")
        assert (trained.steps, read_metadata(trained.weights)["steps"]) == (8, 8)
        assert rate(tmp_path) == pytest.approx(1e-6)

    @pytest.mark.usefixtures("finished")
    def test_its_first_step_has_the_rate_of_the_longer_run(self, run, tmp_path):
        seen = "+callbacks.rates={_target_:helpers.tiny_training.Rates}"
        run(*START, "steps=8", seen, f"+callbacks.rates.path={tmp_path}/rates.txt")
        rates = [float(line) for line in (tmp_path / "rates.txt").read_text().split()]
        expected = [
            1e-6 + (2e-4 - 1e-6) * (1 + math.cos(math.pi * step / 8)) / 2 for step in (4, 5, 6, 7)
        ]
        assert rates == pytest.approx(expected)

    def test_an_epoch_that_was_cut_to_the_steps_is_named(self, run):
        run(*START, "steps=3", "data.steps_per_epoch=500")
        with pytest.raises(ConfigError, match=r"steps_per_epoch: 3, now 6 .*steps_per_epoch=3"):
            run(*START, "steps=6", "data.steps_per_epoch=500")

    @pytest.mark.usefixtures("finished")
    def test_steps_that_are_made_cannot_be_taken_back(self, run):
        with pytest.raises(ConfigError, match=r"steps: 4, now 2 \(4 are made already\)"):
            run(*START, "steps=2")

    @pytest.mark.parametrize("experiment", [START, ENCODER], ids=["network", "encoder"])
    def test_a_length_that_was_mistyped_can_be_taken_back(self, run, experiment):
        run(*experiment, "steps=40", "trainer.max_time=00:00:00:00")
        trained = run(*experiment, "steps=4")
        assert (trained.steps, trained.planned_steps) == (4, 4)


class TestFiles:
    def test_the_same_path_with_other_content_is_refused(self, run, materials, tmp_path):
        init = shutil.copy(materials / "teacher.safetensors", tmp_path / "init.safetensors")
        run(*START, f"init={init}")
        run(*START, f"init={init}")
        run("experiment=student_no_kd", out="other")
        shutil.copy(tmp_path / "other" / "weights.safetensors", init)
        with pytest.raises(ConfigError, match=r"init: .* \(the same path, but its content has ch"):
            run(*START, f"init={init}")

    @pytest.mark.usefixtures("finished")
    def test_the_same_content_under_another_path_is_the_same(self, run, prepared_faces, tmp_path):
        moved = shutil.copytree(prepared_faces, tmp_path / "moved")
        assert run(*START, f"data.faces={moved}").steps == 4
        manifest = moved / "manifest.csv"
        manifest.write_text(manifest.read_text() + "late.jpg,no_face,,,,,,\n")
        with pytest.raises(ConfigError, match=r"data\.faces: "):
            run(*START, f"data.faces={moved}")

    def test_pictures_that_came_or_went_are_noticed(self, tmp_path):
        def config(folder):
            given = f"+data.folders.a={{path:{tmp_path / folder},share:1}}"
            return compose("train", [*QUICK, "experiment=drawing", f"out={tmp_path}", given])

        for name in ("a/1.png", "b/1.png"):
            write_image(tmp_path / name, np.zeros((8, 8, 3), np.uint8))
        record = RunRecord.of(config("a"))
        record.check_same(config("a"))
        record.check_same(config("b"))
        write_image(tmp_path / "a" / "sub" / "2.png", np.zeros((8, 8, 3), np.uint8))
        with pytest.raises(
            ConfigError, match=r"data\.folders\.a\.path: .* its content has changed"
        ):
            record.check_same(config("a"))
        before = RunRecord(record.config, {})  # of a run that was started before they were listed
        before.check_same(config("a"))


class TestWithoutARecord:
    def test_runs_of_release_0_1_go_on_and_it_is_said(self, run, tmp_path, capsys):
        run(*START, "steps=6", "trainer.max_time=00:00:00:00")
        record = tmp_path / "run" / "config.yaml"
        record.unlink()
        assert run(*START, "steps=6").steps == 6
        said = capsys.readouterr().err.replace("\n", " ")
        assert "has a checkpoint but no config.yaml" in said
        assert record.is_file()

    def test_there_is_nothing_stored_to_resume(self, run, finished):
        (finished / "config.yaml").unlink()
        with pytest.raises(ConfigError, match=r"config\.yaml in .* for resume=stored, found none"):
            run(*START, "resume=stored")

    def test_a_damaged_record_is_named(self, run, finished):
        (finished / "config.yaml").write_text("[1, 2]\n")
        with pytest.raises(ConfigError, match="expected the settings of a training"):
            run(*START)


def test_a_dictionary_that_was_built_again_is_refused(run, materials, tmp_path):
    for name in ("teacher.safetensors", "dictionary.safetensors", "encoder.safetensors"):
        shutil.copy(materials / name, tmp_path / name)
    options = (
        "experiment=teacher", "model=teacher_tiny", "model.encoder.width=2", "losses=pixel",
        f"model.encoder.weights={tmp_path}/encoder.safetensors",
        f"model.dictionary={tmp_path}/dictionary.safetensors",
        "engine.metrics=[psnr]", "engine.discriminator.width=2",
    )  # fmt: skip
    run(*options)
    atoms = Dictionary.load(tmp_path / "dictionary.safetensors")
    more = {key: value + 1 for key, value in atoms.atoms.items()}
    Dictionary(more, atoms.encoder).save(tmp_path / "dictionary.safetensors")
    with pytest.raises(ConfigError, match=r"model\.dictionary"):
        run(*options)
