"""Pairs of LR and HR faces, computed during training and the same in every run.

An item depends only on (seed, epoch, index), not on the number of workers. `faceskd.data.stream`
chooses the order, so that a resumed run sees the same items as a run without interruption.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from faceskd.common.checks import check_whole, check_whole_or_none
from faceskd.common.errors import ConfigError, FacesError
from faceskd.common.images import read_image, to_tensor
from faceskd.data.augment.geometry import Augmentation, BoxedFace
from faceskd.data.degradation import Degradation
from faceskd.data.manifest import check_kinds, draw_records, of_kind, read_manifest
from faceskd.data.sources import GENERATED
from faceskd.data.stream import StreamData
from faceskd.faces.components import five_points

HR_SIZE = 256
CACHED_FACES = 4000
Item = dict[str, torch.Tensor | str]


class FaceDataset(Dataset[Item]):
    """The faces of one split of a folder of prepared faces.

    An item holds `hr` (3, size, size) and its degraded `lr`, float32 in [0, 1]; `boxes` (4, 4) and
    `landmarks` (5, 2), in pixels of the HR face; and `name`.

    Args:
        faces: folder with the manifest.
        split: "train", "val" or "test".
        degradation: see `faceskd.data.degradation`.
        augment: augmentation; None for evaluation. `landmarks` are those before augmentation.
        seed: seed of augmentation and degradation, together with epoch and index.
        limit: number of faces to use, drawn at random; None: all. The faces of a smaller limit are
            among those of a larger one.
        draw: seed for drawing them.
        cache: largest number of decoded faces kept in memory, 0.2 MB each at 256 px.
        size: side of the prepared faces, in px.
        kind: kind of the faces to use (`faceskd.data.sources.KINDS`); None: all.
        mix_kinds: whether an augmentation may mix a face with one of another kind.

    Raises:
        ConfigError: the seed is not a whole number of at least 0.
        FacesError: there is no manifest or no face in the split, the file of a face is missing or
            has another size, or the kind of a face is needed but not known.
    """

    def __init__(
        self,
        faces: Path | str,
        split: str,
        degradation: Degradation,
        *,
        augment: Augmentation | None = None,
        seed: int = 0,
        limit: int | None = None,
        draw: int = 0,
        cache: int = CACHED_FACES,
        size: int = HR_SIZE,
        kind: str | None = None,
        mix_kinds: bool = True,
    ) -> None:
        check_whole(0, seed=seed)
        self.size = size
        self.folder = Path(faces)
        records = read_manifest(faces, split)
        if kind is not None:
            records = of_kind(records, kind)
        self.records = draw_records(records, limit, seed=draw)
        if not mix_kinds:
            check_kinds(self.records)
        self.mix_kinds = mix_kinds
        self._check_files()
        self.degradation = degradation
        self.augment = augment
        self.seed = seed
        self.most_cached = cache
        self.cache: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: int | tuple[int, int]) -> Item:
        """`key` is an index, or (epoch, index); a bare index means epoch 0."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        rng = np.random.default_rng((self.seed, epoch, index))
        record = self.records[index]
        hr, boxes = self._boxed_face(index)
        if self.augment is not None:
            hr, boxes = self.augment(hr, boxes, rng, partial(self._another_face, record.kind, rng))
        return {
            "lr": to_tensor(self.degradation(hr, rng)),
            "hr": to_tensor(hr),
            "boxes": torch.from_numpy(boxes),
            "landmarks": torch.from_numpy(five_points(np.array(record.landmarks, np.float32))),
            "name": Path(record.face).stem,
        }

    def _boxed_face(self, index: int) -> BoxedFace:
        return self._face(index), np.array(self.records[index].boxes, np.float32)

    def of_kind(self, kind: str) -> list[int]:
        """The indices of the faces of a kind."""
        return [index for index, record in enumerate(self.records) if record.kind == kind]

    def _another_face(self, kind: str, rng: np.random.Generator) -> BoxedFace:
        if self.mix_kinds:
            return self._boxed_face(int(rng.integers(len(self))))
        return self._boxed_face(int(rng.choice(self.of_kind(kind))))

    def _check_files(self) -> None:
        """Check that all files exist, so that a training does not fail after hours."""
        missing = [r.face for r in self.records if not (self.folder / r.face).is_file()]
        if missing:
            raise FacesError(
                f"{len(missing)} of {len(self.records)} faces that the manifest of "
                f"{str(self.folder)!r} names are missing, for example {missing[0]}"
            )

    def _face(self, index: int) -> np.ndarray:
        if index in self.cache:
            return self.cache[index]
        name = self.records[index].face
        hr = read_image(self.folder / name)
        if hr.shape[:2] != (self.size, self.size):
            raise FacesError(
                f"expected faces of {self.size}x{self.size} pixels, got "
                f"{hr.shape[1]}x{hr.shape[0]} ({name}); prepare them with size={self.size}"
            )
        if len(self.cache) < self.most_cached:
            self.cache[index] = hr
        return hr


