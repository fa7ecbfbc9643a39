"""Learning rate schedules."""

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

from faceskd.common.checks import check_positive, check_whole
from faceskd.common.errors import ConfigError


class CosineSchedule(CosineAnnealingLR):
    """Cosine decay from the optimiser's learning rate to `eta_min` in `T_max` steps.

    lr(t) = eta_min + (lr(0) - eta_min) (1 + cos(pi t / T_max)) / 2; Loshchilov and Hutter, "SGDR",
    ICLR 2017. It differs from PyTorch's class when a training is resumed with another number of
    steps: it continues with the schedule of the new length, while PyTorch restores the old one.

    Raises:
        ConfigError: `T_max` is below 1 or `eta_min` is below 0.
    """

    def __init__(self, optimizer: Optimizer, *, T_max: int, eta_min: float = 0.0) -> None:
        check_whole(1, **{"engine.scheduler.T_max": T_max})
        if eta_min != 0:
            check_positive(**{"engine.scheduler.eta_min": eta_min})
        super().__init__(optimizer, T_max=T_max, eta_min=eta_min)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        changed = state_dict["T_max"] != self.T_max
        super().load_state_dict(state_dict | {"T_max": self.T_max})
        if changed:
            self._last_lr = self._get_closed_form_lr()
            for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
                group["lr"] = rate


class LinearSchedule(LambdaLR):
    """A constant learning rate, then a linear decay to 0, as in CycleGAN (Zhu et al., ICCV 2017).

    lr(t) = lr(0) min(1, (steps - t) / (steps (1 - constant))). A training that is resumed with
    another number of steps continues with the schedule of the new length.

    Args:
        optimizer: optimiser whose learning rate changes.
        steps: number of steps.
        constant: share of the steps with a constant rate; half in the paper.

    Raises:
        ConfigError: `steps` is below 1, or `constant` is not from 0 to below 1.
    """

    def __init__(self, optimizer: Optimizer, *, steps: int, constant: float = 0.5) -> None:
        check_whole(1, **{"engine.scheduler.steps": steps})
        if not isinstance(constant, (int, float)) or not 0 <= constant < 1:
            raise ConfigError(
                f"expected engine.scheduler.constant from 0 to below 1, got {constant!r}"
            )
        falling = steps * (1 - constant)
        super().__init__(optimizer, lambda step: max(min(1.0, (steps - step) / falling), 0.0))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._last_lr = [
            rate * factor(self.last_epoch)
            for rate, factor in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate
