"""A build that is killed and started again ends with the same atoms."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_dictionary import KEYS, SETTINGS, Build, content, encoder

from faceskd.dictionary import build as build_dictionary
from faceskd.dictionary import kmeans as clustering
from faceskd.dictionary.build import BuildSettings, Built, component_features
from faceskd.models import VGG19


class Killed(Exception):
    pass


class TestInterruption:
    @pytest.mark.parametrize("batches", [0, 1, 2])
    def test_in_extraction(
        self,
        batches: int,
        built: tuple[Built, Path],
        build: Build,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Killed in the middle of a batch, when some of its files are written."""
        writes, opened = [], build_dictionary._open_features

        def open_or_die(*args: object) -> np.memmap:
            writes.append(args)
            if len(writes) > batches * len(KEYS) + 7:
                raise Killed
            return opened(*args)

        monkeypatch.setattr(build_dictionary, "_open_features", open_or_die)
        with pytest.raises(Killed):
            build()
        assert not (tmp_path / "d.safetensors").exists()
        monkeypatch.setattr(build_dictionary, "_open_features", opened)
        encoded = self.count_faces(monkeypatch)
        build()
        assert sum(encoded) == 12 - 5 * batches
        assert content(tmp_path / "d.safetensors") == content(built[1])

    def test_when_the_first_file_was_only_begun(
        self,
        built: tuple[Built, Path],
        build: Build,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(build_dictionary, "component_features", self.die)
            with pytest.raises(Killed):
                build()
        work = tmp_path / "d.safetensors.work"
        (work / "features_relu2_2_left_eye.npy").write_bytes(b"\x93NUM")
        build()
        assert content(tmp_path / "d.safetensors") == content(built[1])

    def test_in_clustering(
        self,
        built: tuple[Built, Path],
        build: Build,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        half, calls = len(KEYS) // 2, []
        allowed = iter(range(half))

        def cluster_half(*args: object, **options: object) -> clustering.Clusters:
            if next(allowed, None) is None:
                raise Killed
            return cluster(*args, **options)

        def cluster(*args: object, **options: object) -> clustering.Clusters:
            calls.append(args)
            return clustering.kmeans(*args, **options)

        monkeypatch.setattr(build_dictionary, "kmeans", cluster_half)
        with pytest.raises(Killed):
            build()
        monkeypatch.setattr(build_dictionary, "kmeans", cluster)
        encoded = self.count_faces(monkeypatch)
        result = build()
        assert encoded == []
        assert len(calls) == len(KEYS)  # each once, in two runs
        assert content(tmp_path / "d.safetensors") == content(built[1])
        for key, clusters in built[0].clusters.items():
            np.testing.assert_array_equal(result.clusters[key].nearest, clusters.nearest)
            assert result.clusters[key].inertia == clusters.inertia
            assert result.clusters[key].revived == clusters.revived

    @pytest.mark.parametrize("change", ["settings", "encoder", "note"])
    def test_work_of_another_build_is_not_used(
        self,
        change: str,
        build: Build,
        prepared_faces: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        build(keep_work=True)
        encoded = self.count_faces(monkeypatch)
        build(keep_work=True)
        assert encoded == []
        out, settings, vgg = tmp_path / "d.safetensors", SETTINGS, encoder()
        if change == "settings":
            settings = BuildSettings(**vars(SETTINGS) | {"limit": 10})
        elif change == "encoder":
            vgg = VGG19(width=1, weights="random")
        else:
            (tmp_path / "d.safetensors.work" / "build.json").unlink()
        build_dictionary.build_dictionary(prepared_faces, vgg, out, settings)
        assert sum(encoded) == settings.limit

    @staticmethod
    def die(*args: object) -> dict:
        raise Killed

    @staticmethod
    def count_faces(monkeypatch: pytest.MonkeyPatch) -> list[int]:
        counted: list[int] = []

        def counting(vgg: VGG19, hr: torch.Tensor, boxes: torch.Tensor) -> dict:
            counted.append(len(hr))
            return component_features(vgg, hr, boxes)

        monkeypatch.setattr(build_dictionary, "component_features", counting)
        return counted