class FaceData(StreamData):
    """Training stream and fixed validation set from a folder of prepared faces.

    Args:
        faces: folder with the manifest.
        degradation: degradation of both; for validation it is the same in every epoch and for
            every seed.
        augment: augmentation for training.
        train_limit: number of faces to train on, drawn at random with `seed`; None: all. The faces
            of a smaller limit are among those of a larger one.
        val_limit: number of faces to validate on, drawn at random, the same for every seed.
        batch_size, steps_per_epoch, workers, seed: see `StreamData`.
        cache: see `FaceDataset`; each worker has its own cache.
        size: side of the prepared faces, in px.
        most_generated: largest share of generated faces in a batch, rounded down to whole faces.
            Generated faces are then mixed with generated faces only. None: no limit.

    Raises:
        ConfigError: no folder is given, or an option is not a whole number, too small or too large.
        FacesError: see `FaceDataset`; or `most_generated` is given, but the manifest does not say
            which faces are generated.
    """

    train: FaceDataset

    def __init__(
        self,
        *,
        faces: Path | str | None,
        degradation: Degradation,
        augment: Augmentation | None = None,
        batch_size: int = 8,
        steps_per_epoch: int = 200,
        train_limit: int | None = None,
        val_limit: int | None = None,
        workers: int = 0,
        seed: int = 0,
        cache: int = CACHED_FACES,
        size: int = HR_SIZE,
        most_generated: float | None = None,
    ) -> None:
        super().__init__(
            batch_size=batch_size, steps_per_epoch=steps_per_epoch, workers=workers, seed=seed
        )
        if faces is None:
            raise ConfigError(
                "no faces given: set data.faces to a folder that `faceskd prepare` wrote"
            )
        check_whole_or_none(1, **{"data.train_limit": train_limit, "data.val_limit": val_limit})
        check_whole(0, **{"data.cache": cache})
        check_whole(1, **{"data.size": size})
        dataset = partial(FaceDataset, faces, degradation=degradation, cache=cache, size=size)
        self.most_generated = most_generated
        self.train = dataset(
            "train", augment=augment, seed=seed, limit=train_limit, draw=seed,
            mix_kinds=most_generated is None,
        )  # fmt: skip
        if most_generated is not None:
            self._check_generated(most_generated)
        self.val = dataset("val", limit=val_limit)  # always with seed 0

    def limits(self) -> dict[str, Any]:
        if self.most_generated is None:
            return {}
        most = int(self.most_generated * self.batch_size)
        return {"limited": self.train.of_kind(GENERATED), "most": most}

    def _check_generated(self, share: float) -> None:
        if not 0 <= share <= 1:
            raise ConfigError(f"expected data.most_generated in [0, 1] or null, got {share}")
        generated = len(self.train.of_kind(GENERATED))
        if generated == len(self.train) and share < 1:
            raise ConfigError(
                f"all {generated} training faces are generated: data.most_generated={share} "
                "leaves nothing to train on"
            )
