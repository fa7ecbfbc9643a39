"""`faceskd reproduce` at toy size: what its tests have in common."""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

METRICS = "metrics=[psnr,ssim,grid_index]"
BUDGET = {
    "steps": 2,
    "half": 1,
    "chunk": 1,
    "batch_size": 2,
    "discriminator_width": 2,
    "discriminator_hidden": 4,
    "atoms": 4,
}
TRAINING = (
    "data.cache=0",
    "callbacks.pictures=null",
    "callbacks.progress=null",
    "+trainer.enable_progress_bar=false",
    "trainer.accelerator=cpu",
    "threads=1",
)


def make_tiny(cfg: DictConfig, budget: Mapping[str, Any], training: Sequence[str]) -> None:
    """Give a composed plan a few steps and few measurements.

    Args:
        cfg: the config of `faceskd reproduce`; changed in place.
        budget: further values of its budget.
        training: further overrides of its trainings.
    """
    cfg.budget.update(BUDGET | dict(budget))
    cfg.shared.train.extend([*TRAINING, *training])
    cfg.shared.evaluate = [METRICS, "batch_size=2", "show=1", "groups=null"]
    cfg.shared.profile.extend(
        ["repeats=1", "warmup=0", "memory=false", "ceiling=false", "boxes=[given]",
         "end_to_end=false"]
    )  # fmt: skip
    cfg.profile.models = ["teacher", "student_mskd"]
    cfg.show = 1
