"""What is installed: the configs are found from a wheel, an editable install and a plain clone."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(path.relative_to(ROOT / "conf") for path in (ROOT / "conf").rglob("*.yaml"))
REPORT = "import faceskd.common.config as c; print(c.__file__, c.conf_dir(), sep='\\n')"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None,
    reason="hatchling, which builds the wheel, is not installed",
)


def python(*arguments, cwd, path=None, **environment):
    """Run Python where the checkout is not importable but by `path`."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | environment
    if path is not None:
        env["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def install(wheel, target):
    """Install a wheel, nothing else, into a folder."""
    options = ["install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    if importlib.util.find_spec("pip"):
        line = [sys.executable, "-m", "pip", *options, "--no-index", "--disable-pip-version-check"]
    elif uv := shutil.which("uv"):
        line = [uv, "pip", *options, "--offline", "--python", sys.executable]
    else:
        pytest.skip("neither pip nor uv is there to install the wheel")
    subprocess.run(line, check=True, capture_output=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    python("-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    install(wheel, folder)
    return folder


def test_the_wheel_holds_package_configs_and_licence(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"faceskd/conf/{path.as_posix()}" for path in CONFIGS} <= names
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "faceskd").rglob("*.py")}
    assert modules <= names
    models = (ROOT / "faceskd/pretrained").glob("*.*")
    assert {path.relative_to(ROOT).as_posix() for path in models} <= names
    assert "faceskd/py.typed" in names
    assert "faceskd/pretrained/NOTICE" in names
    for licence in ("LICENSE", "faceskd/pretrained/NOTICE"):
        assert any(name.endswith(f".dist-info/licenses/{licence}") for name in names)
    strangers = {name for name in names if not name.startswith("faceskd")}
    assert not strangers


def test_the_source_archive_holds_the_licences(tmp_path):
    python("-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, cwd=ROOT)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    assert {"LICENSE", "faceskd/pretrained/NOTICE"} <= names


def test_an_installed_wheel_finds_its_own_configs(installed, tmp_path):
    module, conf = python("-c", REPORT, cwd=tmp_path, path=installed).split()
    assert Path(module) == installed / "faceskd" / "common" / "config.py"
    assert Path(conf) == installed / "faceskd" / "conf"


def test_an_installed_command_composes_its_config(installed, tmp_path):
    shown = python(
        "-m", "faceskd", "train", "--cfg", "job", "experiment=teacher", cwd=tmp_path, path=installed
    )
    assert "_target_: faceskd.models.teacher.Teacher" in shown
    assert "_target_: faceskd.engine.Adversarial" in shown
    assert not list(tmp_path.iterdir())


def test_the_entry_point_is_the_command_line(installed):
    (entry,) = installed.glob("*.dist-info/entry_points.txt")
    assert "faceskd = faceskd.cli:program" in entry.read_text()


def test_a_plain_clone_finds_its_configs(tmp_path):
    clone = tmp_path / "clone"
    for name in ("faceskd", "conf"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, clone / name, ignore=ignored)
    module, conf = python("-c", REPORT, cwd=tmp_path, path=clone).split()
    assert Path(module).parent == clone / "faceskd" / "common"
    assert Path(conf) == clone / "conf"


def test_an_editable_install_finds_the_checkouts_configs(tmp_path):
    build = f"import hatchling.build as b; print(b.build_editable({str(tmp_path)!r}))"
    name = python("-c", build, cwd=ROOT).strip().splitlines()[-1]
    install(tmp_path / name, tmp_path / "site")
    code = f"import site; site.addsitedir({str(tmp_path / 'site')!r}); {REPORT}"
    module, conf = python("-c", code, cwd=tmp_path).split()
    assert Path(module) == ROOT / "faceskd" / "common" / "config.py"
    assert Path(conf) == ROOT / "conf"


EVERY_MODULE = """
import importlib, pkgutil, socket, sys

def refuse(*given, **options):
    raise AssertionError(f"a connection to {given[1:]}")

socket.socket.connect = socket.socket.connect_ex = refuse
import faceskd
assert "torch" not in sys.modules and "numpy" not in sys.modules, "import faceskd is slow"
for module in pkgutil.walk_packages(faceskd.__path__, "faceskd."):
    if not module.name.endswith(("__main__", "migrations.env")):  # the latter is run by Alembic
        importlib.import_module(module.name)
        print(module.name)
"""


def test_importing_every_module_downloads_nothing(installed, tmp_path):
    hub = tmp_path / "hub"
    shown = python("-c", EVERY_MODULE, cwd=tmp_path, path=installed, TORCH_HOME=str(hub))
    assert "faceskd.engine.training" in shown
    assert "faceskd.metrics.lpips" in shown
    assert not hub.exists() or not list(hub.rglob("*.*"))
