"""Write trained networks and dictionaries as models: files, cards, an index.

A network is fused and rounded to fp16, which halves the file, where the difference is not visible;
the card gives it in dB. A teacher's encoder stays unchanged, because its dictionary identifies the
encoder by a checksum of its weights. A dictionary is copied.
"""

import copy
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import torch

from faceskd.common.checks import check_choice
from faceskd.common.errors import ConfigError
from faceskd.common.files import atomic_path, held, make_folder, sha256, write_text
from faceskd.common.version import __version__
from faceskd.data.sample_faces import sample_lr_faces
from faceskd.evaluation.evaluate import HR
from faceskd.faces.align import template
from faceskd.faces.components import boxes_from_landmarks
from faceskd.jobs.plan import Options, weights_of
from faceskd.jobs.runner import Runner
from faceskd.models.base import SuperResolver
from faceskd.models.blocks import fuse
from faceskd.models.dictionary import Dictionary
from faceskd.models.frozen import frozen_parts
from faceskd.models.registry import to_stored
from faceskd.models.weights import load_network, read_weights, save_network, without_files
from faceskd.pretrained import (
    FOLDER,
    FORMAT,
    INDEX,
    ROLES,
    VERSION_MARK,
    PretrainedModel,
    available_models,
    load_pretrained,
)
from faceskd.pretrained.golden import golden_figures, golden_path, write_golden
from faceskd.reproduce.evaluations import (
    ENLARGEMENTS,
    SPLIT,
    enlargement,
    figures_of,
    is_measured,
    metrics_of,
)
from faceskd.reproduce.provenance import learning_curves, provenance

FACTS = ("licence", "notice", "task", "data", "starts_from", "limits", "bias")
MOST_BYTES = {"student": 60e6, "scene": 12e6, "teacher": 60e6, "dictionary": 60e6}
LEAST_PSNR = 60.0
"""Lowest PSNR, dB, between images of fp16 and fp32 weights, for fp16: not visible in 8 bits."""
LOCAL_SETTINGS = ("faces_folder", "photos", "methods", "weights_sha256")
"""Entries of metrics.json that name local files; they are left out of the card."""
NOTICE = "NOTICE"


def write_models(options: Options, runner: Runner, *, revision: str, data: Any) -> Path:
    """Write the models of a plan into `<out>/models`, in the form of the package's own folder.

    Another process that writes them, too, waits until this one is ready.

    Args:
        options: the plan.
        runner: all jobs are done.
        revision: of the source.
        data: what is known of the photos.
    """
    with held(runner.out / ".models.lock", on_busy=lambda: None):
        return _write_models(options, runner, revision=revision, data=data)


def _write_models(options: Options, runner: Runner, *, revision: str, data: Any) -> Path:
    folder = runner.out / "models"
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    shutil.copyfile(FOLDER / NOTICE, folder / NOTICE)
    _write_json(folder / INDEX, {"format": FORMAT, "models": []})
    shared = provenance(options, runner, revision=revision, data=data)
    models = sorted(options["models"].items(), key=lambda entry: -ROLES.index(entry[1]["role"]))
    for name, model in models:  # a dictionary before its teacher
        job, version = model["job"], options["version"]
        dictionary = model.get("dictionary", "")
        measured = _measured(options, runner.out, job)
        add_model(
            weights_of(job, runner.out),
            name=name,
            version=version,
            role=model["role"],
            facts=options["facts"] | {"task": model["task"]},
            folder=folder,
            metrics=measured.pop("metrics", None),
            dictionary=f"{dictionary}{VERSION_MARK}{version}" if dictionary else "",
            details=shared | measured,
        )
    return folder


def _measured(options: Options, out: Path, job: str) -> dict[str, Any]:
    """Figures on other faces than those of the card's head, and learning curves of each phase."""
    jobs = {name: config for name, config in options["jobs"].items() if config}  # null: left out
    trained = [name for name, config in jobs.items() if config["command"] == "train"]
    phases = [name for name in trained if name == job or name.startswith(f"{job}_")]
    curves = {"curves": {name: learning_curves(out / name) for name in phases}} if phases else {}
    if not is_measured(options, job):
        return curves
    split, kinds = options["report"]["split"], options["report"]["kinds"]
    files = {kind: metrics_of(out, job, split, kind) for kind in kinds}
    weights = weights_of(job, out)
    more = {kind: _figures(weights, files[kind], job)["evaluation"] for kind in kinds[1:]}
    validation = _figures(weights, metrics_of(out, job, SPLIT), job)["evaluation"]
    return curves | {
        "metrics": files[kinds[0]],
        "other_faces": more,
        "validation": validation,
    }


