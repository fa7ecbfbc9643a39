"""Compare an exported file with the PyTorch network it was made from.

The file is run with its own runtime, at several batch sizes. This finds a batch size that was fixed
at export, a normalisation that was not fused, and operators that the runtime computes differently.
Files with less precision than fp32 always differ a little. For them, the PSNR between the images is
checked, too.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from faceskd.common.checks import check_all_whole
from faceskd.common.errors import ExportError
from faceskd.data.sample_faces import sample_lr_faces
from faceskd.models.base import SuperResolver

if TYPE_CHECKING:
    from faceskd.data.pairs import FacePairs

BATCH_SIZES = (1, 2, 5)


@dataclass(frozen=True)
class Parity:
    """How much the SR faces of a file differ from those of the network. Images are in [0, 1].

    Attributes:
        max_abs_difference: largest absolute difference of all values.
        mean_abs_difference: mean absolute difference of all values.
        psnr_db: PSNR between the SR faces of the file and the network; infinite if they are equal.
        tolerance: largest accepted difference.
        least_psnr_db: smallest accepted PSNR; 0 accepts any.
        batch_sizes: batch sizes that were compared.
        faces: faces that were compared, "synthetic" or "real".
    """

    max_abs_difference: float
    mean_abs_difference: float
    psnr_db: float
    tolerance: float
    least_psnr_db: float
    batch_sizes: tuple[int, ...]
    faces: str

    def as_dict(self) -> dict[str, Any]:
        """The figures for JSON; an infinite PSNR becomes None."""
        return asdict(self) | {"psnr_db": self.psnr_db if math.isfinite(self.psnr_db) else None}


def check_parity(
    network: SuperResolver,
    load: Callable[[], Callable[[Tensor], Tensor]],
    *,
    tolerance: float,
    least_psnr: float = 0.0,
    faces: "FacePairs | None" = None,
    batch_sizes: Sequence[int] = BATCH_SIZES,
) -> Parity:
    """Compare an exported file with the network it came from.

    Args:
        network: network in eval mode on the CPU.
        load: function that loads the file with its own runtime.
        tolerance: largest accepted absolute difference.
        least_psnr: smallest accepted PSNR between the images of file and network, in dB.
        faces: faces whose LR images are compared; None: synthetic portraits.
        batch_sizes: batch sizes to compare at; each batch has other faces.

    Raises:
        ConfigError: `batch_sizes` are not whole numbers of at least 1.
        ExportError: the runtime refuses the file or a batch size, returns a wrong shape, or a value
            differs by more than `tolerance`, or the PSNR is below `least_psnr`.
    """
    check_all_whole(1, batch_sizes=batch_sizes)
    count = sum(batch_sizes)
    if faces is None:
        lr = sample_lr_faces(count, size=network.size // network.scale)
    else:
        lr = _first_lr(faces, count)
    runtime = _guarded("loading the exported file failed", load)
    differences = []
    for batch in lr.split(list(batch_sizes)):
        with torch.inference_mode():
            expected = network(batch)
        message = f"the exported file fails at batch {len(batch)}"
        given = _guarded(message, lambda batch=batch: runtime(batch.clone()))  # type: ignore[misc]
        if given.shape != expected.shape:
            raise ExportError(
                f"expected the exported file to give {tuple(expected.shape)} at batch "
                f"{len(batch)}, got {tuple(given.shape)}"
            )
        differences.append((given.cpu().double() - expected.double()).abs().flatten())
    difference = torch.cat(differences)
    largest = difference.max().item()
    if not largest <= tolerance:  # so that NaN fails
        raise ExportError(
            f"the exported file is off by {largest:.3g} from PyTorch (of a range of 1), expected "
            f"at most {tolerance:.3g}; no file was written"
        )
    mse = difference.square().mean().item()
    psnr = -10 * math.log10(mse) if mse else math.inf
    if psnr < least_psnr:
        raise ExportError(
            f"the exported file's images have a PSNR of {psnr:.1f} dB against PyTorch's, expected "
            f"at least {least_psnr:.1f} dB; no file was written"
        )
    return Parity(
        max_abs_difference=largest,
        mean_abs_difference=difference.mean().item(),
        psnr_db=psnr,
        tolerance=tolerance,
        least_psnr_db=least_psnr,
        batch_sizes=tuple(batch_sizes),
        faces="synthetic" if faces is None else "real",
    )


def _first_lr(faces: "FacePairs", count: int) -> Tensor:
    """The first LR faces, (count, 3, S, S); if there are fewer, they are repeated."""
    return torch.stack([faces[index % len(faces)]["lr"] for index in range(count)])


def _guarded(message: str, call: Callable[[], Any]) -> Any:
    """Call a function; any exception of the runtime becomes an ExportError."""
    try:
        return call()
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ExportError(f"{message}: {reason}; no file was written") from error
