"""Networks out of checkpoints of trainings, and checkpoints that are none or mean harm."""

from functools import partial
from pathlib import Path

import pytest
import torch
from helpers.tiny_faces import STUDENT, faces_of

from faceskd.common.errors import WeightsError
from faceskd.engine import Supervised
from faceskd.losses import L1Loss, WeightedSum
from faceskd.models import Student
from faceskd.models.weights import load_network, read_metadata, read_weights


def checkpoint_of(student: Student, path: Path, *, average_decay: float | None = 0.5) -> Supervised:
    """As Lightning writes it in training, after three steps."""
    engine = Supervised(
        network=student,
        model_config=STUDENT,
        losses=WeightedSum(terms={"l1": {"weight": 1.0, "loss": L1Loss()}}),
        optimizer=partial(torch.optim.SGD, lr=0.1),
        average_decay=average_decay,
        metrics=("psnr",),
    )
    for _ in range(3):
        with torch.no_grad():
            for parameter in student.parameters():
                parameter += parameter.requires_grad * 0.01 * torch.randn_like(parameter)
        if engine.average is not None:
            engine.average.update(student)
    checkpoint = {"state_dict": engine.state_dict(), "pytorch-lightning_version": "2.5.0"}
    engine.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, path)
    return engine


class TestCheckpoint:
    def test_with_averages_loads_the_averages(self, student: Student, tmp_path: Path) -> None:
        engine = checkpoint_of(student, tmp_path / "last.ckpt")
        loaded = load_network(tmp_path / "last.ckpt")
        present = faces_of(student)
        with engine.averaged():
            averaged = faces_of(student)
        assert not torch.allclose(present, averaged)
        assert torch.equal(faces_of(loaded), averaged)

    def test_without_averages_loads_the_weights(self, student: Student, tmp_path: Path) -> None:
        checkpoint_of(student, tmp_path / "last.ckpt", average_decay=None)
        assert torch.equal(faces_of(load_network(tmp_path / "last.ckpt")), faces_of(student))
        assert read_weights(tmp_path / "last.ckpt").config == STUDENT
        assert read_metadata(tmp_path / "last.ckpt")["engine"] == "Supervised"

    def test_of_a_diverged_training(self, student: Student, tmp_path: Path) -> None:
        with torch.no_grad():
            student.decoder.head[0].weight.fill_(float("nan"))
        checkpoint_of(student, tmp_path / "last.ckpt", average_decay=None)
        with pytest.raises(WeightsError, match=r"decoder\.head\.0\.weight are NaN or infinite"):
            load_network(tmp_path / "last.ckpt")

    def test_names_networks_as_files_do(self, student: Student, tmp_path: Path) -> None:
        checkpoint_of(student, tmp_path / "last.ckpt")
        content = torch.load(tmp_path / "last.ckpt", weights_only=True)
        assert content["hyper_parameters"]["model"]["network"] == "student"
        content["hyper_parameters"]["model"] = STUDENT  # as release 0.1
        torch.save(content, tmp_path / "old.ckpt")
        old, new = (load_network(tmp_path / f"{name}.ckpt") for name in ("old", "last"))
        assert torch.equal(faces_of(old), faces_of(new))

    @pytest.mark.parametrize("left", [0, 1, 20, 0.3, 0.9])
    def test_truncated(self, left: float, student: Student, tmp_path: Path) -> None:
        path = tmp_path / "last.ckpt"
        checkpoint_of(student, path)
        content = path.read_bytes()
        path.write_bytes(content[: int(left if isinstance(left, int) else left * len(content))])
        with pytest.raises(WeightsError, match=r"last\.ckpt' is damaged"):
            load_network(path)

    @pytest.mark.parametrize("content", [b"h\x05", b"t", b"]q\x00.", b"\x80\x02}"], ids=repr)
    def test_no_pickle(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "last.ckpt").write_bytes(content)
        with pytest.raises(WeightsError, match=r"last\.ckpt' is damaged"):
            load_network(tmp_path / "last.ckpt")

    @pytest.mark.parametrize(
        "content",
        [
            {},
            [],
            7,
            {"state_dict": {}},
            {"state_dict": {}, "hyper_parameters": {}},
            {"state_dict": {}, "hyper_parameters": None},
            {"state_dict": {}, "hyper_parameters": {"model": STUDENT}},
        ],
        ids=repr,
    )
    def test_of_another_program(self, content: object, tmp_path: Path) -> None:
        torch.save(content, tmp_path / "last.ckpt")
        with pytest.raises(WeightsError, match="expected a checkpoint of `faceskd train`"):
            load_network(tmp_path / "last.ckpt")

    def test_code_in_a_pickle_is_not_run(self, tmp_path: Path) -> None:
        marker = tmp_path / "executed"

        class Harm:
            def __reduce__(self) -> tuple:
                return Path.touch, (marker,)

        torch.save({"hyper_parameters": Harm(), "state_dict": {}}, tmp_path / "last.ckpt")
        with pytest.raises(WeightsError, match="damaged"):
            load_network(tmp_path / "last.ckpt")
        assert not marker.exists()