def add_model(
    weights: Path | str,
    *,
    name: str,
    version: int,
    role: str,
    facts: Mapping[str, Any],
    folder: Path | str,
    metrics: Path | str | None = None,
    method: str | None = None,
    dictionary: str = "",
    details: Mapping[str, Any] | None = None,
) -> PretrainedModel:
    """Write a model's file, its golden figures and its card, then its entry in the index.

    Args:
        weights: the file that `faceskd train` or `faceskd dictionary` wrote.
        name, version: of the model; a version that is there already is refused.
        role: one of `faceskd.pretrained.ROLES`.
        facts: texts of the card; the keys of `FACTS` are required.
        folder: where the models lie, with an index.
        metrics: metrics.json of the network; not for a dictionary or a network for backgrounds.
        method: name of the network in metrics.json; default: the only one that is no enlargement.
        dictionary: full name of the teacher's dictionary; it must be in the folder.
        details: what else the card says.

    Raises:
        FaceskdError: a text is missing, the version exists, the file is too large, the dictionary
            does not match, or the metrics were measured on other weights.
    """
    missing = [fact for fact in FACTS if not facts.get(fact)]
    if missing or role not in ROLES:
        raise ConfigError(f"expected a role of {ROLES} and facts {FACTS}; missing: {missing}")
    entries = available_models(folder)
    entry = PretrainedModel(
        name, role, str(facts["task"]), str(facts["licence"]), 0, 0, "", dictionary=dictionary,
        version=version,
    )  # fmt: skip
    check_new(entry, entries)
    path = Path(folder) / f"{entry.full_name}.safetensors"
    card = {"name": name, "version": version, "role": role, **facts, **(details or {})}
    if role == "dictionary":
        parameters, found = _write_dictionary(weights, path)
    else:
        card |= {} if role == "scene" else _figures(weights, metrics, method)
        card |= {"dictionary": dictionary} if dictionary else {}
        parameters, found = _write_network(
            weights, path, role=role, dictionary=_find(dictionary, entries)
        )
    entry = replace(
        entry,
        parameters=parameters,
        bytes=path.stat().st_size,
        sha256=sha256(path),
        figures=card.get("figures", {}),
    )
    card |= found | {"parameters": parameters, "bytes": entry.bytes, "sha256": entry.sha256}
    card |= {"faceskd": __version__, "released": date.today().isoformat()}
    _write_json(Path(folder) / f"{entry.full_name}.json", card)
    write_index(folder, [*entries, entry])
    if role != "dictionary":
        measured = golden_figures(load_pretrained(entry.full_name, folder))
        write_golden(golden_path(Path(folder), entry.full_name), measured)
    return entry


def check_new(entry: PretrainedModel, entries: Sequence[PretrainedModel]) -> None:
    """Raise a ConfigError if this version exists: released weights never change."""
    if entry.full_name in {other.full_name for other in entries}:
        raise ConfigError(
            f"{entry.full_name} is released already, and released weights never change: give them "
            "another version"
        )


def write_index(folder: Path | str, entries: Sequence[PretrainedModel]) -> None:
    """Write the list of models: students first, the versions of a model after each other."""
    order = sorted(entries, key=lambda one: (ROLES.index(one.role), one.name, one.version))
    _write_json(Path(folder) / INDEX, {"format": FORMAT, "models": list(map(asdict, order))})


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
    """Write `path`, in fp16 where that is not visible; how many parameters, what the card says."""
    stored = read_weights(weights)
    atoms = path.with_name(f"{dictionary.full_name}.safetensors") if dictionary else None
    network = load_network(weights, atoms)
    if network.uses_dictionary != (role == "teacher"):
        raise ConfigError(f"{str(weights)!r} holds a {type(network).__name__}, no {role}")
    wanted = network.dictionary_sha256
    if wanted != (dictionary.sha256 if dictionary else ""):
        raise ConfigError(
            f"expected the teacher's own dictionary, {wanted[:16] or 'none'}, got "
            f"{dictionary.full_name if dictionary else 'none'}"
        )
    config = without_files(stored.config)
    training = {key: value for key, value in stored.metadata.items() if key != "dictionary"}
    small, form = rounded(network), "fp16"
    psnr = _psnr(network, copy.deepcopy(small).float())
    if not psnr >= LEAST_PSNR:
        small, form = fuse(network), "fp32"
    with atomic_path(path) as temporary:
        save_network(temporary, small, config, training | {"fused": True, "stored": form})
        _check_size(temporary, role)
    parameters = sum(parameter.numel() for parameter in small.parameters())
    return parameters, {
        "training": training,
        "model": to_stored(config),
        "stored": form,
        "rounding_psnr_db": round(psnr, 1),
    }


