"""Report of an evaluation on whole photos: tables as CSV and Markdown, and pictures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from faceskd.common.files import make_folder, write_text
from faceskd.common.images import to_tensor, write_image
from faceskd.common.machine import circumstances
from faceskd.evaluation.photos import HR, LANCZOS, PhotoCase, PhotoEvaluation, resized
from faceskd.metrics.colour import SHIFT_NAMES, TYPOLOGY_ANGLE
from faceskd.reporting.pictures import image_grid
from faceskd.reporting.tables import format_cell, markdown_table, write_csv

METRICS = ("psnr", "lpips_squeeze", "identity", "grid_index", "niqe", TYPOLOGY_ANGLE, *SHIFT_NAMES)
"""What is measured on whole photos."""

PICTURE_SIDE = 256


class Examples:
    """Keeps the compared squares of the first faces of each size, for pictures.

    Args:
        show: how many of each size.
    """

    def __init__(self, show: int) -> None:
        self._show = show
        self._kept: dict[int, list[tuple[str, dict[str, np.ndarray]]]] = {}

    def __call__(self, case: PhotoCase, squares: Mapping[str, np.ndarray]) -> None:
        kept = self._kept.setdefault(case.size, [])
        if len(kept) < self._show:
            side = (PICTURE_SIDE, PICTURE_SIDE)
            kept.append((case.name, {name: resized(of, side) for name, of in squares.items()}))

    def write(self, out: Path) -> dict[str, str]:
        """Write a picture for each size; returns a dict from file name to caption."""
        captions = {}
        for size, kept in sorted(self._kept.items()):
            names = kept[0][1] if kept else {}
            columns = {
                name: torch.stack([to_tensor(squares[name]) for _, squares in kept])
                for name in names
            }
            if columns:
                file = f"faces_{size}.png"
                write_image(out / file, image_grid(columns, [name for name, _ in kept]))
                captions[file] = f"Faces of {size} px"
        return captions


def write_photo_report(
    evaluation: PhotoEvaluation,
    out: Path | str,
    *,
    settings: Mapping[str, Any],
    examples: Examples | None = None,
) -> Path:
    """Write photos.csv, skin_tones.csv, per_image.csv, metrics.json, report.md and pictures.

    metrics.json has the form of `faceskd.evaluation.report.write_report`: the name of a figure
    ends in the height of the faces, such as `lpips_squeeze_ratio_64`.

    Args:
        evaluation: from `faceskd.evaluation.photos.evaluate_photos`.
        out: folder; it is created.
        settings: what was evaluated on what, as plain values.
        examples: the `on_case` of the evaluation; None for no pictures.

    Returns:
        The path of report.md.
    """
    out = make_folder(out)
    rows, tones = evaluation.rows(), evaluation.by_skin_tone()
    write_csv(out / "photos.csv", rows)
    write_csv(out / "skin_tones.csv", tones)
    write_csv(out / "per_image.csv", _per_photo(evaluation))
    measured = circumstances()
    record = {
        "faces": max(row["faces"] for row in rows),
        "metrics": _by_method(evaluation, rows),
        "skin_tones_by_size": tones,
        "unavailable": evaluation.unavailable,
        "left_out": evaluation.left_out,
        "settings": dict(settings),
        **measured,
    }
    write_text(out / "metrics.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    pictures = examples.write(out) if examples is not None else {}
    facts = dict(settings) | measured["machine"]
    facts |= {"git_revision": measured["git_revision"] or "none", "time": measured["time"]}
    write_text(out / "report.md", _markdown(evaluation, tones, facts, pictures))
    return out / "report.md"


def summary_rows(evaluation: PhotoEvaluation) -> list[dict[str, Any]]:
    """One row for each size and method: the figures to look at first, with intervals.

    LPIPS is divided by that of Lanczos; PSNR and identity are differences to Lanczos. `skin` and
    `iris` are lengths of the mean colour shift in CIELAB.
    """
    intervals = evaluation.intervals()
    rows = []
    for row in evaluation.rows():
        given = intervals.get(row["face"], {}).get(row["method"], {})
        shown: dict[str, Any] = {name: row[name] for name in ("face", "method", "faces")}
        for column, name in (
            ("LPIPS ratio", "lpips_squeeze_ratio"),
            ("PSNR gain", "psnr_gain"),
            ("identity gain", "identity_gain"),
        ):
            if name in row and row["method"] not in (LANCZOS, HR):
                metric = next((m for m in given if m.startswith(name.split("_")[0])), "")
                shown[column] = _with_interval(name, row, given.get(metric))
        if "identity_below" in row and row["method"] not in (LANCZOS, HR):
            shown["identity below"] = f"{100 * row['identity_below']:.0f} %"
        if "grid_index" in row:
            shown["grid index"] = f"{row['grid_index']:.2f}"
        if "niqe" in row:
            shown["NIQE"] = f"{row['niqe']:.2f}"
        for region in ("skin", "iris"):
            if f"{region}_L" in row:
                shift = [row[f"{region}_{axis}"] for axis in "Lab"]
                shown[region] = f"{float(np.linalg.norm(shift)):.1f}"
        rows.append(shown)
    return rows


def _with_interval(name: str, row: Mapping[str, Any], limits: tuple[float, float] | None) -> str:
    """A figure, and its interval; that of a ratio is the difference's over Lanczos's mean."""
    value = row[name]
    if name.endswith("_ratio"):
        base = row[name.removesuffix("_ratio")] / max(value, 1e-9)
        limits = limits and (1 + limits[0] / base, 1 + limits[1] / base)
        return f"{value:.2f}" + (f" ({limits[0]:.2f} to {limits[1]:.2f})" if limits else "")
    text = f"{value:+.2f}" if name == "psnr_gain" else f"{value:+.3f}"
    digits = 2 if name == "psnr_gain" else 3
    return text + (f" ({limits[0]:+.{digits}f} to {limits[1]:+.{digits}f})" if limits else "")


def _by_method(evaluation: PhotoEvaluation, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Method -> values, and 95 % intervals of the differences to Lanczos, by figure and size."""
    found: dict[str, Any] = {}
    for row in rows:
        entry = found.setdefault(row["method"], {"values": {}, "interval_95": {}})
        for name, value in row.items():
            if name not in ("face", "method", "faces"):
                entry["values"][f"{name}_{row['face']}"] = value
    for size, methods in evaluation.intervals().items():
        for method, limits in methods.items():
            for name, interval in limits.items():
                found[method]["interval_95"][f"{name}_{size}"] = interval
    return found


