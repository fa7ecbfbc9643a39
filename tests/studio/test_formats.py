"""What an upload may be, by its bytes, and what its name becomes."""

import numpy as np
import pi_heif
import pytest
import tifffile
from helpers.studio import picture

from faceskd.studio import pictures
from faceskd.studio.formats import HEAD, clean_name, sniff
from faceskd.studio.problems import Problem


@pytest.mark.parametrize(
    ("pillow", "name"),
    [("JPEG", "JPEG"), ("PNG", "PNG"), ("WEBP", "WebP"), ("TIFF", "TIFF"), ("AVIF", "AVIF"),
     ("HEIF", "HEIC")],
)  # fmt: skip
def test_files_are_known_by_their_first_bytes(pillow, name):
    assert sniff(picture(format=pillow)[:HEAD]) == name


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<?xml version='1.0'?><svg/>",
        b"<script>alert(1)</script>",
        b"#!/bin/sh\nrm -rf /\n",
        b"GIF89a",
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"MZ\x90\x00",
        b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isomiso2",
        b"%!PS-Adobe-3.0",
    ],
)
def test_all_else_is_refused(data):
    assert sniff(data[:HEAD]) is None


@pytest.mark.parametrize(
    ("given", "clean"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/", "photo"),
        ("..", "photo"),
        ("", "photo"),
        ("가족 사진.jpg", "가족 사진.jpg"),
        ("صورة.png", "صورة.png"),
        ("a\x00b\n.jpg", "ab.jpg"),
        ("\u202egpj.exe", "gpj.exe"),
        ("x" * 300 + ".jpg", "x" * 192 + ".jpg"),
    ],
)
def test_names_are_one_part_of_a_path_in_any_script(given, clean):
    assert clean_name(given) == clean


@pytest.mark.parametrize(
    ("shape", "code", "values"),
    [
        ((8, 8, 3), "too_many_pixels", {"limit": "50"}),
        (
            (4, 4, 1000),
            "unreadable",
            {"reason": "32,000 bytes of pixels, expected at most 1,000"},
        ),
    ],
)
def test_a_large_tiff_is_refused_before_it_is_decoded(tmp_path, monkeypatch, shape, code, values):
    """One that Pillow does not know: of half floats, or with many values a pixel."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.float16), planarconfig="contig")
    monkeypatch.setattr(tifffile.TiffPage, "asarray", pytest.fail)
    monkeypatch.setattr("faceskd.common.depth.MOST_BYTES", 1000)
    with pytest.raises(Problem) as refused:
        pictures.read(tmp_path / "a.tif", 50)
    assert (refused.value.code, refused.value.values) == (code, values)


def test_a_large_heic_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    (tmp_path / "a.heic").write_bytes(picture(format="HEIF"))
    monkeypatch.setattr(pi_heif.HeifImageFile, "load", pytest.fail)
    with pytest.raises(Problem) as refused:
        pictures.read(tmp_path / "a.heic", 50)
    assert refused.value.code == "too_many_pixels"
