"""Preparing again does only what is missing; what cannot be done is refused before any work."""

import numpy as np
import pytest
from helpers.tiny_photos import run, save

from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.faces.align import SimilarityCrop, template
from faceskd.faces.detection import Face


class FixedDetector:
    """Finds one face in every picture, where it is told to; counts its work."""

    min_face = 10

    def __init__(self):
        self.calls = 0

    def __repr__(self):
        return "FixedDetector()"

    def fetch(self):
        pass

    def detect(self, image):
        self.calls += 1
        side = min(image.shape[:2])
        box = np.array([0, 0, side, side], np.float32)
        return [Face(box, template(side).astype(np.float32), 1.0)]


@pytest.fixture
def photos(tmp_path):
    """Six small pictures of three persons."""
    rng = np.random.default_rng(0)
    for person in ("ann", "bob", "eve"):
        for number in (1, 2):
            picture = rng.integers(0, 256, (150, 140, 3), dtype=np.uint8)
            save(tmp_path / "photos" / person / f"{number}.png", picture)
    return tmp_path / "photos"


def test_a_second_call_does_only_what_is_missing(tmp_path, photos):
    dst, detector = tmp_path / "dst", FixedDetector()
    first = run(photos, dst, detector=detector)
    assert detector.calls == 6 and first.resumed == 0
    manifest = (dst / "manifest.csv").read_bytes()
    second = run(photos, dst, detector=detector)
    assert detector.calls == 6 and second.resumed == 6
    assert (dst / "manifest.csv").read_bytes() == manifest
    (dst / first.records[0].face).unlink()
    save(photos / "bob" / "1.png", np.zeros((200, 200, 3), np.uint8))
    save(photos / "new" / "1.png", np.zeros((200, 200, 3), np.uint8))
    third = run(photos, dst, detector=detector)
    assert detector.calls == 9 and third.resumed == 4 and third.statuses == {"ok": 7}


def test_a_torn_journal_is_gone_on_with(tmp_path, photos):
    dst, detector = tmp_path / "dst", FixedDetector()
    whole = run(photos, dst, detector=detector)
    journal = dst / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-2]) + lines[-2][:50])
    assert run(photos, dst, detector=detector).resumed == 4
    after = run(photos, dst, detector=detector)
    assert after.resumed == 6 and after.records == whole.records


def test_a_broken_off_run_keeps_what_is_done(tmp_path, photos):
    class Stops(FixedDetector):
        def detect(self, image):
            if self.calls == 4:
                raise KeyboardInterrupt
            return super().detect(image)

    with pytest.raises(KeyboardInterrupt):
        run(photos, tmp_path / "dst", detector=Stops())
    assert run(photos, tmp_path / "dst", detector=FixedDetector()).resumed == 4


def test_a_repaired_file_is_tried_again(tmp_path, photos):
    path = photos / "ann" / "1.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    assert run(photos, tmp_path / "dst", detector=FixedDetector()).statuses["unreadable"] == 1
    path.write_bytes(whole)
    assert run(photos, tmp_path / "dst", detector=FixedDetector()).statuses == {"ok": 6}


def test_other_settings_are_refused_or_redone(tmp_path, photos):
    dst = tmp_path / "dst"
    run(photos, dst, detector=FixedDetector())
    with pytest.raises(ConfigError, match=r"template_scale=1\.1.*overwrite"):
        run(photos, dst, detector=FixedDetector(), crop=SimilarityCrop(template_scale=1.1))
    detector = FixedDetector()
    run(photos, dst, detector=detector, crop=SimilarityCrop(template_scale=1.1), overwrite=True)
    assert detector.calls == 6


def test_a_folder_that_cannot_be_written_is_refused_first(tmp_path, photos):
    (tmp_path / "file").write_text("")
    detector = FixedDetector()
    with pytest.raises(FaceskdError, match="cannot write"):
        run(photos, tmp_path / "file" / "dst", detector=detector)
    assert detector.calls == 0


@pytest.mark.parametrize(
    "options",
    [
        {"min_face": 0},
        {"min_face": 20},
        {"faces": "some"},
        {"processes": 0},
        {"splits": {"train": 0.5}},
        {"splits": {"training": 1.0}},
        {"crop": SimilarityCrop(template_scale=99)},
    ],
)
def test_settings_without_sense_are_refused(tmp_path, photos, options):
    with pytest.raises(ConfigError):
        run(photos, tmp_path / "dst", **options)
    assert not (tmp_path / "dst" / "manifest.csv").exists()
