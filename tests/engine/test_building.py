"""Networks that start from others, and teachers: what fits together, and what is said."""

import pytest
from helpers.tiny_faces import STUDENT

from faceskd.common.config import compose
from faceskd.common.errors import ConfigError, DictionaryError
from faceskd.engine.building import build_engine
from faceskd.models import VGG19
from faceskd.models.dictionary import Dictionary
from faceskd.models.weights import build_network, load_network, read_weights, save_network

TEACHER = (
    "experiment=teacher", "model=teacher_tiny", "model.encoder.width=2", "losses=pixel",
    "engine.metrics=[psnr]", "engine.discriminator.width=2",
)  # fmt: skip


@pytest.fixture
def build(words, materials):
    """The engine of a teacher that starts from the one of `materials`."""

    def start(encoder, *overrides):
        line = [
            *TEACHER,
            f"model.encoder.weights={encoder}",
            f"init={materials}/teacher.safetensors",
        ]
        return build_engine(compose("train", words(*line, *overrides)))

    return start


def test_a_teacher_that_starts_from_another_has_its_encoder_and_a_dictionary(build, materials):
    dictionary = f"model.dictionary={materials}/dictionary.safetensors"
    teacher = load_network(materials / "teacher.safetensors")
    for encoder in ("null", "random", materials / "encoder.safetensors"):
        network = build(encoder, dictionary).network
        assert network.encoder.fingerprint() == teacher.encoder.fingerprint()
        assert network.dictionary_sha256 == teacher.dictionary_sha256


def test_two_encoders_for_one_teacher_are_refused(build, tmp_path):
    VGG19(width=2, weights="random").save(tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match=r"model\.encoder\.weights names another encoder than"):
        build(tmp_path / "other.safetensors")


def test_a_dictionary_of_another_encoder_than_that_of_init_is_refused(build, tmp_path):
    encoder = VGG19(width=2, weights="random")
    atoms = Dictionary.random(encoder.taps, encoder.feature_info, atoms=3)
    Dictionary(atoms.atoms, encoder.fingerprint()).save(tmp_path / "other.safetensors")
    with pytest.raises(DictionaryError, match="encoder"):
        build("null", f"model.dictionary={tmp_path}/other.safetensors")


def test_how_much_is_taken_from_another_network_is_said(words, materials, capsys):
    init = materials / "teacher.safetensors"
    network = build_engine(compose("train", words("model.encoder.width=3", f"init={init}"))).network
    own, given = network.state_dict(), read_weights(init).state
    fits = sum(key in own and own[key].shape == value.shape for key, value in given.items())
    assert 0 < fits < len(given)
    said = f"init: copied {fits} tensors of {init}, left out {len(given) - fits} that do not fit"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("teacher", ["null", "[]"])
def test_a_distillation_without_a_teacher_is_refused(words, teacher):
    cfg = compose("train", words("experiment=student_mskd", f"engine.teacher={teacher}"))
    with pytest.raises(ConfigError, match=r"expected engine\.teacher as a weights file"):
        build_engine(cfg)


def test_a_dictionary_that_nobody_uses_is_refused(words, materials, tmp_path):
    dictionary = f"teacher_dictionary={materials}/dictionary.safetensors"
    with pytest.raises(ConfigError, match="teacher_dictionary is for distillation"):
        build_engine(compose("train", words("experiment=student_no_kd", dictionary)))
    save_network(tmp_path / "student.safetensors", build_network(STUDENT), STUDENT)
    teacher = f"engine.teacher={tmp_path}/student.safetensors"
    with pytest.raises(ConfigError, match=r"for a teacher with a dictionary, got .*a Student"):
        build_engine(compose("train", words("experiment=student_mskd", teacher, dictionary)))
