"""Published weights: from the cache, downloaded and checked, or an error that says what to do."""

import hashlib
import socket

import pytest
import torch

from faceskd.common.errors import WeightsError
from faceskd.common.hub import hub_file

CONTENT = b"weights"
DIGITS = hashlib.sha256(CONTENT).hexdigest()[:8]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub/checkpoints"


def publish(folder, name):
    """The address of a new file, which can be downloaded without a network."""
    (folder / name).write_bytes(CONTENT)
    return (folder / name).as_uri()


@pytest.mark.parametrize("suffix", [".pth", ".pth.tar"])
def test_a_download_is_checked_and_kept(suffix, cache, tmp_path):
    url = publish(tmp_path, f"net-{DIGITS}{suffix}")
    path = hub_file(url)
    assert path == cache / f"net-{DIGITS}{suffix}"
    assert path.read_bytes() == CONTENT
    (tmp_path / path.name).unlink()
    assert hub_file(url) == path


@pytest.mark.parametrize("suffix", [".pth", ".pth.tar"])
def test_another_file_than_published_is_refused(suffix, cache, tmp_path):
    with pytest.raises(WeightsError, match=r'download failed \(invalid hash value.*"00000000"'):
        hub_file(publish(tmp_path, f"net-00000000{suffix}"))
    assert list(cache.iterdir()) == []


def test_a_failed_download_says_what_from_where_and_what_else(cache):
    url = "http://127.0.0.1:9/net-12345678.pth"
    with pytest.raises(WeightsError) as caught:
        hub_file(url, otherwise="do without")
    for words in (str(cache / "net-12345678.pth"), "download failed", url, "or do without"):
        assert words in str(caught.value)
    assert list(cache.iterdir()) == []


def test_nothing_is_downloaded_unless_allowed(cache, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(WeightsError, match=r"no such file; download file://.*TORCH_HOME"):
        hub_file(publish(tmp_path, f"net-{DIGITS}.pth"), allow_download=False)


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "hub").write_text("a file where a folder should be")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(WeightsError, match=r"cannot write to the folder .*hub/checkpoints"):
        hub_file(publish(tmp_path, f"net-{DIGITS}.pth"))
