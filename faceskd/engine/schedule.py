"""Learning rate schedules."""

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR

from faceskd.common.checks import check_positive, check_whole


class CosineSchedule(CosineAnnealingLR):
    """Cosine decay from the optimiser's learning rate to `eta_min` in `T_max` steps.

    lr(t) = eta_min + (lr(0) - eta_min) (1 + cos(pi t / T_max)) / 2; Loshchilov and Hutter, "SGDR",
    ICLR 2017. It differs from PyTorch's class when a training is resumed with more steps: it
    continues with the longer schedule, while PyTorch restores the length from the checkpoint.

    Raises:
        ConfigError: `T_max` is below 1 or `eta_min` is below 0.
    """

    def __init__(self, optimizer: Optimizer, *, T_max: int, eta_min: float = 0.0) -> None:
        check_whole(1, **{"engine.scheduler.T_max": T_max})
        if eta_min != 0:
            check_positive(**{"engine.scheduler.eta_min": eta_min})
        super().__init__(optimizer, T_max=T_max, eta_min=eta_min)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        longer = state_dict["T_max"] != self.T_max
        super().load_state_dict(state_dict | {"T_max": self.T_max})
        if longer:
            self._last_lr = self._get_closed_form_lr()
            for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
                group["lr"] = rate
