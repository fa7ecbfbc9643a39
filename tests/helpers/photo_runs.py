"""Restoring folders of photos in this process, with a network and a detector that are known."""

import csv

from faceskd.restore.photo import PhotoSettings
from faceskd.restore.photos import WholePhotos
from faceskd.restore.plan import plan_inputs
from faceskd.restore.restorer import Restorer
from faceskd.restore.stream import restore_inputs
from helpers.fakes import Known, Nearest


def restore(source, out, *frames, task=None, batch_size=8, scale=2, **options):
    """Restore what a folder holds; the detector finds faces at `frames` in every photo."""
    restorer = Restorer(Nearest(), precision="fp32", batch_size=batch_size)
    task = task or WholePhotos(Known(*frames), PhotoSettings(scale), **options)
    inputs = plan_inputs(source, out, folders=task.folders, suffixes=task.suffixes)
    return restore_inputs(restorer, inputs, out, task)


def rows(out):
    """The rows of `results.csv`, by source; of faces of one photo the last."""
    with (out / "results.csv").open(newline="", encoding="utf-8") as file:
        return {row["source"]: row for row in csv.DictReader(file)}
