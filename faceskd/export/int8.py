"""int8 in ONNX, run by ONNX Runtime: static quantisation calibrated on real faces.

Weights have 8 bits with a scale for each output channel, activations 8 bits with one scale for
each tensor, found as the least and greatest value over the calibration faces (Jacob et al., CVPR
2018). A light student took less than half of fp32's time in the same runtime (AVX512-VNNI).

NNCF with OpenVINO, the other candidate, was measured beside it on that student: a fifth faster,
ten times the loss of PSNR, and two more packages. Its runtime reads the files written here too.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from faceskd.common.errors import ConfigError, MissingExtraError
from faceskd.data.dataset import FaceDataset
from faceskd.data.degradation import Degradation
from faceskd.export.base import Limits
from faceskd.export.onnx import Onnx, quiet, seal
from faceskd.models.base import SuperResolver

QUANTISED = ("Conv", "Relu", "LeakyRelu", "Add")
NARROW = 16  # channels; convolutions of fewer stay fp32
RGB = 3


class Int8(Onnx):
    """Writes a network as ONNX whose inner convolutions compute in int8.

    What reads or writes an image (three channels) stays fp32, the first and the last convolution
    and the addition of the enlarged LR face among it: at 8 bits their steps are as large as the
    image's own. So do convolutions of fewer than 16 channels: there is little to save in them, and
    in a student of 8 channels rounding them doubled the change of LPIPS.

    Args:
        calibration: folder of prepared faces; their train split is used, evenly spread.
        degradation: makes LR faces of them.
        count: how many.
        opset: of the ONNX file.
        tolerance: largest accepted difference from fp32, of a range of 1.
        least_psnr: least accepted PSNR against fp32's images, dB.

    Raises:
        ConfigError: there are no calibration faces, or not at least one is asked for.
    """

    format = "int8"
    precision = "int8"
    arithmetic = (
        "inner convolutions have 8-bit weights, with a scale for each channel, and 8-bit "
        "activations, with one for each tensor; what reads or writes an image, and convolutions of "
        f"fewer than {NARROW} channels, are fp32"
    )
    limits = Limits(psnr=0.2, lpips_squeeze=0.01)

    def __init__(
        self,
        *,
        calibration: Path | str | None,
        degradation: Degradation,
        count: int = 96,
        opset: int = 20,
        tolerance: float = 0.2,
        least_psnr: float = 35.0,
    ) -> None:
        super().__init__(opset=opset, tolerance=tolerance)
        if calibration is None:
            raise ConfigError(
                "int8 is calibrated on real faces: set calibration (or faces) to a folder that "
                "`faceskd prepare` wrote"
            )
        if count < 1:
            raise ConfigError(f"expected at least 1 face to calibrate on, got {count}")
        self.calibration = calibration
        self.degradation = degradation
        self.count = count
        self.least_psnr = least_psnr

    def write(self, network: SuperResolver, path: Path, metadata: dict[str, str]) -> None:
        """Write the network in fp32, calibrate it, and write it quantised.

        Raises:
            MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
            FacesError: the calibration faces are missing.
        """
        try:
            from onnxruntime import quantization
            from onnxruntime.quantization.shape_inference import quant_pre_process
        except ImportError as error:
            raise MissingExtraError(error.name or "onnxruntime", "export") from error
        faces = self._faces()
        with tempfile.TemporaryDirectory() as folder, quiet():
            whole, prepared = Path(folder, "whole.onnx"), Path(folder, "prepared.onnx")
            super().write(network, whole, metadata)
            quant_pre_process(whole, prepared, skip_symbolic_shape=True)
            quantization.quantize_static(
                prepared,
                path,
                _reader(faces),
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                op_types_to_quantize=list(QUANTISED),
                nodes_to_exclude=_kept_in_fp32(prepared),
            )
        seal(path, metadata | {"calibration": f"{len(faces)} faces, {self.degradation}"})

    def _faces(self) -> list[np.ndarray]:
        """The LR faces to calibrate on, each (1, 3, 32, 32), float32 in [0, 1]."""
        train = FaceDataset(self.calibration, "train", self.degradation)
        places = np.linspace(0, len(train) - 1, min(self.count, len(train))).round().astype(int)
        return [train[int(place)]["lr"][None].numpy() for place in places]  # type: ignore


def _reader(faces: list[np.ndarray]) -> Any:
    """The faces as ONNX Runtime wants to be given them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._faces: Iterator[np.ndarray] = iter(faces)

        def get_next(self) -> dict[str, np.ndarray] | None:
            face = next(self._faces, None)
            return None if face is None else {"lr": face}

    return Reader()


def _kept_in_fp32(path: Path) -> list[str]:
    """Names of the nodes at images, and of narrow convolutions."""
    import onnx

    graph = onnx.load(path).graph
    channels = {
        value.name: value.type.tensor_type.shape.dim[1].dim_value
        for value in (*graph.input, *graph.output, *graph.value_info)
        if len(value.type.tensor_type.shape.dim) == 4
    }

    def is_kept(node: Any) -> bool:
        widths = [channels[name] for name in (*node.input, *node.output) if name in channels]
        return RGB in widths or (node.op_type == "Conv" and min(widths) < NARROW)

    return [node.name for node in graph.node if is_kept(node)]
