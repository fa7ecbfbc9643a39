"""Figures of photographed and of generated faces apart."""

import json
import shutil
from dataclasses import replace

import pytest

from faceskd.commands import run_command
from faceskd.common.errors import FacesError
from faceskd.data.manifest import read_manifest, write_manifest


@pytest.fixture
def faces(prepared_faces, tmp_path):
    """Of 4 test faces the last is generated."""
    folder = shutil.copytree(prepared_faces, tmp_path / "faces")
    records = read_manifest(folder)
    last = [record for record in records if record.split == "test"][-1]
    kinds = [replace(r, kind="generated" if r == last else "photograph") for r in records]
    write_manifest(folder, kinds)
    return folder


def evaluated(faces, out, *words):
    line = [f"faces={faces}", f"out={out}", "metrics=[psnr]", "groups=null", "show=0", *words]
    assert run_command("evaluate", line) == 0
    return json.loads((out / "metrics.json").read_text())


def test_kinds_are_reported_apart(faces, tmp_path):
    record = evaluated(faces, tmp_path / "all")
    photographs = evaluated(faces, tmp_path / "photographs", "kind=photograph")
    assert (record["faces"], photographs["faces"]) == (4, 3)
    psnr = {k: v["methods"]["bicubic"]["psnr"] for k, v in record["kinds"].items()}
    assert list(psnr) == ["photograph", "generated"]
    assert psnr["generated"]["interval_95"] is None
    whole = record["metrics"]["bicubic"]["values"]["psnr"]
    assert (3 * psnr["photograph"]["mean"] + psnr["generated"]["mean"]) / 4 == pytest.approx(whole)
    assert photographs["settings"]["kind"] == "photograph"
    report = (tmp_path / "all/report.md").read_text()
    assert "## By kind of face" in report
    assert "| bicubic | generated | 1 |" in report
    assert "## By kind" not in (tmp_path / "photographs/report.md").read_text()


def test_an_unknown_kind_is_refused_before_work_starts(faces, prepared_faces, tmp_path):
    with pytest.raises(FacesError, match="got only"):
        evaluated(faces, tmp_path / "out", "kind=drawn")
    with pytest.raises(FacesError, match="does not say"):
        evaluated(prepared_faces, tmp_path / "out", "kind=photograph")
    assert set(evaluated(prepared_faces, tmp_path / "out")["kinds"]) == {"unknown"}
