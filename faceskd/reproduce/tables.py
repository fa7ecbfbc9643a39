"""Tables of the results: evaluations read from their folders and compared face by face."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean as mean
from typing import Any

from faceskd.common.direction import Direction
from faceskd.evaluation.evaluate import BICUBIC, HR
from faceskd.metrics import build_metric
from faceskd.metrics.identity import IDENTITY
from faceskd.reporting.tables import format_cell, markdown_table
from faceskd.reproduce import published

SHOWN = ("psnr", "ssim", "ms_ssim", "lpips", "fid", "frechet", "identity", "grid_index")
"""Metrics in the tables, by the beginning of their names. The CSV files have all metrics."""
COSTS = {
    "name": "model",
    "parameters": "parameters, M",
    "macs": "GMACs",
    "latency_ms": "median, ms",
    "latency_p90_ms": "p90, ms",
    "ratio": "x faster",
    "peak_bytes": "peak memory, MB",
    "dictionary_bytes": "dictionary, MB",
}
UNITS = {"parameters": 1e6, "macs": 1e9, "peak_bytes": 1e6, "dictionary_bytes": 1e6}


@dataclass(frozen=True)
class Evaluated:
    """A folder that `faceskd evaluate` wrote, and the table to make of it.

    Attributes:
        name: of the evaluation.
        title: of the table.
        folder: where the figures are.
        methods: the methods in their order, each with its trainings by other seeds.
        paper: the faces of the paper whose figures are shown beside (`published.QUALITY`), or None.
    """

    name: str
    title: str
    folder: Path
    methods: Mapping[str, Sequence[str]]
    paper: str | None = None

    @cached_property
    def record(self) -> dict[str, Any]:
        """The content of metrics.json."""
        return _read_json(self.folder / "metrics.json")

    def rows(self) -> list[dict[str, Any]]:
        """A row for each method: means over faces and trainings, and figures of the whole set."""
        return [
            {"method": method} | {
                name: mean(content["values"][name] for content in contents)
                for name in contents[0]["values"]
            }
            for method, contents in self._methods()
        ]  # fmt: skip

    def interval_rows(self) -> list[dict[str, str]]:
        """A row for each method with one training: 95 % bootstrap intervals of the means."""
        return [
            {"method": method}
            | {name: f"{format_cell(name, low)} to {format_cell(name, high)}"
               for name, (low, high) in contents[0]["interval_95"].items()}
            for method, contents in self._methods()
            if contents[0]["interval_95"] and len(contents) == 1
        ]  # fmt: skip

    def seed_rows(self) -> list[dict[str, str]]:
        """A row for each method with several trainings: the figure of each of them."""
        return [
            {"method": method}
            | {
                name: ", ".join(format_cell(name, content["values"][name]) for content in contents)
                for name in contents[0]["values"]
            }
            for method, contents in self._methods()
            if len(contents) > 1
        ]

    def _methods(self) -> list[tuple[str, list[dict[str, Any]]]]:
        """What was measured of each method's trainings: bicubic, the methods in order, HR."""
        measured = self.record["metrics"]
        found = []
        for method, names in {BICUBIC: [BICUBIC], **self.methods, HR: [HR]}.items():
            if contents := [measured[name] for name in names if name in measured]:
                found.append((method, contents))
        return found

    @cached_property
    def _per_image(self) -> list[dict[str, str]]:
        with (self.folder / "per_image.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def figures(self, method: str, metric: str) -> list[dict[str, float]]:
        """The figure of each face by its name, for each training; empty if it was not measured."""
        found: dict[str, dict[str, float]] = {}
        for row in self._per_image:
            if row["method"] in self.methods.get(method, ()) and row.get(metric):
                found.setdefault(row["method"], {})[row["name"]] = float(row[metric])
        return list(found.values())

    def metrics(self) -> list[str]:
        """Names of the metrics that each face has."""
        return list(self._per_image[0])[2:] if self._per_image else []

    def markdown(self) -> str:
        """Markdown: the table, the intervals, what was not measured, and the pictures."""
        rows = _shown(self.rows())
        names = dict.fromkeys(name for row in rows for name in row if name != "method")
        rows = [row | published.beside(self.paper, row["method"]) for row in rows]
        reference = next((row for row in rows if row["method"] == HR), None)
        table = markdown_table(
            rows, better={name: direction(name) for name in names}, reference=reference
        )
        parts = [f"## {self.title}", f"{self.record['faces']} faces.", table]
        if intervals := _shown(self.interval_rows()):
            parts += ["95 % intervals of the means:", markdown_table(intervals)]
        if seeds := _shown(self.seed_rows()):
            parts += [
                "Each training of the methods that have several seeds:",
                markdown_table(seeds),
            ]
        missing = self.record["unavailable"].items()
        parts += [f"Not measured: `{name}`: {why}" for name, why in missing]
        pictures = {
            "faces.png": "faces",
            "left_eye.png": "eyes, 300 %",
            "mouth.png": "mouth, 300 %",
        }
        found = [file for file in pictures if (self.folder / file).is_file()]
        place = self.folder.name
        parts += [f"[{pictures[file]}]({place}/{file})" for file in found[1:]]
        parts += [f"![{pictures[file]}]({place}/{file})" for file in found[:1]]
        return "\n\n".join(parts)


def direction(metric: str) -> Direction:
    """Whether higher or lower values of a metric are better, or those near the HR faces' value.

    Examples:
        >>> direction("identity_mobilefacenet"), direction("lpips_squeeze")
        ('higher', 'lower')
    """
    return build_metric(IDENTITY if metric.startswith(IDENTITY) else metric).better


def cost_rows(profile: Path) -> list[dict[str, Any]]:
    """Table 3, from a profile.json: a row for each network."""
    rows = []
    for record in _read_json(profile)["rows"]:
        row = {}
        for key, label in COSTS.items():
            value = record[key]
            row[label] = value / UNITS[key] if value is not None and key in UNITS else value
        row = {k: round(v, 2) if _is_finite(v) else v for k, v in row.items()}
        paper = published.COSTS.get(str(record["name"]).split("@")[0], {})
        rows.append(row | {f"paper: {name}": value for name, value in paper.items()})
    return rows


def _shown(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows with only the columns of the tables; a row that has none of them is left out."""
    wanted = ("method", *SHOWN)
    kept = [{k: v for k, v in row.items() if k.startswith(wanted)} for row in rows]
    return [row for row in kept if len(row) > 1]


def _is_finite(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
