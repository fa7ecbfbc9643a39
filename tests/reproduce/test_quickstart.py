"""The tables of the quick start's report."""

import io
import json

from rich.console import Console

from faceskd.common.files import write_text
from faceskd.reproduce.quickstart import show_quickstart

FIGURES = {
    "bicubic": {"psnr": 25.0, "lpips_squeeze": 0.5, "grid_index": 1.0},
    "teacher": {"psnr": 24.0, "lpips_squeeze": 0.2, "grid_index": 1.2},
    "hr": {"grid_index": 1.25},
}


def test_a_table_says_which_figures_are_better_as_the_metrics_do(tmp_path):
    metrics = {name: {"values": values} for name, values in FIGURES.items()}
    record = {"metrics": metrics, "unavailable": {}}
    write_text(tmp_path / "evaluate" / "metrics.json", json.dumps(record))
    write_text(tmp_path / "profile" / "profile.json", json.dumps({"rows": []}))
    shown = io.StringIO()
    show_quickstart(tmp_path, tmp_path / "report.md", Console(file=shown, width=80))
    for heading in ("psnr ↑", "lpips_squeeze ↓", "grid_index →HR"):
        assert heading in shown.getvalue()