def _per_photo(evaluation: PhotoEvaluation) -> list[dict[str, Any]]:
    return [
        {"name": f"{name} at {size} px", "method": method}
        | {metric: values[index] for metric, values in scores.per_image.items()}
        for size, methods in evaluation.scores.items()
        for method, scores in methods.items()
        for index, name in enumerate(scores.faces)
    ]


def _markdown(
    evaluation: PhotoEvaluation,
    tones: list[dict[str, Any]],
    facts: Mapping[str, Any],
    pictures: Mapping[str, str],
) -> str:
    parts = [
        "# Evaluation on whole photos",
        "Portraits were blurred, reduced so that the face has the height in the first column (px), "
        "given noise, saved as JPEG, and restored as whole photos. What is compared is a square of "
        "1.5 face boxes. Portraits with faces of less than 256 px were enlarged first, so they are "
        "less sharp. LPIPS ratio: divided by that of Lanczos. PSNR gain (dB), identity gain: minus "
        "that of Lanczos. In brackets: 95 % intervals, by bootstrap over faces. Identity below: "
        "share of faces less like themselves than by Lanczos. Skin, iris: length of the mean "
        "colour shift, CIELAB.",
        markdown_table(summary_rows(evaluation)),
    ]
    if evaluation.unavailable:
        lines = [f"- `{name}`: {why}" for name, why in evaluation.unavailable.items()]
        parts.append("Not measured:\n\n" + "\n".join(lines))
    if evaluation.left_out:
        lines = [f"- `{name}`: {why}" for name, why in evaluation.left_out.items()]
        parts.append("Portraits left out:\n\n" + "\n".join(lines))
    if tones:
        keys = ("face", "skin tone", "method", "psnr", "lpips_squeeze")
        short = [
            {
                name: format_cell(name, value) if isinstance(value, float) else value
                for name, value in row.items()
                if name in keys or name.startswith("identity") or name in ("skin_L", "skin_b")
            }
            for row in tones
        ]
        parts += ["## By skin tone", markdown_table(short)]
    parts += [f"## {caption}\n\n![{caption}]({file})" for file, caption in pictures.items()]
    listed = [{"setting": key, "value": str(value)} for key, value in facts.items()]
    return "\n\n".join([*parts, "## How it was measured", markdown_table(listed)]) + "\n"
