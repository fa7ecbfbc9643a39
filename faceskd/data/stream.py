"""An endless stream of shuffled items for training, and a fixed set for validation.

The item at each position of the stream is determined by the seed. So a resumed run sees the same
items as a run without interruption, with any number of workers.
"""

from collections.abc import Iterator, Sequence, Sized
from fractions import Fraction
from math import floor
from typing import Any, Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from torch.utils.data import DataLoader, Sampler

from faceskd.common.checks import check_whole
from faceskd.common.errors import ConfigError


class StreamSampler(Sampler[tuple[int, int]]):
    """Keys (pass, index) for `steps` batches, from an endless stream of shuffled passes.

    Position p of the stream is item perm_e[p mod n] of pass e = p // n over the n items. An epoch
    of Lightning is `steps` batches of the stream; Lightning calls `set_epoch` before each epoch.
    With `world` processes, each process takes every `world`-th position.

    With `limited`, two such streams are merged, one of the limited items and one of the others. The
    limited items are spread evenly. Their share is that of all items, but at most `most` items of a
    batch.

    Args:
        length: number n of items.
        batch_size, steps: size of a batch, and number of batches in an epoch.
        seed: seed of the permutations.
        rank, world: index of this process, and number of processes.
        limited: indices of the limited items.
        most: largest number of limited items in a batch.
    """

    def __init__(
        self, length: int, *, batch_size: int, steps: int, seed: int = 0, rank: int = 0,
        world: int = 1, limited: Sequence[int] = (), most: int = 0,
    ) -> None:  # fmt: skip
        self.length = length
        self.per_epoch = batch_size * steps
        self.seed = seed
        self.rank = rank
        self.world = world
        self.epoch = 0
        self.limited = np.array(sorted(limited), int)
        self.share = Fraction(0)
        if len(self.limited):
            self.share = min(Fraction(len(self.limited), length), Fraction(most, batch_size))
        self.others = np.setdiff1d(np.arange(length), self.limited)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.per_epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        limited = _Shuffled(self.limited, self.seed)
        others = _Shuffled(self.others, self.seed)
        start = self.epoch * self.per_epoch
        for number in range(start, start + self.per_epoch):  # of this process
            before, after = floor(number * self.share), floor((number + 1) * self.share)
            if after > before:
                yield limited[before * self.world + self.rank]
            else:
                yield others[(number - before) * self.world + self.rank]


class _Shuffled:
    """An endless stream of (pass, item), each pass in another order."""

    def __init__(self, items: np.ndarray, seed: int) -> None:
        self.items = items
        self.seed = seed
        self.current, self.order = -1, np.empty(0, int)

    def __getitem__(self, position: int) -> tuple[int, int]:
        items_pass, place = divmod(position, len(self.items))
        if items_pass != self.current:
            rng = np.random.default_rng((self.seed, items_pass, len(self.items)))
            self.current, self.order = items_pass, rng.permutation(len(self.items))
        return items_pass, int(self.items[self.order[place]])


def steps_per_epoch(cfg: DictConfig) -> int:
    """Batches between two checkpoints; Lightning calls this an epoch.

    Raises:
        ConfigError: the steps are not a whole number of epochs.
    """
    check_whole(1, **{"data.steps_per_epoch": cfg.data.steps_per_epoch})
    steps, epoch = cfg.steps, min(cfg.steps, cfg.data.steps_per_epoch)
    if steps % epoch:
        raise ConfigError(
            f"expected steps as a multiple of data.steps_per_epoch, {epoch}, got {steps}"
        )
    return epoch


class Items(Sized, Protocol):
    """A data set whose keys are an index or (pass, index)."""

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]: ...


class StreamData(pl.LightningDataModule):
    """Base class of the data modules, with their loaders. Subclasses set `train` and `val`.

    Args:
        batch_size: batch size per process, for training and validation.
        steps_per_epoch: batches between two validations.
        workers: number of loading processes; 0: load in the training process.
        seed: seed of the order of the stream.

    Raises:
        ConfigError: an option is not a whole number or too small.
    """

    train: Items
    val: Items

    def __init__(
        self, *, batch_size: int, steps_per_epoch: int, workers: int = 0, seed: int = 0
    ) -> None:
        super().__init__()
        check_whole(1, **{"data.batch_size": batch_size, "data.steps_per_epoch": steps_per_epoch})
        check_whole(0, **{"data.workers": workers, "data.seed": seed})
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
            **self.limits(),
        )
        if trainer:
            # In a resumed run, workers start before Lightning calls set_epoch.
            progress = trainer.fit_loop.epoch_progress.current
            sampler.set_epoch(progress.processed)  # type: ignore[attr-defined]
        return self._loader(self.train, sampler=sampler)

    def limits(self) -> dict[str, Any]:
        """What a subclass limits: `limited` and `most` of `StreamSampler`."""
        return {}

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.val)

    def on_after_batch_transfer(self, batch: Any, dataloader_index: int) -> Any:
        """Convert images to the memory format of the networks, channels_last."""
        for name, value in batch.items():
            if isinstance(value, torch.Tensor) and value.ndim == 4:
                batch[name] = value.to(memory_format=torch.channels_last)
        return batch

    def _loader(self, dataset: Any, sampler: Sampler | None = None) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            # Not the global generator: a resumed run starts new loaders, which draw from it.
            generator=torch.Generator().manual_seed(self.seed),
            pin_memory=torch.cuda.is_available(),
        )
