"""Curves of trainings from their logs."""

import csv

from PIL import Image

from faceskd.reporting.curves import plot_curves, plot_validations, read_curves


def test_curves_join_the_runs_of_a_training(tmp_path):
    rows = {
        0: [(0, 5.0, ""), (1, 4.0, ""), (1, "", 20.0), (2, 9.9, "")],
        1: [(2, 3.0, ""), (3, 2.0, ""), (3, "", 21.0)],
        10: [(4, 1.0, "")],
    }
    for version, lines in rows.items():
        folder = tmp_path / f"version_{version}"
        folder.mkdir()
        with (folder / "metrics.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", "step", "train/loss", "val/psnr"])
            writer.writerows([0, *line] for line in lines)
    curves = read_curves(tmp_path)
    assert curves["train/loss"] == [(0, 5.0), (1, 4.0), (2, 3.0), (3, 2.0), (4, 1.0)]
    assert curves["val/psnr"] == [(1, 20.0), (3, 21.0)]
    assert plot_curves(tmp_path, tmp_path / "curves.png")


def test_nothing_logged_draws_nothing(tmp_path):
    assert not plot_curves(tmp_path, tmp_path / "curves.png")
    assert list(tmp_path.iterdir()) == []


def test_validations_of_several_trainings_share_a_diagram(tmp_path):
    for name, columns in {"a": ["val/psnr", "val/ssim"], "b": ["val/psnr", "train/loss"]}.items():
        log = tmp_path / name / "version_0" / "metrics.csv"
        log.parent.mkdir(parents=True)
        log.write_text(f"step,{','.join(columns)}\n9,1.0,2.0\n19,1.5,2.5\n")
    trainings = {name: tmp_path / name for name in "ab"}
    assert plot_validations(trainings, tmp_path / "two.png")
    assert plot_curves(tmp_path / "b", tmp_path / "both.png")
    widths = {file.stem: Image.open(file).width for file in tmp_path.glob("*.png")}
    assert widths["both"] == 2 * widths["two"]  # only PSNR is in both trainings
    assert not plot_validations({"a": tmp_path / "a"}, tmp_path / "one.png")
