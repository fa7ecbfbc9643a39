"""Add a trained network or a dictionary to the models in the package (`faceskd.pretrained`).

    python tools/release_model.py runs/release/lite_m/weights.safetensors --name lite-m \
        --role student --metrics runs/release/lite_m/test/metrics.json --facts lite-m.yaml

A network is fused and rounded to fp16, which halves the file. The difference is not visible; the
card gives it in dB. A teacher's encoder stays unchanged, because its dictionary identifies the
encoder by a checksum of its weights. METRICS is the file that `faceskd evaluate` wrote for exactly
these weights. FACTS is a YAML file with the texts of the card: licence, notice, task, data,
starts_from, limits, bias (see tools/cards/).

A dictionary is copied. If it is too large for the package, `--recipe COMMAND` leaves it out: the
index then contains its checksum and the command that builds it.
"""

import argparse
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

import faceskd
from faceskd.common.config import fail, to_plain
from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.common.files import atomic_path, sha256, write_text
from faceskd.data.sample_faces import sample_lr_faces
from faceskd.evaluation.evaluate import BICUBIC, HR
from faceskd.faces.align import template
from faceskd.faces.components import boxes_from_landmarks
from faceskd.models.base import SuperResolver
from faceskd.models.blocks import fuse
from faceskd.models.dictionary import Dictionary
from faceskd.models.frozen import frozen_parts
from faceskd.models.registry import to_stored
from faceskd.models.weights import load_network, read_weights, save_network, without_files
from faceskd.pretrained import FOLDER, FORMAT, INDEX, ROLES, PretrainedModel, available_models

FACTS = ("licence", "notice", "task", "data", "starts_from", "limits", "bias")
MOST_BYTES = {"student": 60e6, "teacher": 60e6, "dictionary": 60e6}
LEAST_PSNR = 60.0
"""Lowest allowed PSNR, dB, between images of fp16 and fp32 weights: not visible in 8 bits."""
LOCAL_SETTINGS = ("faces_folder", "methods", "weights_sha256")
"""Entries of metrics.json that name local files; they are left out of the card."""


def release(
    weights: Path | str,
    *,
    name: str,
    role: str,
    facts: dict[str, Any],
    metrics: Path | str | None = None,
    method: str | None = None,
    dictionary: str = "",
    recipe: str = "",
    folder: Path | str = FOLDER,
) -> PretrainedModel:
    """Write the model's file, then its card, then its entry in the index.

    Args:
        weights: the file that `faceskd train` or `faceskd dictionary` wrote.
        name: name of the model in the package.
        role: "student", "teacher" or "dictionary".
        facts: texts of the card; the keys of `FACTS` are required.
        metrics: metrics.json of the network; not for a dictionary.
        method: name of the network in metrics.json; default: the only one that is not bicubic.
        dictionary: name of the teacher's dictionary; it must have been released before.
        recipe: command that builds a dictionary too large for the package.
        folder: where the models lie; default: the package's folder.

    Raises:
        FaceskdError: a text is missing, the file is too large, the dictionary does not match, or
            the metrics were measured on other weights.
    """
    if recipe and role != "dictionary":
        raise ConfigError(f"expected a recipe for a dictionary only, got one for a {role}")
    missing = [fact for fact in FACTS if not facts.get(fact)]
    if missing or role not in ROLES:
        raise ConfigError(f"expected a role of {ROLES} and facts {FACTS}; missing: {missing}")
    entries = [entry for entry in available_models(folder) if entry.name != name]
    path = Path(folder) / f"{name}.safetensors"
    card = {"name": name, "role": role, **facts}
    if role == "dictionary":
        parameters, details = _write_dictionary(weights, None if recipe else path)
    else:
        card |= _figures(weights, metrics, method)
        card |= {"dictionary": dictionary} if dictionary else {}
        parameters, details = _write_network(
            weights, path, role=role, dictionary=_find(dictionary, entries)
        )
    source = Path(weights) if recipe else path
    entry = PretrainedModel(
        name=name,
        role=role,
        task=str(facts["task"]),
        licence=str(facts["licence"]),
        parameters=parameters,
        bytes=source.stat().st_size,
        sha256=sha256(source),
        figures=card.get("figures", {}),
        dictionary=dictionary,
        recipe=recipe,
    )
    card |= details | {"parameters": parameters, "bytes": entry.bytes, "sha256": entry.sha256}
    card |= {"faceskd": faceskd.__version__, "released": date.today().isoformat()}
    _write_json(Path(folder) / f"{name}.json", card)
    models = sorted([*entries, entry], key=lambda model: (ROLES.index(model.role), model.name))
    _write_json(Path(folder) / INDEX, {"format": FORMAT, "models": list(map(asdict, models))})
    return entry


def rounded(network: SuperResolver) -> SuperResolver:
    """A fused copy with weights in fp16; a teacher's encoder stays in fp32."""
    kept = frozen_parts(network)
    network = fuse(network)
    for name, part in network.named_children():
        if name not in kept:
            part.half()
    return network


