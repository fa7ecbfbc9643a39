"""The command that builds a dictionary: what it says and shows, and what it refuses."""

from pathlib import Path

import pytest
from helpers.tiny_dictionary import KEYS, encoder

from faceskd.commands.dictionary import main
from faceskd.common.config import compose
from faceskd.common.errors import ConfigError, WeightsError
from faceskd.models.dictionary import Dictionary


class TestCommand:
    @pytest.fixture
    def options(self, prepared_faces: Path, tmp_path: Path) -> list[str]:
        weights = tmp_path / "encoder.safetensors"
        encoder().save(weights)
        return [
            f"faces={prepared_faces}", "encoder=tiny", "encoder.width=1",
            f"encoder.weights={weights}", f"out={tmp_path}/d.safetensors", "atoms=3", "limit=6",
            "initialisations=1", "iterations=2", "threads=1",
        ]  # fmt: skip

    def test_builds_says_how_and_shows(
        self, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main.task(compose("dictionary", options))
        printed = capsys.readouterr().out
        assert "peak memory" in printed
        assert "conv5_4/mouth" in printed
        dictionary = Dictionary.load(tmp_path / "d.safetensors")
        assert dictionary.provenance["faces"] == 6
        assert dictionary.encoder == encoder().fingerprint()
        assert len(list((tmp_path / "d.sheets").glob("*.png"))) == len(KEYS)
        assert not (tmp_path / "d.safetensors.work").exists()

    def test_random_weights_are_refused(self, options: list[str]) -> None:
        with pytest.raises(ConfigError, match=r"encoder with weights.*experiment=encoder"):
            main.task(compose("dictionary", [*options, "encoder.weights=null"]))

    def test_missing_weights_are_a_sentence_on_the_command_line(
        self,
        options: list[str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        wrong = [*options, "encoder.weights=/nowhere.safetensors"]
        with pytest.raises(WeightsError, match="no VGG-19 weights at"):
            main.task(compose("dictionary", wrong))
        monkeypatch.setattr("sys.argv", ["dictionary", *wrong])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        printed = capsys.readouterr().err
        assert "error: no VGG-19 weights at '/nowhere.safetensors'" in printed
        assert "Traceback" not in printed
