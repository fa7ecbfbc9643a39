"""The page of restored faces."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.fakes import Known, Nearest
from PIL import Image

from faceskd.common.errors import ConfigError
from faceskd.portraits import render_portrait
from faceskd.restore.restorer import Restorer

TOOL = Path(__file__).parents[2] / "tools" / "draw_photo_page.py"
tool = runpy.run_path(str(TOOL))


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    Image.fromarray(render_portrait(3, size=512).image).save(folder / "a.png")
    return folder


def test_the_list_names_24_faces_of_every_kind():
    entries = yaml.safe_load(tool["LIST"].read_text())
    assert len(entries) == 24
    assert {entry["kind"] for entry in entries} == set(tool["DEGRADATIONS"])


def test_a_row_shows_before_after_and_both_enlarged(faces, tmp_path):
    restorer = Restorer(Nearest(), precision="fp32", detector=Known())
    rows = {}
    for kind in ("soft", "grey", "scanned"):
        case = tool["case_of"]({"portrait": "a.png", "kind": kind, "size": 60}, faces, 0)
        rows[kind] = tool["portrait_row"](case, restorer)
    side = tool["SIDE"]
    assert list(rows["soft"]) == [
        *("photo", "restored", "original"), "photo, 300 %", "restored, 300 %"
    ]  # fmt: skip
    assert all(cell.shape == (side, side, 3) for cell in rows["soft"].values())
    enlarged = rows["soft"]["photo, 300 %"]
    np.testing.assert_array_equal(enlarged[::3, ::3], enlarged[2::3, 1::3])
    assert np.ptp(rows["grey"]["photo"], axis=2).max() == 0
    (file,) = tool["write_pictures"](rows, tmp_path, "page")
    with Image.open(tmp_path / file) as picture:
        assert picture.width > 5 * side and picture.height > 3 * side


def test_an_unknown_kind_is_refused(faces):
    with pytest.raises(ConfigError, match="kind as one of phone, soft"):
        tool["case_of"]({"portrait": "a.png", "kind": "bad", "size": 60}, faces, 0)
