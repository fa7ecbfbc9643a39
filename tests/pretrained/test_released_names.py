"""Names of released models where a file of weights could stand, with and without a version."""

import json

import pytest

from faceskd.commands import run_command
from faceskd.common.config import compose
from faceskd.common.errors import WeightsError
from faceskd.engine.building import build_engine, with_released_weights
from faceskd.models.weights import load_network, read_weights
from faceskd.pretrained import available_models, is_model_name, model_path, weights_path
from faceskd.profiling.named import named_subjects

LITE = [*(f"model.{name}" for name in ("width=48", "blocks=7")), "losses=pixel", "model=lite_s"]


def test_a_name_is_its_file_and_a_path_stays_as_it_is(tmp_path):
    assert weights_path("lite-s") == weights_path("lite-s@3") == str(model_path("lite-s"))
    for path in ("a.safetensors", "runs/lite-s", str(tmp_path / "x")):
        assert weights_path(path) == path
    assert not is_model_name("lite-s.safetensors")
    with pytest.raises(WeightsError, match=r"no pretrained model 'lite-s@9'; there are: lite-m@1"):
        weights_path("lite-s@9")


def test_every_file_of_release_0_1_loads_by_its_path():
    assert {m.full_name for m in available_models()} >= {"lite-m@1", "lite-s@1"}
    for name in ("lite-m@1", "lite-s@1"):
        assert not load_network(model_path(name)).uses_dictionary


def test_a_teacher_finds_its_dictionary_beside_its_file():
    """By its checksum: the file itself names no dictionary."""
    assert load_network(model_path("teacher@3")).dictionary_sha256


def test_evaluate(prepared_faces, tmp_path):
    line = [f"faces={prepared_faces}", f"out={tmp_path}", "metrics=[psnr]", "groups=null", "show=0"]
    assert run_command("evaluate", [*line, "methods.student=lite-s@1"]) == 0
    record = json.loads((tmp_path / "metrics.json").read_text())
    assert list(record["settings"]["weights_sha256"]) == ["student"]
    assert record["metrics"]["student"]["values"]["psnr"] > 20


def test_export(tmp_path):
    out = tmp_path / "s.safetensors"
    assert run_command("export", ["weights=lite-s", f"out={out}", "format=safetensors"]) == 0
    assert out.stat().st_size > 1e6


@pytest.mark.parametrize(
    ("model", "name"),
    [*((name, name) for name in ("lite-s", "lite-s@1", "teacher")),
     (str(model_path("teacher")), "teacher@3")],
)  # fmt: skip
def test_profile(model, name):
    named = named_subjects([model])
    assert named.left_out == {}
    assert set(named.subjects) == {f"{name}@fp32"}


def test_profile_of_a_version_that_does_not_exist():
    with pytest.raises(WeightsError, match="no pretrained model 'lite-s@9'"):
        named_subjects(["lite-s@9"])


def test_a_training_starts_from_a_released_model():
    cfg = compose("train", [*LITE, "init=lite-s@1", "name=x", "out=x"])
    cfg = with_released_weights(cfg)
    assert cfg.init == str(model_path("lite-s@1"))
    stored = read_weights(model_path("lite-s@1")).state
    started = build_engine(cfg).network.state_dict()
    same = stored.keys() & started.keys()  # convolutions are stored fused
    assert same
    assert all((started[key] == stored[key]).all() for key in same)


def test_a_released_teacher_teaches():
    words = ["experiment=identity", "engine=soft_targets", "name=x", "out=x"]
    cfg = with_released_weights(compose("train", [*words, "engine.teacher=teacher@3"]))
    assert cfg.engine.teacher == str(model_path("teacher"))
    cfg = with_released_weights(compose("train", [*words, "engine.teacher=[teacher,a.ckpt]"]))
    assert list(cfg.engine.teacher) == [str(model_path("teacher")), "a.ckpt"]
