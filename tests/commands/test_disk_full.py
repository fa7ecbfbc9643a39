"""A full disk ends every command with a message that names the file, and exit status 1."""

import errno
import os
import pickle
import tempfile
from pathlib import Path

import pytest
import torch
from helpers.tiny_photos import save
from safetensors import SafetensorError

from faceskd import cli
from faceskd.commands import run_command
from faceskd.common.config import hydra_main
from faceskd.common.errors import DiskFullError, FaceskdError, disk_full_as_error
from faceskd.common.files import atomic_path, make_folder, write_text
from faceskd.engine.checkpoint_io import AtomicCheckpointIO


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def full_disk(monkeypatch):
    """Every file that is written atomically finds the disk full."""
    monkeypatch.setattr(tempfile, "mkstemp", no_space)


def in_handler():
    """What torch.save does: its own error hides the one of the file."""
    try:
        no_space()
    except OSError:
        raise RuntimeError("unexpected pos 704 vs 598")  # noqa: B904


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/tmp/.x.png"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError("I/O error: No space left on device (os error 28)"),
    ],
    ids=["space", "quota", "safetensors"],
)
def test_errors_of_a_full_disk_name_the_file(error):
    expected = r"cannot write 'a\.png': the disk is full; free some"
    with pytest.raises(DiskFullError, match=expected), disk_full_as_error("a.png"):
        raise error


def test_an_error_that_hides_the_cause():
    with pytest.raises(DiskFullError, match=r"'a\.ckpt'"), disk_full_as_error("a.ckpt"):
        in_handler()


def test_without_a_path_the_name_comes_from_the_error():
    with pytest.raises(DiskFullError, match=r"cannot write 'b\.csv'"), disk_full_as_error():
        raise OSError(errno.ENOSPC, "No space left on device", "b.csv")
    with pytest.raises(DiskFullError, match="cannot write a file"), disk_full_as_error():
        no_space()


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "denied"), FaceskdError("no")])
def test_other_errors_stay(error):
    with pytest.raises(type(error)) as caught, disk_full_as_error("a.png"):
        raise error
    assert caught.value is error


def test_the_innermost_name_is_kept_also_across_processes():
    outer, inner = disk_full_as_error("outer"), disk_full_as_error("inner")
    with pytest.raises(DiskFullError) as caught, outer, inner:
        no_space()
    copy = pickle.loads(pickle.dumps(caught.value))
    assert "'inner'" in str(copy) and isinstance(copy, DiskFullError) and copy.exit_status == 1


def test_the_old_file_stays(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(DiskFullError, match=r"a\.txt"), atomic_path(path) as temporary:
        temporary.write_text("ne")
        no_space()
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_does_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr("pathlib.Path.mkdir", no_space)
    with pytest.raises(DiskFullError, match="new"):
        make_folder(tmp_path / "new")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_checkpoint(tmp_path, monkeypatch):
    def full(*_, **__):
        path = tmp_path / "temporary"
        path.symlink_to("/dev/full")
        return os.open(os.devnull, os.O_RDONLY), str(path)

    monkeypatch.setattr(tempfile, "mkstemp", full)
    with pytest.raises(DiskFullError, match=r"last\.ckpt"):
        AtomicCheckpointIO().save_checkpoint({"a": torch.zeros(9999)}, tmp_path / "last.ckpt")


def test_a_hydra_command(tmp_path, full_disk, capfd):
    with pytest.raises(SystemExit) as end:
        cli.main(["portraits", f"dst={tmp_path / 'dst'}", "count=1"])
    assert end.value.code == 1
    printed = capfd.readouterr().err
    assert f"error: cannot write '{tmp_path}/dst/" in printed and "disk is full" in printed
    assert "Traceback" not in printed


def test_restore(tmp_path, full_disk, capfd):
    save(tmp_path / "a.png", torch.zeros(32, 32, 3, dtype=torch.uint8).numpy())
    with pytest.raises(SystemExit) as end:
        cli.main(["restore", "--aligned", "-i", str(tmp_path / "a.png"), "-o", str(tmp_path / "o")])
    assert end.value.code == 1
    printed = capfd.readouterr().err
    assert "results.csv': the disk is full" in printed and "Traceback" not in printed


def test_any_task(capfd, monkeypatch):
    """Also where a library writes the file."""
    monkeypatch.setattr("sys.argv", ["faceskd random_dictionary"])
    with pytest.raises(SystemExit) as end:
        hydra_main("random_dictionary")(no_space)()
    assert end.value.code == 1
    assert capfd.readouterr().err.strip() == (
        "error: cannot write a file: the disk is full; free some space, then run the same "
        "command again"
    )


def test_a_command_in_a_job_says_so_too(tmp_path, full_disk):
    with pytest.raises(DiskFullError, match="the disk is full"):
        run_command("portraits", [f"dst={tmp_path / 'dst'}", "count=1"])
