"""int8 in ONNX, run by ONNX Runtime: static quantisation, calibrated on real faces.

Weights have 8 bits and a scale for each output channel. Activations have 8 bits and one scale for
each tensor, from the smallest and the largest value over the calibration faces (Jacob et al., CVPR
2018). A light student took less than half the time of fp32 in the same runtime (AVX512-VNNI).

The alternative, NNCF with OpenVINO, was measured with the same student: it was a fifth faster, lost
ten times as much PSNR, and needs two more packages. OpenVINO can also run the files written here.
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
    """Writes a network as ONNX with inner convolutions in int8.

    Operators that read or write an image (three channels) stay fp32, such as the first and the last
    convolution and the addition of the enlarged LR face: an 8-bit step there is as large as a step
    of the image itself. Convolutions with fewer than 16 channels stay fp32, too. They take little
    time, and quantising them in a student with 8 channels doubled the change of LPIPS.

    Args:
        calibration: folder of prepared faces; faces are taken evenly from its train split.
        degradation: makes LR faces from them.
        count: number of calibration faces.
        seed: seed of the degradations.
        opset: opset version of the ONNX file.
        tolerance: largest accepted difference from fp32 images, which are in [0, 1].
        least_psnr: smallest accepted PSNR against fp32 images, in dB.

    Raises:
        ConfigError: `calibration` is missing, or `count` is below 1.
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
        seed: int = 0,
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
        self.seed = seed
        self.least_psnr = least_psnr

    def write(self, network: SuperResolver, path: Path, metadata: dict[str, str]) -> None:
        """Write the network in fp32, calibrate it, quantise it, and write the result.

        Raises:
            MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
            FacesError: the calibration faces are missing.
            ConfigError: the degradation makes LR faces of another size than the network takes.
        """
        try:
            from onnxruntime import quantization
            from onnxruntime.quantization.shape_inference import quant_pre_process
        except ImportError as error:
            raise MissingExtraError(error.name or "onnxruntime", "export") from error
        faces = self._faces(network)
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

    def _faces(self, network: SuperResolver) -> list[np.ndarray]:
        """LR faces for calibration, each (1, 3, S, S), float32 in [0, 1]."""
        train = FaceDataset(
            self.calibration, "train", self.degradation, size=network.size, seed=self.seed
        )
        places = np.linspace(0, len(train) - 1, min(self.count, len(train))).round().astype(int)
        faces = [train[int(place)]["lr"][None].numpy() for place in places]  # type: ignore
        expected, got = network.size // network.scale, faces[0].shape[-1]
        if got != expected:
            raise ConfigError(
                f"expected LR faces of {expected} px to calibrate on, got {got} px: give "
                f"{' '.join(degradation_of(network))}"
            )
        return faces


def degradation_of(network: SuperResolver) -> list[str]:
    """The options of `faceskd export` for the degradation that makes the LR faces of a network."""
    if network.scale == 1:
        return ["degradation=photo"]
    return ["degradation=paper", f"degradation.lr_size={network.size // network.scale}"]


def _reader(faces: list[np.ndarray]) -> Any:
    """A reader of the faces, as ONNX Runtime expects it."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._faces: Iterator[np.ndarray] = iter(faces)

        def get_next(self) -> dict[str, np.ndarray] | None:
            face = next(self._faces, None)
            return None if face is None else {"lr": face}

    return Reader()


def _kept_in_fp32(path: Path) -> list[str]:
    """Names of the nodes that read or write images, and of convolutions with few channels."""
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