def _write_network(
    weights: Path | str, path: Path, *, role: str, dictionary: PretrainedModel | None
) -> tuple[int, dict[str, Any]]:
    """Write `path` and hold it to the original; how many parameters, and what the card says."""
    stored = read_weights(weights)
    atoms = path.with_name(f"{dictionary.name}.safetensors") if dictionary else None
    network = load_network(weights, atoms if atoms and atoms.is_file() else None)
    if network.uses_dictionary != (role == "teacher"):
        raise ConfigError(f"{str(weights)!r} holds a {type(network).__name__}, no {role}")
    wanted = network.dictionary_sha256
    if wanted != (dictionary.sha256 if dictionary else ""):
        raise ConfigError(
            f"expected --dictionary as the name of the released dictionary {wanted[:16] or 'none'},"
            f" got {dictionary.name if dictionary else 'none'}"
        )
    config = without_files(stored.config)
    training = {key: value for key, value in stored.metadata.items() if key != "dictionary"}
    small = rounded(network)
    with atomic_path(path) as temporary:
        save_network(temporary, small, config, training | {"fused": True, "stored": "fp16"})
        _check_size(temporary, role)
        psnr = _psnr(network, small.float())
    parameters = sum(parameter.numel() for parameter in small.parameters())
    return parameters, {
        "training": training,
        "model": to_stored(config),
        "rounding_psnr_db": round(psnr, 1),
    }


def _write_dictionary(weights: Path | str, path: Path | None) -> tuple[int, dict[str, Any]]:
    dictionary = Dictionary.load(weights)
    if path is not None:
        _check_size(Path(weights), "dictionary")
        with atomic_path(path) as temporary:
            shutil.copyfile(weights, temporary)
    values = sum(atoms.numel() for atoms in dictionary.atoms.values())
    kept = ("taps", "atoms", "seed", "faces")
    training = {key: dictionary.provenance[key] for key in kept if key in dictionary.provenance}
    return values, {"training": training, "encoder": dictionary.encoder}


def _figures(weights: Path | str, metrics: Path | str | None, method: str | None) -> dict[str, Any]:
    """The entries of metrics.json for these weights, for bicubic and for HR."""
    if metrics is None or not Path(metrics).is_file():
        raise ConfigError(f"expected the metrics.json of an evaluation, got {str(metrics)!r}")
    record = json.loads(Path(metrics).read_text(encoding="utf-8"))
    methods = [name for name in record["metrics"] if name not in (BICUBIC, HR)]
    if method is None and len(methods) == 1:
        (method,) = methods
    if method not in methods:
        raise ConfigError(f"expected --method, one of {methods}, got {method!r}")
    measured = record["settings"].get("weights_sha256", {}).get(method)
    if measured != sha256(weights):
        raise ConfigError(
            f"{str(metrics)!r} was measured on other weights: evaluate {str(weights)!r} first"
        )
    settings = {k: v for k, v in record["settings"].items() if k not in LOCAL_SETTINGS}
    shown = {name: record["metrics"][name] for name in (BICUBIC, method, HR)}
    figures = {name: round(value, 4) for name, value in shown[method]["values"].items()}
    evaluation = {key: record[key] for key in ("faces", "machine", "git_revision", "time")}
    groups = {
        tone: {**group, "methods": {name: group["methods"][name] for name in (BICUBIC, method)}}
        for tone, group in record.get("skin_tone", {}).items()
    }
    evaluation |= {"settings": settings, "metrics": shown, "skin_tone": groups}
    return {"figures": figures, "evaluation": evaluation}


def _find(name: str, entries: Sequence[PretrainedModel]) -> PretrainedModel | None:
    found = [entry for entry in entries if entry.name == name]
    if name and not found:
        raise ConfigError(f"expected a released dictionary, got {name!r}: release it first")
    return found[0] if found else None


def _check_size(path: Path, role: str) -> None:
    size = path.stat().st_size
    if size > MOST_BYTES[role]:
        raise ConfigError(
            f"expected a {role} of at most {MOST_BYTES[role] / 1e6:.0f} MB, got {size / 1e6:.1f} MB"
            + ("; use --recipe to leave it out of the package" if role == "dictionary" else "")
        )


@torch.inference_mode()
def _psnr(network: nn.Module, other: nn.Module) -> float:
    """PSNR in dB between the images of two networks, on synthetic faces.

    Raises:
        ConfigError: the PSNR is below `LEAST_PSNR`.
    """
    lr = sample_lr_faces(4)
    boxes = torch.from_numpy(boxes_from_landmarks(template(256))).expand(len(lr), -1, -1)
    mse = (network(lr, boxes) - other(lr, boxes)).double().square().mean().item()
    psnr = min(-10 * math.log10(mse) if mse else math.inf, 200.0)
    if not psnr >= LEAST_PSNR:
        raise ConfigError(f"expected {LEAST_PSNR} dB or more after rounding, got {psnr:.1f} dB")
    return psnr


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Add trained weights to the package.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--role", required=True, choices=ROLES)
    parser.add_argument("--facts", required=True, type=Path, help="YAML, the card's texts")
    parser.add_argument("--metrics", type=Path)
    parser.add_argument("--method", help="name of the network in METRICS")
    parser.add_argument("--dictionary", default="", metavar="NAME", help="dictionary of a teacher")
    parser.add_argument("--recipe", default="", metavar="COMMAND")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = vars(parser.parse_args())
    try:
        facts = to_plain(DictConfig(OmegaConf.load(options.pop("facts"))))
        entry = release(**options, facts=facts)
    except FaceskdError as error:
        raise fail(error) from None
    print(f"{entry.name}: {entry.parameters:,} parameters, {entry.bytes / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