def _write_dictionary(weights: Path | str, path: Path) -> tuple[int, dict[str, Any]]:
    dictionary = Dictionary.load(weights)
    _check_size(Path(weights), "dictionary")
    with atomic_path(path) as temporary:
        shutil.copyfile(weights, temporary)
    values = sum(atoms.numel() for atoms in dictionary.atoms.values())
    kept = ("taps", "atoms", "seed", "faces")
    training = {key: dictionary.provenance[key] for key in kept if key in dictionary.provenance}
    return values, {"training": training, "encoder": dictionary.encoder}


def _figures(weights: Path | str, metrics: Path | str | None, method: str | None) -> dict[str, Any]:
    """The entries of metrics.json for these weights, for plain enlargement and for HR."""
    if metrics is None or not Path(metrics).is_file():
        raise ConfigError(f"expected the metrics.json of an evaluation, got {str(metrics)!r}")
    record = json.loads(Path(metrics).read_text(encoding="utf-8"))
    methods = [name for name in record["metrics"] if name not in (*ENLARGEMENTS, HR)]
    if method is None and len(methods) == 1:
        (method,) = methods
    check_choice(methods, method=method)
    measured = record["settings"].get("weights_sha256", {}).get(method)
    if measured != sha256(weights):
        raise ConfigError(
            f"{str(metrics)!r} was measured on other weights: evaluate {str(weights)!r} first"
        )
    settings = {k: v for k, v in record["settings"].items() if k not in LOCAL_SETTINGS}
    plain = enlargement(record["metrics"])
    shown = {name: record["metrics"][name] for name in (plain, method, HR)}
    values = figures_of(shown[method]["values"])
    figures = {name: round(value, 4) for name, value in values.items()}
    kept = ("faces", "machine", "git_revision", "time", "unavailable")
    evaluation = {key: record.get(key) for key in kept}
    groups = {
        tone: {**group, "methods": {name: group["methods"][name] for name in (plain, method)}}
        for tone, group in record.get("skin_tone", {}).items()
    }
    evaluation |= {"settings": settings, "metrics": shown, "skin_tone": groups}
    if record.get("left_out"):
        evaluation["left_out"] = record["left_out"]
    if "skin_tones_by_size" in record:
        evaluation["skin_tone"] = record["skin_tones_by_size"]
    return {"figures": figures, "evaluation": evaluation}


def _find(name: str, entries: Sequence[PretrainedModel]) -> PretrainedModel | None:
    found = [entry for entry in entries if entry.full_name == name]
    if name and not found:
        raise ConfigError(f"expected a released dictionary, got {name!r}: release it first")
    return found[0] if found else None


def _check_size(path: Path, role: str) -> None:
    size = path.stat().st_size
    if size > MOST_BYTES[role]:
        raise ConfigError(
            f"expected a {role} of at most {MOST_BYTES[role] / 1e6:.0f} MB, got {size / 1e6:.1f} MB"
        )


@torch.inference_mode()
def _psnr(network: SuperResolver, other: SuperResolver) -> float:
    """PSNR in dB between the images of two networks, on synthetic faces."""
    lr = sample_lr_faces(4, size=network.size // network.scale)
    box = torch.from_numpy(boxes_from_landmarks(template(network.size)))
    boxes = box.expand(len(lr), -1, -1)
    mse = (network(lr, boxes) - other(lr, boxes)).double().square().mean().item()
    return min(-10 * math.log10(mse) if mse else math.inf, 200.0)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
