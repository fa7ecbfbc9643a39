"""Report of an evaluation: tables for the screen, in Markdown, CSV and JSON, and pictures."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from torch import Tensor

from faceskd.common.files import make_folder, write_text
from faceskd.common.images import write_image
from faceskd.common.machine import circumstances
from faceskd.evaluation.evaluate import BICUBIC, HR, LR, Evaluation
from faceskd.evaluation.kinds import compare_kinds, kind_rows
from faceskd.evaluation.skin_tones import SkinTones
from faceskd.reporting.pictures import close_ups, image_grid
from faceskd.reporting.tables import format_cell, markdown_table, rich_table, write_csv

CLOSE_UPS = ("left_eye", "right_eye", "mouth")


def evaluation_table(evaluation: Evaluation, title: str | None = None) -> Table:
    """The table of an evaluation, for the screen."""
    rows = evaluation.rows()
    return rich_table(rows, title=title, transpose=True, **_table_options(evaluation, rows))


def write_report(
    evaluation: Evaluation,
    out: Path | str,
    *,
    extra: Mapping[str, Any] | None = None,
    tones: SkinTones | None = None,
    kinds: Mapping[str, str] | None = None,
    pictured: Sequence[str] | None = None,
) -> Path:
    """Write per_image.csv, metrics.json, report.md and pictures into the folder `out`.

    Args:
        evaluation: result of `faceskd.evaluation.evaluate.evaluate`.
        out: folder; it is created.
        extra: further settings (data, degradation, weights files) as plain values, written into
            metrics.json and report.md.
        tones: results by skin tone; None leaves the section out.
        kinds: face -> kind of face; where there are several, each gets its own figures.
        pictured: methods in the pictures, beside LR, bicubic and HR; None for all.

    Returns:
        The path of report.md.
    """
    out = make_folder(out)
    write_csv(out / "per_image.csv", evaluation.per_image_rows())
    record = _record(evaluation, dict(extra or {}))
    if tones is not None:
        record["skin_tone"] = tones.record()
    if kinds is not None:
        record["kinds"] = compare_kinds(evaluation, kinds)
    write_text(out / "metrics.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    pictures = _write_pictures(evaluation, out, pictured)
    sections = [f"## {caption}\n\n![{caption}]({file})" for file, caption in pictures.items()]
    if tones is not None:
        sections = [*_skin_tone_section(evaluation, tones, out), *sections]
    if len(record.get("kinds", ())) > 1:
        sections = [*_kinds_section(record["kinds"]), *sections]
    write_text(out / "report.md", _markdown(evaluation, record, sections))
    return out / "report.md"


def _table_options(evaluation: Evaluation, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Arrows, the HR row as reference, and the number of images next to Frechet distances."""
    count = len(evaluation.faces)
    sets = {name for name in evaluation.metrics if name.startswith(("fid", "frechet"))}
    return {
        "better": {name: evaluation.better[name] for name in evaluation.metrics},
        "reference": next(row for row in rows if row["method"] == HR),
        "headers": {name: f"{name} ({count} faces)" for name in sets},
    }


def _record(evaluation: Evaluation, extra: dict[str, Any]) -> dict[str, Any]:
    intervals = evaluation.intervals()
    return {
        "faces": len(evaluation.faces),
        "metrics": {
            method: {"values": scores.summary(), "interval_95": intervals.get(method, {})}
            for method, scores in evaluation.scores.items()
        },
        "unavailable": evaluation.unavailable,
        "settings": evaluation.settings | extra,
        **circumstances(),
    }


def _write_pictures(
    evaluation: Evaluation, out: Path, pictured: Sequence[str] | None
) -> dict[str, str]:
    """Write the pictures; returns a dict from file name to caption."""
    if not len(evaluation.boxes):
        return {}
    wanted = evaluation.pictures if pictured is None else {LR, BICUBIC, HR, *pictured}
    columns = _columns({k: v for k, v in evaluation.pictures.items() if k in wanted})
    rows = evaluation.faces[: len(evaluation.boxes)]
    captions = {"faces.png": "Faces"}
    write_image(out / "faces.png", image_grid(columns, rows))
    for component in CLOSE_UPS:
        file = f"{component}.png"
        captions[file] = f"{component.replace('_', ' ').capitalize()} at 300 %"
        write_image(out / file, close_ups(columns, evaluation.boxes, component, rows=rows))
    return captions


def _columns(pictures: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.upper() if name in (LR, HR) else name: faces for name, faces in pictures.items()}


def _skin_tone_section(evaluation: Evaluation, tones: SkinTones, out: Path) -> list[str]:
    labels = tones.labels(evaluation.faces)
    write_image(out / "skin_tones.png", image_grid(_columns(tones.pictures), labels))
    nothing = "No visible shift of colour, and no significant difference between the thirds"
    if not tones.compared:
        nothing = "No visible shift of colour; too few faces to tell whether the thirds differ"
    said = [f"- {sentence}." for sentence in tones.said or [nothing]]
    return [
        "## By skin tone",
        "The faces are sorted by the individual typology angle (ITA) of the HR face's skin and "
        "split into three groups of the same size. Means with 95 % bootstrap intervals. Colour "
        "shifts are SR minus HR, in CIELAB: positive L is lighter, a redder, b yellower.",
        "\n".join(said),
        markdown_table(tones.rows()),
        "![Examples of each third](skin_tones.png)",
    ]


def _kinds_section(record: Mapping[str, Any]) -> list[str]:
    return [
        "## By kind of face",
        "The figures above are of all faces together. Means with 95 % bootstrap intervals.",
        markdown_table(kind_rows(record)),
    ]


def _markdown(evaluation: Evaluation, record: dict[str, Any], sections: Sequence[str]) -> str:
    rows = evaluation.rows()
    parts = [
        "# Evaluation",
        f"{record['faces']} faces. PSNR, SSIM, MS-SSIM, LPIPS and identity are means over faces. "
        "SR images are rounded to 8 bit, as in saved files. The best values are bold. For the "
        "grid index, the value closest to that of the HR faces is best.",
        markdown_table(rows, **_table_options(evaluation, rows)),
    ]
    if evaluation.unavailable:
        lines = [f"- `{name}`: {why}" for name, why in evaluation.unavailable.items()]
        parts.append("Not measured:\n\n" + "\n".join(lines))
    intervals = _interval_rows(evaluation)
    if intervals:
        parts += ["## 95 % intervals of the means, by bootstrap over faces"]
        parts += [markdown_table(intervals)]
    facts = record["settings"] | record["machine"]
    facts |= {"git_revision": record["git_revision"] or "none", "time": record["time"]}
    listed = [{"setting": key, "value": str(value)} for key, value in facts.items()]
    return "\n\n".join([*parts, *sections, "## How it was measured", markdown_table(listed)]) + "\n"


def _interval_rows(evaluation: Evaluation) -> list[dict[str, str]]:
    return [
        {"method": method}
        | {name: f"{format_cell(name, low)} to {format_cell(name, high)}"
           for name, (low, high) in intervals.items()}
        for method, intervals in evaluation.intervals().items()
    ]  # fmt: skip
