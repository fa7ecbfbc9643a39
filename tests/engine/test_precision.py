"""`trainer.precision=auto` takes what the hardware computes in, says so, and a run keeps it."""

import pytest
import torch
from omegaconf import OmegaConf

from faceskd.common.config import compose
from faceskd.engine import precision
from faceskd.engine.precision import with_precision
from faceskd.models.weights import read_metadata

AUTO = ("experiment=student_no_kd", "trainer.precision=auto")


@pytest.fixture
def hardware(monkeypatch):
    """Pretend to have a processor, and perhaps a GPU, with or without bfloat16."""

    def pretend(*, processor, gpu=None):
        monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: processor)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu is not None)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: gpu)

    return pretend


@pytest.mark.parametrize(
    ("processor", "gpu", "accelerator", "expected"),
    [
        (True, None, "auto", "bf16-mixed"),
        (False, None, "auto", "32-true"),
        (True, False, "auto", "32-true"),
        (False, True, "auto", "bf16-mixed"),
        (False, True, "cpu", "32-true"),
    ],
)
def test_auto_is_what_the_hardware_computes_in(
    hardware, capsys, processor, gpu, accelerator, expected
):
    hardware(processor=processor, gpu=gpu)
    cfg = compose("train", [f"trainer.accelerator={accelerator}", "out=x", "name=x"])
    assert cfg.trainer.precision == "auto"
    assert with_precision(cfg).trainer.precision == expected
    assert f"trainer.precision=auto: {expected}, since the " in capsys.readouterr().err


def test_what_is_asked_for_is_taken_in_silence(hardware, capsys):
    hardware(processor=False)
    cfg = compose("train", ["trainer.precision=bf16-mixed", "out=x", "name=x"])
    assert with_precision(cfg).trainer.precision == "bf16-mixed"
    assert capsys.readouterr().err == ""


def test_a_run_records_its_precision_and_keeps_it_on_another_machine(
    run, hardware, tmp_path, capsys
):
    hardware(processor=False)
    trained = run(*AUTO)
    assert read_metadata(trained.weights)["training_precision"] == "32-true"
    hardware(processor=True)
    assert run(*AUTO, "steps=6").steps == 6
    assert "32-true, that of the run so far" in capsys.readouterr().err
    record = OmegaConf.load(tmp_path / "run" / "config.yaml")
    assert record.config.trainer.precision == "32-true"
