"""A training that was broken off goes on as if it had not been, bit for bit."""

import signal
import time

import pytest
from helpers.tiny_training import (
    MSKD,
    assert_same,
    assert_same_training,
    checkpoint,
    command,
    train_here,
)
from safetensors.torch import load_file
from torch._utils import ExceptionWrapper

from faceskd.common.errors import ConfigError, FacesError, WeightsError
from faceskd.common.files import held
from faceskd.engine.training import LOCK, fit, without_traceback
from faceskd.models.weights import read_metadata

pytestmark = pytest.mark.filterwarnings(
    "ignore:The number of training batches",
    "ignore:Found .* in eval mode",
    "ignore:The dataloader, .* does not have many workers",
    "ignore:Checkpoint directory .* exists",
)


def end_after_first_checkpoint(arguments, folder, sent):
    """Send a training a signal amid its second epoch; returns its exit status."""
    process = command(*arguments)
    deadline = time.monotonic() + 120
    while not (folder / "checkpoints" / "last.ckpt").is_file():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(sent)
    process.communicate()
    return process.returncode


def test_a_killed_distillation_goes_on_as_if_it_had_not_been(run, words, tmp_path):
    """Weights, averages, both optimisers, schedulers, random numbers: all equal bit for bit."""
    options = (*MSKD, "steps=16", "data.batch_size=1")
    run(*options, out="whole")
    arguments = words(*options, out="killed")
    status = end_after_first_checkpoint(arguments, tmp_path / "killed", signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert int(checkpoint(tmp_path / "killed")["state_dict"]["steps"]) < 16
    run(*options, out="killed")
    assert_same_training(tmp_path / "whole", tmp_path / "killed")
    assert len(checkpoint(tmp_path / "whole")["optimizer_states"]) == 2
    weights = [load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "killed")]
    assert_same(*weights)


def test_a_terminated_training_is_no_success(words, tmp_path):
    arguments = words("experiment=student_no_kd", "steps=2000", out="ended")
    status = end_after_first_checkpoint(arguments, tmp_path / "ended", signal.SIGTERM)
    assert status == 128 + signal.SIGTERM
    assert not (tmp_path / "ended" / "weights.safetensors").exists()


@pytest.mark.parametrize(
    "options",
    [
        ("experiment=student_no_kd",),
        ("experiment=student_no_kd", "data.workers=1"),
        (*MSKD, "engine.adversarial_start=3"),
        ("experiment=encoder", "engine.encoder.width=2", "engine.crop=64"),
        ("experiment=encoder", "engine.encoder.width=2", "engine.crop=64", "data.workers=1"),
    ],
    ids=["supervised", "supervised-1-worker", "late", "autoencoder", "autoencoder-1-worker"],
)
def test_a_training_in_slices_is_the_whole_one(run, options, tmp_path):
    options = (*options, "steps=6", "scheduler@engine.scheduler=cosine")
    run(*options, out="whole")
    for _ in range(3):  # the time is up after each epoch
        run(*options, "trainer.max_time=00:00:00:00", out="sliced")
    assert_same_training(tmp_path / "whole", tmp_path / "sliced")


def test_a_slice_ends_with_a_checkpoint_and_without_weights(run, tmp_path):
    trained = run("experiment=student_no_kd", "steps=6", "trainer.max_time=00:00:00:00")
    assert checkpoint(tmp_path / "run")["hyper_parameters"]["metadata"]["steps"] == 2
    assert (trained.steps, trained.planned_steps, trained.weights) == (2, 6, None)
    assert not (tmp_path / "run" / "weights.safetensors").exists()


@pytest.mark.parametrize("experiment", ["student_no_kd", "encoder"])
def test_a_training_whose_time_is_up_has_a_status_of_its_own(experiment, words, tmp_path):
    options = ["engine.encoder.width=2"] if experiment == "encoder" else []
    line = words(f"experiment={experiment}", *options, "trainer.max_time=00:00:00:00")
    weights = tmp_path / "run" / "weights.safetensors"
    status, output = train_here(*line)
    assert status == 75, output
    assert "the time limit was reached after 2 of 4 steps: run the same command again" in output
    assert not weights.exists()
    status, output = train_here(*line)
    assert status == 0, output
    assert weights.is_file()


def test_a_training_that_ended_in_its_time_is_whole(run):
    trained = run("experiment=student_no_kd", "trainer.max_time=00:01:00:00")
    metadata = read_metadata(trained.weights)
    assert (metadata["steps"], metadata["planned_steps"]) == (4, 4)


def test_a_training_that_a_callback_ends_says_so_in_its_weights(run):
    trained = run(
        "experiment=student_no_kd",
        "+callbacks.early={_target_:pytorch_lightning.callbacks.EarlyStopping,monitor:val/psnr}",
        "+callbacks.early.stopping_threshold=-100",
        "+callbacks.early.mode=max",
    )
    metadata = read_metadata(trained.weights)
    assert (metadata["steps"], metadata["planned_steps"]) == (2, 4)


def test_a_finished_training_is_not_trained_again(run, tmp_path):
    run("experiment=student_no_kd")
    before = checkpoint(tmp_path / "run")
    run("experiment=student_no_kd")
    assert_same(before["state_dict"], checkpoint(tmp_path / "run")["state_dict"])


def test_a_training_repeats_itself(run, tmp_path):
    for name in ("one", "two"):
        run("experiment=student_no_kd", out=name)
    assert_same_training(tmp_path / "one", tmp_path / "two")


def test_a_checkpoint_of_another_width_is_refused(run, tmp_path):
    run("experiment=student_no_kd")
    (tmp_path / "run" / "config.yaml").unlink()  # as a run of release 0.1
    with pytest.raises(WeightsError, match=r"another training .*tensors differ"):
        run("experiment=student_no_kd", "model.encoder.width=3")


@pytest.mark.parametrize(("received", "raised"), [(True, SystemExit), (False, RuntimeError)])
def test_a_signal_that_ends_a_loading_process_too_is_no_failure(received, raised, tmp_path):
    """A service manager sends SIGTERM to all processes of a training at once."""

    class Terminated:
        received_sigterm, interrupted = received, False

        def fit(self, *_, **__):
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated.")

    with pytest.raises(raised) as ended:
        fit(Terminated(), None, None, tmp_path / "last.ckpt")
    if received:
        assert ended.value.code == 128 + signal.SIGTERM


def test_two_trainings_do_not_share_a_folder(run, tmp_path):
    (tmp_path / "run").mkdir()
    expected = pytest.raises(ConfigError, match=r"another process trains in .*run': give this")
    with held(tmp_path / "run" / LOCK, pytest.fail), expected:
        run("experiment=student_no_kd")
    assert run("experiment=student_no_kd").weights


def test_an_error_of_a_loading_process_has_its_own_message():
    def loads():
        try:
            raise FacesError("expected faces of 256 px, got 384 px")
        except FacesError:
            return ExceptionWrapper(where="in DataLoader worker process 0")

    with pytest.raises(FacesError) as raised:
        loads().reraise()
    assert "Traceback" in str(raised.value)
    assert str(without_traceback(raised.value)) == "expected faces of 256 px, got 384 px"


@pytest.mark.parametrize("given", ["1800", "30:00", "00:00:30:00s"])
def test_a_time_limit_that_is_none(run, given):
    with pytest.raises(ConfigError, match=r"expected trainer\.max_time as days, hours, minutes"):
        run("experiment=student_no_kd", f"trainer.max_time={given}")
