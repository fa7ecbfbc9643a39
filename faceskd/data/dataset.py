"""Pairs of LR and HR faces, made on the fly and yet the same in every run.

What an item looks like depends on (seed, epoch, index) alone, never on which worker makes it or
how many there are. The sampler deals out an endless stream of shuffled epochs by position, so
that a run resumed at any step sees exactly what an uninterrupted one would have seen.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from faceskd.common.errors import ConfigError, FacesError
from faceskd.common.images import read_image, to_tensor
from faceskd.data.augment.geometry import Augmentation, BoxedFace
from faceskd.data.degradation import Degradation
from faceskd.data.manifest import Record, read_manifest
from faceskd.faces.components import five_points

HR_SIZE = 256
CACHED_FACES = 4000
Item = dict[str, torch.Tensor | str]


class FaceDataset(Dataset[Item]):
    """The faces of one split of a folder of prepared faces.

    An item holds `lr` (3, 32, 32) and `hr` (3, 256, 256), float32 in [0, 1]; `boxes` (4, 4) and
    `landmarks` (5, 2), in pixels of the HR face; and `name`.

    Args:
        faces: folder with the manifest.
        split: "train", "val" or "test".
        degradation: see `faceskd.data.degradation`.
        augment: none for measuring. Landmarks are those of the face before augmentation.
        seed: with epoch and index it seeds augmentation and degradation.
        limit: use the first faces only.
        cache: most decoded faces to keep in memory, 0.2 MB each.

    Raises:
        FacesError: no manifest, no face in the split, or a face's file is missing or of another
            size than 256x256.
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
        cache: int = CACHED_FACES,
    ) -> None:
        self.folder = Path(faces)
        self.records: list[Record] = read_manifest(faces, split)[:limit]
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
            hr, boxes = self.augment(hr, boxes, rng, partial(self._any_face, rng))
        return {
            "lr": to_tensor(self.degradation(hr, rng)),
            "hr": to_tensor(hr),
            "boxes": torch.from_numpy(boxes),
            "landmarks": torch.from_numpy(five_points(np.array(record.landmarks, np.float32))),
            "name": Path(record.face).stem,
        }

    def _boxed_face(self, index: int) -> BoxedFace:
        return self._face(index), np.array(self.records[index].boxes, np.float32)

    def _any_face(self, rng: np.random.Generator) -> BoxedFace:
        return self._boxed_face(int(rng.integers(len(self))))

    def _check_files(self) -> None:
        """Now, and not hours into a training."""
        missing = [r.face for r in self.records if not (self.folder / r.face).is_file()]
        if missing:
            raise FacesError(
                f"{len(missing)} of {len(self.records)} faces that the manifest of "
                f"{str(self.folder)!r} names are missing, {missing[0]} for one"
            )

    def _face(self, index: int) -> np.ndarray:
        if index in self.cache:
            return self.cache[index]
        name = self.records[index].face
        hr = read_image(self.folder / name)
        if hr.shape[:2] != (HR_SIZE, HR_SIZE):
            raise FacesError(
                f"expected faces of {HR_SIZE}x{HR_SIZE} pixels, got {hr.shape[1]}x{hr.shape[0]} "
                f"({name})"
            )
        if len(self.cache) < self.most_cached:
            self.cache[index] = hr
        return hr


class StreamSampler(Sampler[tuple[int, int]]):
    """Keys (pass, index) for `steps` batches, taken from an endless stream of shuffled passes.

    Position p of the stream holds face perm_e[p mod n] of pass e = p // n over the n faces. What
    Lightning calls an epoch is `steps` batches of the stream; it announces each by `set_epoch`.
    With several processes, each takes every `world`-th position.
    """

    def __init__(
        self, length: int, *, batch_size: int, steps: int, seed: int = 0, rank: int = 0,
        world: int = 1,
    ) -> None:  # fmt: skip
        self.length = length
        self.per_epoch = batch_size * steps
        self.seed = seed
        self.rank = rank
        self.world = world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.per_epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        start = self.epoch * self.per_epoch * self.world + self.rank
        permutation, current = np.empty(0, int), -1
        for position in range(start, start + self.per_epoch * self.world, self.world):
            faces_pass, place = divmod(position, self.length)
            if faces_pass != current:
                rng = np.random.default_rng((self.seed, faces_pass, self.length))
                permutation, current = rng.permutation(self.length), faces_pass
            yield faces_pass, int(permutation[place])


def _check_least(lowest: int, **settings: int | None) -> None:
    for name, came in settings.items():
        if came is not None and came < lowest:
            raise ConfigError(f"expected data.{name} of at least {lowest}, got {came}")


class FaceData(pl.LightningDataModule):
    """Training stream and frozen validation set of a folder of prepared faces.

    Args:
        faces: folder with the manifest.
        degradation: of both; validation draws it once, for good, by its own seed.
        augment: of training.
        batch_size: of training and validation, a process.
        steps_per_epoch: batches between two validations.
        train_limit: faces to train on, from the first: to see what more of them would be worth.
        val_limit: faces to validate on.
        workers: processes that load; 0 loads in the training process.
        cache: see `FaceDataset`; each worker has its own.
    """

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
    ) -> None:
        super().__init__()
        if faces is None:
            raise ConfigError(
                "no faces given: set data.faces to a folder that `faceskd prepare` wrote"
            )
        _check_least(1, batch_size=batch_size, steps_per_epoch=steps_per_epoch)
        _check_least(1, train_limit=train_limit, val_limit=val_limit)
        _check_least(0, workers=workers, cache=cache)
        dataset = partial(FaceDataset, faces, degradation=degradation, cache=cache)
        self.train = dataset("train", augment=augment, limit=train_limit, seed=seed)
        self.val = dataset("val", limit=val_limit, seed=seed)
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self.workers = workers
        self.seed = seed

    def train_dataloader(self) -> DataLoader:
        trainer = self.trainer
        sampler = StreamSampler(
            len(self.train),
            batch_size=self.batch_size,
            steps=self.steps_per_epoch,
            seed=self.seed,
            rank=trainer.global_rank if trainer else 0,
            world=trainer.world_size if trainer else 1,
        )
        if trainer:
            # Workers of a resumed run begin before Lightning sets the epoch.
            progress = trainer.fit_loop.epoch_progress.current
            sampler.set_epoch(progress.processed)  # type: ignore[attr-defined]
        return self._loader(self.train, sampler=sampler)

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.val)

    def on_after_batch_transfer(self, batch: Any, dataloader_index: int) -> Any:
        """Images in the memory format of the networks."""
        for name in ("lr", "hr"):
            batch[name] = batch[name].to(memory_format=torch.channels_last)
        return batch

    def _loader(self, dataset: FaceDataset, sampler: Sampler | None = None) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            # Not the global one: a resumed run starts loaders anew, which draws from it.
            generator=torch.Generator().manual_seed(self.seed),
            pin_memory=torch.cuda.is_available(),
        )
