"""Make subjects from names: networks of `conf/model/`, weights files, and exported files."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from faceskd.common.arguments import quoted
from faceskd.common.checks import check_choices, check_whole
from faceskd.common.config import compose, compose_model, conf_dir, instantiate
from faceskd.common.errors import ConfigError, ExportError, WeightsError, reason
from faceskd.export import card_path, export_network, load_exported
from faceskd.export.eager import DTYPES
from faceskd.export.int8 import degradation_of
from faceskd.models.base import SuperResolver
from faceskd.models.registry import from_stored
from faceskd.models.weights import build_network, load_network, network_class, read_weights
from faceskd.pretrained import (
    VERSION_MARK,
    available_models,
    is_model_name,
    load_pretrained,
    model_path,
)
from faceskd.profiling.landmarks import MTCNNBoxes
from faceskd.profiling.subjects import Subject

WEIGHTS_SUFFIXES = (".safetensors", ".ckpt")
LANDMARKS = ("given", "mtcnn")


class Named(NamedTuple):
    """Subjects by name, and the names of those that failed, with the reason."""

    subjects: dict[str, Subject]
    left_out: dict[str, str]


@dataclass(frozen=True)
class Exports:
    """Settings for exporting networks to files.

    Attributes:
        folder: folder for the files. It must exist as long as the subjects are used.
        calibration: folder of prepared faces, for formats that need one (int8).
    """

    folder: Path
    calibration: str | None = None

    def write(self, model: "Model", form: str) -> Path:
        """Export a network.

        Raises:
            FaceskdError: the network cannot be exported to this format, or not on this machine.
        """
        network = model.build()
        overrides = [f"format={form}", "weights=none", "out=none"]
        overrides += degradation_of(network)
        overrides.append(f"calibration={quoted(self.calibration)}")
        backend = instantiate(compose("export", overrides).format)
        if not any(True for _ in network.parameters()):
            raise ExportError(f"expected a network with weights, but {model.name} has none")
        path = self.folder / f"{model.name}.{form}{backend.suffix}"
        export_network(network, path, backend=backend, model_config=model.config)
        return path


@dataclass(frozen=True)
class Model:
    """A network that can be run in several forms: its name, its config, and how to build it."""

    name: str
    config: dict[str, Any]
    build: Callable[[], SuperResolver]

    @property
    def needs_boxes(self) -> bool:
        """Whether it needs component boxes."""
        return network_class(self.config).needs_boxes

    def in_form(self, form: str, exports: Exports | None, device: str) -> Subject:
        """The network run by PyTorch in a number format, or exported to a file."""
        if form in DTYPES or exports is None:
            return Subject(self.build, form, model=self.name)
        path = exports.write(self, form)
        return replace(exported_subject(path, device), build=self.build, model=self.name)


def named_subjects(
    models: Sequence[str],
    *,
    forms: Sequence[str] = ("fp32",),
    landmarks: Sequence[str] = ("given",),
    atoms: int = 512,
    side: int | None = None,
    exports: Exports | None = None,
    device: str = "cpu",
) -> Named:
    """Subjects named `<model>@<form>`, and `<model>+mtcnn@<form>` for networks that need boxes.

    Args:
        models: names from `conf/model/` (random weights), names of released models, weights files,
            or files that `faceskd export` wrote, which have one form only.
        forms: "fp32", "bf16" and "fp16", run by PyTorch, and formats of `conf/format/`.
        landmarks: "given" excludes the detection of landmarks, "mtcnn" includes it. Networks that
            need no boxes are measured once.
        atoms: number of random atoms for a teacher without a dictionary.
        side: side of the square result, px, for networks that take images of any size; None for
            the size that each was trained for.
        exports: settings for the formats of `conf/format/`; None refuses these formats.
        device: device of the subjects.

    Raises:
        FaceskdError: an unknown model, form or kind of landmarks, or weights that cannot be loaded.
    """
    _check_forms(forms, landmarks, exports)
    # All models are found before the first is exported.
    found = [_find(model, atoms, side) for model in models]
    if side is not None:
        _check_side(side, found)
    named = Named({}, {})
    detection = MTCNNBoxes()
    for model in found:
        needs_boxes = isinstance(model, Model) and model.needs_boxes
        for name, make in _makers(model, forms, exports, device):
            try:
                subject = make()
                subject.check(torch.device(device))
            except Exception as error:  # exporters and runtimes raise their own errors
                named.left_out[name] = reason(error)
                continue
            if "given" in landmarks or not needs_boxes:
                _add(named, subject)
            if "mtcnn" in landmarks and needs_boxes:
                _add(named, replace(subject, prelude=detection))
    return named


def build_model(model: str, *, atoms: int = 512, side: int | None = None) -> SuperResolver:
    """A network of `conf/model/` (random weights), of a released model, or of a weights file.

    Raises:
        ConfigError: the side is no multiple of the network's scale.
    """
    if released(model):
        network = load_pretrained(model)
    elif Path(model).suffix in WEIGHTS_SUFFIXES:
        network = load_network(model)
    else:
        network = build_random(compose_model(model), atoms=atoms)
    if side is not None:
        if side % network.scale:
            raise ConfigError(
                f"expected side as a multiple of the scale of {model}, {network.scale}, got {side}"
            )
        network.size = side
    return network


def build_random(config: dict[str, Any], *, atoms: int = 512) -> SuperResolver:
    """A network of a config or of a card, with random weights and a random dictionary."""
    network = build_network(from_stored(config), pretrained=False)
    if network.uses_dictionary:
        network.load_random_dictionary(atoms=atoms)
    return network.eval()


def exported_subject(path: Path, device: str = "cpu") -> Subject:
    """A subject from a file that `faceskd export` wrote, and from its card if there is one.

    Raises:
        FaceskdError: the file cannot be loaded on this device.
    """
    exported = load_exported(path, device=device)
    build = None
    if card_path(path).is_file():
        card = json.loads(card_path(path).read_text(encoding="utf-8"))
        build = partial(build_random, card["model"])
    return Subject(
        build,
        exported.format,
        file=path,
        precision=exported.precision,
        model=_file_name(path).removesuffix(f".{exported.format}"),
    )


def released(model: str) -> bool:
    """Whether a name asks for a released model; networks of `conf/model/` come first."""
    if not is_model_name(model) or (conf_dir() / "model" / f"{model}.yaml").is_file():
        return False
    return VERSION_MARK in model or model in {each.name for each in available_models()}


def _find(model: str, atoms: int, side: int | None) -> Model | Path:
    """A model from its name or weights file, or the path of an exported file."""
    path = Path(model)
    build = partial(build_model, model, atoms=atoms, side=side)
    if released(model):
        return Model(model, read_weights(model_path(model)).config, build)
    if not path.suffix:
        return Model(model, compose_model(model), build)
    if not path.is_file():
        raise WeightsError(
            f"expected a weights file or a name of conf/model/, found no file {model!r}"
        )
    if path.suffix not in WEIGHTS_SUFFIXES:
        return path
    stored = read_weights(path)
    if stored.metadata.get("precision", "fp32") != "fp32":
        return path
    return Model(_file_name(path), stored.config, build)


def _makers(
    model: Model | Path, forms: Sequence[str], exports: Exports | None, device: str
) -> list[tuple[str, Callable[[], Subject]]]:
    if isinstance(model, Path):
        return [(model.name, partial(exported_subject, model, device))]
    return [
        (f"{model.name}@{form}", partial(model.in_form, form, exports, device)) for form in forms
    ]


def _check_side(side: int, found: Sequence[Model | Path]) -> None:
    check_whole(1, side=side)
    for model in found:
        if isinstance(model, Path) or model.needs_boxes:
            raise ConfigError(
                f"side= is for networks that take images of any size, but {model.name} is an "
                "exported file or takes aligned faces: profile it without side="
            )


def _check_forms(forms: Sequence[str], landmarks: Sequence[str], exports: Exports | None) -> None:
    formats = sorted(path.stem for path in (conf_dir() / "format").glob("*.yaml"))
    known = list(dict.fromkeys([*DTYPES, *(formats if exports else [])]))
    check_choices(known, forms=forms)
    check_choices(LANDMARKS, landmarks=landmarks)


def _file_name(path: Path) -> str:
    """Name of a file; for a training's `weights.safetensors` it is the name of the folder."""
    return path.absolute().parent.name if path.stem == "weights" else path.stem


def _add(named: Named, subject: Subject) -> None:
    name = f"{subject.model}{'+mtcnn' if subject.prelude else ''}@{subject.form}"
    if name in named.subjects:
        raise ConfigError(f"expected models with different names, got {name!r} twice")
    named.subjects[name] = subject
