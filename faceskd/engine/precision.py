"""`trainer.precision=auto`: bfloat16 where the hardware computes in it, else fp32.

Without such instructions bfloat16 is emulated, which makes a step several times slower than fp32.
"""

from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from faceskd.common.machine import multiplies_bfloat16
from faceskd.engine.messages import say
from faceskd.engine.run_record import RunRecord

AUTO = "auto"
BF16 = "bf16-mixed"
FP32 = "32-true"


def with_precision(cfg: DictConfig, resumed: Path | None = None) -> DictConfig:
    """The config with a precision instead of "auto"; says on stderr which one, and why.

    Args:
        cfg: of a training.
        resumed: the folder of the run that goes on; it keeps its precision.
    """
    if cfg.trainer.precision != AUTO:
        return cfg
    record = RunRecord.read(resumed) if resumed else None
    precision, why = _fastest(cfg.trainer.accelerator)
    if record is not None:
        precision, why = record.config["trainer"]["precision"], "that of the run so far"
    say(f"trainer.precision=auto: {precision}, {why}")
    cfg = cfg.copy()
    OmegaConf.update(cfg, "trainer.precision", precision)
    return cfg


def _fastest(accelerator: str) -> tuple[str, str]:
    gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    device = "GPU" if gpu else "processor"
    if torch.cuda.is_bf16_supported(including_emulation=False) if gpu else multiplies_bfloat16():
        return BF16, f"since the {device} computes in bfloat16"
    return FP32, f"since the {device} has no instructions for bfloat16"
