"""What is measured: a network in a form, with what has to run before it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from faceskd.align import template
from faceskd.components import boxes_from_landmarks
from faceskd.config import compose_model
from faceskd.detection import MTCNNDetector
from faceskd.dictionary import Dictionary
from faceskd.errors import ConfigError
from faceskd.images import to_uint8
from faceskd.models.base import SuperResolver
from faceskd.models.blocks import fold
from faceskd.models.teacher import Teacher
from faceskd.weights import build_network, load_network, read_weights, without_files

HR_SIZE = 256
WEIGHTS_SUFFIXES = (".safetensors", ".ckpt")

Prelude = Callable[[Tensor], Tensor]
"""From enlarged faces (B, 3, 256, 256) in [0, 1] to component boxes (B, 4, 4)."""


class Form(NamedTuple):
    """A number format and the layout that goes with it; None leaves the weights as they are."""

    dtype: torch.dtype | None
    layout: torch.memory_format

    @property
    def precision(self) -> torch.dtype:
        return self.dtype or torch.float32


FORMS = {
    "fp32": Form(None, torch.contiguous_format),
    "bf16": Form(torch.bfloat16, torch.channels_last),
}


@dataclass(frozen=True)
class Subject:
    """How to make a network, so that a fresh process can make it too.

    Attributes:
        build: picklable; makes the network. Subjects that share it and the form share the network.
        form: a key of `FORMS`.
        prelude: what finds the component boxes, inside the time that is measured; None gives
            typical boxes, outside it.
        imports: modules that the network needs: what they take is not the network's memory.
    """

    build: Callable[[], SuperResolver]
    form: str = "fp32"
    prelude: Prelude | None = None
    imports: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ConfigError(f"expected a form of {sorted(FORMS)}, got {self.form!r}")

    def network(self, device: torch.device) -> SuperResolver:
        """The network in its form, as `Restorer` runs it: in eval mode, its norms folded."""
        form = FORMS[self.form]
        network = fold(self.build()).to(device=device, dtype=form.dtype)
        return network.to(memory_format=form.layout)

    def prepare(self, network: SuperResolver, lr: Tensor) -> Callable[[], Tensor]:
        """One pass over LR faces, fp32 (B, 3, 32, 32), as a function of nothing."""
        form, device = FORMS[self.form], lr.device
        given = lr.to(form.precision).contiguous(memory_format=form.layout)
        boxes = typical_boxes(len(lr)).to(device)

        def run() -> Tensor:
            found = boxes if self.prelude is None else self.prelude(_enlarge(lr))
            return network(given, found)

        return run


class MTCNNBoxes:
    """Component boxes by MTCNN, as a prelude; typical ones for a face that it does not find."""

    def __init__(self, min_face: float = HR_SIZE / 2) -> None:
        self.min_face = min_face

    @cached_property
    def _detector(self) -> MTCNNDetector:
        return MTCNNDetector(min_face=self.min_face)

    def __call__(self, enlarged: Tensor) -> Tensor:
        boxes = typical_boxes(len(enlarged))
        for index, image in enumerate(to_uint8(enlarged)):
            faces = self._detector.detect(image)
            if faces:
                found = boxes_from_landmarks(faces[0].landmarks, HR_SIZE)
                boxes[index] = torch.from_numpy(found)
        return boxes.to(enlarged.device)


def named_subjects(
    models: Sequence[str],
    *,
    forms: Sequence[str] = ("fp32",),
    landmarks: Sequence[str] = ("given",),
    atoms: int = 512,
) -> dict[str, Subject]:
    """Subjects `<model>@<form>`, and `<model>+mtcnn@<form>` for networks that need boxes.

    Args:
        models: names of `conf/model/` (random weights) or files of weights.
        forms: keys of `FORMS`.
        landmarks: "given" leaves their detection out, "mtcnn" includes it; networks that need
            no boxes are measured once.
        atoms: size of the random dictionary of a teacher that has none.

    Raises:
        FaceskdError: an unknown model, form or kind of landmarks, or weights that do not load.
    """
    if unknown := set(landmarks) - {"given", "mtcnn"}:
        raise ConfigError(f"expected landmarks of given and mtcnn, got {sorted(unknown)}")
    subjects: dict[str, Subject] = {}
    detection = MTCNNBoxes()
    for model in models:
        is_file = Path(model).suffix in WEIGHTS_SUFFIXES
        config = read_weights(model).config if is_file else compose_model(model)
        needs_boxes = _is_teacher(config)
        build = partial(build_model, model, atoms=atoms)
        name = _file_name(Path(model)) if is_file else model
        for form in forms:
            if "given" in landmarks or not needs_boxes:
                subjects[_unused(f"{name}@{form}", subjects)] = Subject(build, form)
            if "mtcnn" in landmarks and needs_boxes:
                subjects[f"{name}+mtcnn@{form}"] = Subject(
                    build, form, detection, imports=("facenet_pytorch",)
                )
    return subjects


def build_model(model: str, *, atoms: int = 512) -> SuperResolver:
    """A network by its name in `conf/model/` (random weights, nothing downloaded) or its file."""
    if Path(model).suffix in WEIGHTS_SUFFIXES:
        return load_network(model)
    network = build_network(without_files(compose_model(model)))
    if isinstance(network, Teacher):
        encoder = network.encoder
        network.load_dictionary(Dictionary.random(encoder.taps, encoder.feature_info, atoms=atoms))
    return network.eval()


def typical_boxes(count: int) -> Tensor:
    """Component boxes of an aligned face, (count, 4, 4), xyxy in SR pixels."""
    boxes = boxes_from_landmarks(template(HR_SIZE), HR_SIZE)
    return torch.from_numpy(np.repeat(boxes[None], count, axis=0))


def _enlarge(lr: Tensor) -> Tensor:
    size = (HR_SIZE, HR_SIZE)
    return torch.nn.functional.interpolate(lr, size, mode="bicubic").clamp(0, 1)


def _is_teacher(config: dict[str, Any]) -> bool:
    return config["_target_"] == f"{Teacher.__module__}.{Teacher.__name__}"


def _file_name(path: Path) -> str:
    """What to call a file: a training's `weights.safetensors` is known by its folder."""
    return path.absolute().parent.name if path.stem == "weights" else path.stem


def _unused(name: str, taken: dict[str, Subject]) -> str:
    if name in taken:
        raise ConfigError(f"expected models of different names, got {name!r} twice")
    return name
