"""Tables from rows (mappings): for the screen, in Markdown, as CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from faceskd.common.checks import is_number
from faceskd.common.direction import Direction
from faceskd.common.files import atomic_path

_ARROWS: dict[Direction, str] = {"higher": " ↑", "lower": " ↓", "reference": " →HR"}
_MISSING = "–"

Row = Mapping[str, Any]


def column_names(rows: Sequence[Row]) -> list[str]:
    """All keys of the rows, in the order in which they first appear."""
    return list(dict.fromkeys(key for row in rows for key in row))


def best_rows(
    rows: Sequence[Row], better: Mapping[str, Direction], reference: Row | None = None
) -> dict[str, set[int]]:
    """For each column in `better`, the indices of the best rows, after rounding as printed.

    `reference` is the row with the target values of "reference" columns: the ratio to it should be
    close to 1. This row itself is never the best. Rows with equal values are all best.

    Examples:
        >>> best_rows([{"psnr": 25.0}, {"psnr": 26.0}], {"psnr": "higher"})
        {'psnr': {1}}
    """
    best = {}
    for name, direction in better.items():
        distances = {}
        for i, row in enumerate(rows):
            if row is reference or not is_number(row.get(name)):
                continue
            value = float(row[name])
            if direction == "reference":
                goal = reference[name] if reference and is_number(reference.get(name)) else 0
                if goal > 0 and value > 0:
                    distances[i] = abs(math.log(value / goal))
            else:
                shown = float(format_cell(name, value))
                distances[i] = -shown if direction == "higher" else shown
        if len(distances) > 1:
            least = min(distances.values())
            best[name] = {i for i, distance in distances.items() if distance == least}
    return best


def format_cell(name: str, value: Any) -> str:
    """The text of a cell: PSNR and Frechet distances with 2 decimals, other fractions with 4.

    Examples:
        >>> format_cell("psnr", 25.7049), format_cell("ssim", 0.73), format_cell("faces", 8)
        ('25.70', '0.7300', '8')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return _MISSING
    if isinstance(value, float):
        decimals = 2 if name.startswith(("psnr", "fid", "frechet")) or abs(value) >= 100 else 4
        return f"{value:.{decimals}f}"
    return str(value)


def markdown_table(
    rows: Sequence[Row],
    *,
    better: Mapping[str, Direction] | None = None,
    reference: Row | None = None,
    headers: Mapping[str, str] | None = None,
) -> str:
    """Rows as a Markdown table. Empty cells show a dash.

    Args:
        rows: one mapping for each row. The columns are all keys, in the order of first appearance.
        better: for some columns, which values are better: adds an arrow, and makes the best bold.
        reference: the one of `rows` that has the target values of "reference" columns.
        headers: names to show for columns.

    Examples:
        >>> print(markdown_table([{"name": "a", "ms": 1.5}, {"name": "b", "ms": 2.0}],
        ...                      better={"ms": "lower"}))
        | name | ms ↓ |
        | :--- | ---: |
        | a | **1.5000** |
        | b | 2.0000 |
    """
    names = column_names(rows)
    headings = [_heading(name, better or {}, headers or {}) for name in names]
    rules = [":---" if _is_text(rows, name) else "---:" for name in names]
    lines = [headings, rules]
    best = best_rows(rows, better or {}, reference)
    for i, row in enumerate(rows):
        cells = [format_cell(name, row.get(name)).replace("|", r"\|") for name in names]
        bold = [i in best.get(name, ()) for name in names]
        lines.append([f"**{c}**" if b else c for c, b in zip(cells, bold, strict=True)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rich_table(
    rows: Sequence[Row],
    *,
    title: str | None = None,
    better: Mapping[str, Direction] | None = None,
    reference: Row | None = None,
    headers: Mapping[str, str] | None = None,
    transpose: bool = False,
) -> Table:
    """A table for the screen; arguments as in `markdown_table`.

    Args:
        title: title of the table.
        transpose: swap rows and columns, for tables with too many columns for a terminal.
    """
    names = column_names(rows)
    headings = [_heading(name, better or {}, headers or {}) for name in names]
    best = best_rows(rows, better or {}, reference)
    lines = []
    for i, row in enumerate(rows):
        cells = [format_cell(name, row.get(name)).replace("[", r"\[") for name in names]
        bold = [i in best.get(name, ()) for name in names]
        lines.append([f"[bold green]{c}[/]" if b else c for c, b in zip(cells, bold, strict=True)])
    text = [_is_text(rows, name) for name in names]
    if transpose:
        headings, *lines = map(list, zip(headings, *lines, strict=True))
        text = [True] + [False] * len(rows)
    table = Table(title=title)
    for heading, is_text in zip(headings, text, strict=True):
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=is_text)
    for line in lines:
        table.add_row(*line)
    return table


def write_csv(path: Path | str, rows: Sequence[Row]) -> None:
    """Write rows as CSV, atomically. Missing cells stay empty."""
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, column_names(rows))
        writer.writeheader()
        writer.writerows(rows)


def _heading(name: str, better: Mapping[str, Direction], headers: Mapping[str, str]) -> str:
    arrow = _ARROWS[better[name]] if name in better else ""
    return headers.get(name, name) + arrow


def _is_text(rows: Sequence[Row], name: str) -> bool:
    return not any(isinstance(row.get(name), int | float) for row in rows)
