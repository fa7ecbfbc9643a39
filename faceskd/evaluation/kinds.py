"""Evaluation by kind of face: photographs of people, generated and drawn faces apart.

Generated faces have harder texture than photographs, so their figures say little of people.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from faceskd.evaluation.evaluate import HR, Evaluation, bootstrap_interval
from faceskd.reporting.tables import format_cell

UNKNOWN = "unknown"


def compare_kinds(evaluation: Evaluation, kinds: Mapping[str, str]) -> dict[str, Any]:
    """Kind -> {"faces": how many, "methods": method -> metric -> mean and 95 % interval}.

    Args:
        evaluation: results with values for each face.
        kinds: face -> kind (`faceskd.data.sources.KINDS`); "" counts as "unknown".
    """
    of_face = [kinds.get(face) or UNKNOWN for face in evaluation.faces]
    return {
        kind: {
            "faces": count,
            "methods": {
                method: {
                    name: _figure([v for v, k in zip(values, of_face, strict=True) if k == kind])
                    for name, values in scores.per_image.items()
                }
                for method, scores in evaluation.scores.items()
                if method != HR
            },
        }
        for kind, count in sorted(Counter(of_face).items(), reverse=True)
    }


def kind_rows(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """A table of `compare_kinds`: one row for each method and kind."""
    methods = next(iter(record.values()))["methods"]
    return [
        {"method": method, "kind": kind, "faces": str(entry["faces"])}
        | {name: _cell(name, figure) for name, figure in entry["methods"][method].items()}
        for method in methods
        for kind, entry in record.items()
    ]


def _figure(values: list[float]) -> dict[str, Any]:
    interval = list(bootstrap_interval(values)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "interval_95": interval}


def _cell(name: str, figure: Mapping[str, Any]) -> str:
    text = format_cell(name, figure["mean"])
    if figure["interval_95"] is None:
        return text
    low, high = (format_cell(name, end) for end in figure["interval_95"])
    return f"{text} ({low} to {high})"
