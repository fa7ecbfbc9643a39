"""Which drawings a folder has."""

import runpy
from pathlib import Path

import pytest

from faceskd.common.errors import ConfigError

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "render_drawings.py"))


def test_a_folder_goes_on_with_its_own_drawings_only(tmp_path):
    table = tmp_path / "new" / TOOL["TABLE"]
    drawings = [tmp_path / f"{name}.svg" for name in "abc"]
    for count in (2, 3, 1):
        TOOL["note_drawings"](table, drawings[:count])
    assert [Path(line).name for line in table.read_text().splitlines()] == [
        *("a.svg", "b.svg", "c.svg")
    ]
    with pytest.raises(ConfigError, match="got other drawings"):
        TOOL["note_drawings"](table, drawings[1:])
