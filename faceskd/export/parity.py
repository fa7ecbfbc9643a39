"""The one check every exported file passes before it gets its name.

The file is run by its own runtime beside the PyTorch network, at several batch sizes: a batch
size baked into the graph, a norm that was not fused or an operator that another runtime rounds
differently all show here and nowhere earlier. Forms that round more than fp32 differ by design:
for them the PSNR between the images counts beside the largest difference.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from faceskd.common.errors import ExportError
from faceskd.data.sample_faces import sample_lr_faces
from faceskd.models.base import SuperResolver

if TYPE_CHECKING:
    from faceskd.evaluation.evaluate import FacePairs

BATCH_SIZES = (1, 2, 5)


@dataclass(frozen=True)
class Parity:
    """How far an exported file is from the network, in units of the image range [0, 1].

    Attributes:
        max_abs_difference: the largest of any value of any face.
        mean_abs_difference: the mean over all values.
        psnr_db: of the file's SR faces against the network's; infinite where they are equal.
        tolerance: the largest difference that was accepted.
        least_psnr_db: the least PSNR that was accepted; 0 accepts any.
        batch_sizes: the batch sizes compared.
        faces: what was compared on.
    """

    max_abs_difference: float
    mean_abs_difference: float
    psnr_db: float
    tolerance: float
    least_psnr_db: float
    batch_sizes: tuple[int, ...]
    faces: str

    def as_dict(self) -> dict[str, Any]:
        """The figures, fit for JSON: an infinite PSNR is None."""
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
        network: in eval mode, on the CPU.
        load: loads the file by its own runtime.
        tolerance: largest accepted absolute difference.
        least_psnr: least accepted PSNR of the file's images against the network's, dB.
        faces: whose LR faces to compare on, from the first; None takes synthetic portraits.
        batch_sizes: each is compared, with other faces in each batch.

    Raises:
        ExportError: the runtime refuses the file or a batch size, gives another shape, or differs
            by more than `tolerance` anywhere or `least_psnr` altogether.
    """
    count = sum(batch_sizes)
    lr = sample_lr_faces(count) if faces is None else _first_lr(faces, count)
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
    """The first LR faces, (count, 3, 32, 32); of fewer, from the first again."""
    return torch.stack([faces[index % len(faces)]["lr"] for index in range(count)])


def _guarded(message: str, call: Callable[[], Any]) -> Any:
    """Runtimes have exceptions of their own kinds; to the user each is a failed export."""
    try:
        return call()
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ExportError(f"{message}: {reason}; no file was written") from error
