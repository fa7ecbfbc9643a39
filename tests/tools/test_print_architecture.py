"""The package keeps its shape: few folders, few layers, few imports between them, no cycle."""

import importlib.util
import sys
from graphlib import CycleError
from pathlib import Path

import pytest

pytest.importorskip("grimp", reason="grimp, which reads imports, is not installed")

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location(
    "print_architecture", ROOT / "tools/print_architecture.py"
)
tool = sys.modules["print_architecture"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes a package of one file a folder and makes it importable."""

    def write(name, sources):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        for folder, source in sources.items():
            (tmp_path / name / folder).mkdir()
            (tmp_path / name / folder / "__init__.py").touch()
            (tmp_path / name / folder / "file.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        return name

    return write


def test_the_package_keeps_its_shape():
    architecture = tool.measure()
    assert architecture.layers[0] == ["faceskd.common"]
    assert len(architecture.imports) <= 24
    assert len(architecture.layers) <= 9
    assert architecture.edges <= 110


def test_layers_are_counted_from_the_ground(package):
    name = package(
        "storeys",
        {
            "top": "import storeys.middle.file, storeys.ground.file",
            "middle": "def f():\n    from storeys.ground import file",
            "ground": "",
            "annexe": "",
        },
    )
    architecture = tool.measure(name)
    assert architecture.layers == [
        ["storeys.annexe", "storeys.ground"],
        ["storeys.middle"],
        ["storeys.top"],
    ]
    assert architecture.imports["storeys.top"] == {"storeys.ground", "storeys.middle"}
    assert architecture.edges == 3


def test_a_cycle_is_an_error(package):
    name = package(
        "circular",
        {"first": "import circular.second.file", "second": "import circular.first.file"},
    )
    with pytest.raises(CycleError):
        tool.measure(name)
