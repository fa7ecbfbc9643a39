"""The files of a folder: all are listed, what is no image or cannot be read is told apart."""

import os

import pytest
from PIL import Image

from faceskd.common.errors import FaceskdError
from faceskd.common.listing import images_and_problems, list_files, list_images


def picture(path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (200, 100, 50)).save(path, **options)


def kinds(folder):
    return {file.source: (file.kind, file.problem) for file in list_files(folder)}


def test_images_are_known_by_suffix_or_by_content(tmp_path):
    for name in ("a.png", "b.AVIF", "c.jpe", "d.jfif", "e.mpo", "f.webp"):
        picture(tmp_path / name, format=None if name[0] in "abf" else "JPEG")
    picture(tmp_path / "no suffix", format="PNG")
    picture(tmp_path / "IMG_1.jpg_large", format="JPEG")
    (tmp_path / "broken.heic").write_bytes(b"\0\0\0\x18ftypheic")
    assert set(kinds(tmp_path).values()) == {("image", "")}
    assert len(list_images(tmp_path)) == 9


def test_what_is_no_image_is_listed_too(tmp_path):
    picture(tmp_path / "a.png")
    for name in ("notes.txt", "empty", "a.json", "clip.MP4"):
        (tmp_path / name).write_bytes(b"" if name == "empty" else b"text")
    found = kinds(tmp_path)
    assert found["clip.MP4"] == ("video", "")
    assert {found[name] for name in ("notes.txt", "empty", "a.json")} == {("other", "")}
    assert [path.name for path in list_images(tmp_path)] == ["a.png"]


@pytest.mark.parametrize("suffix", [".jxl", ".svg", ".exr", ".NEF", ".dng"])
def test_images_of_other_formats_say_what_to_do(tmp_path, suffix):
    picture(tmp_path / f"a{suffix}", format="TIFF")  # what Pillow would find in many raw files
    kind, problem = kinds(tmp_path)[f"a{suffix}"]
    assert kind == "image" and "convert the file" in problem


def test_images_that_cannot_be_read_are_told(tmp_path):
    (tmp_path / "a.CR2").write_bytes(b"raw")
    with pytest.raises(FaceskdError, match=r"among 1 files \(for example a\.CR2: raw files"):
        list_images(tmp_path)
    picture(tmp_path / "b.png")
    paths, problems = images_and_problems(tmp_path)
    assert [path.name for path in paths] == ["b.png"]
    assert [file.source for file in problems] == ["a.CR2"]


def test_hidden_and_system_files_are_left_out(tmp_path):
    for name in (
        ".DS_Store",
        ".hidden/a.png",
        "Thumbs.db",
        "desktop.ini",
        "__MACOSX/b.png",
        "c.png",
    ):
        picture(tmp_path / name, format="PNG")
    assert list(kinds(tmp_path)) == ["c.png"]


class TestLinks:
    def test_a_linked_folder_is_followed(self, tmp_path):
        picture(tmp_path / "other/e.png")
        (tmp_path / "in").mkdir()
        (tmp_path / "in/album").symlink_to("../other")
        assert kinds(tmp_path / "in") == {"album/e.png": ("image", "")}

    def test_a_folder_is_listed_once_and_loops_end(self, tmp_path):
        picture(tmp_path / "z/a.png")
        (tmp_path / "album").symlink_to("z")
        (tmp_path / "z/up").symlink_to("..")
        found = kinds(tmp_path)
        assert found.pop("z/a.png") == ("image", "")
        assert found == {
            "album": ("link", "a link to the folder 'z', which is listed already"),
            "z/up": ("link", "a link to the folder '.', which is listed already"),
        }

    def test_a_link_to_nothing_has_a_problem(self, tmp_path):
        (tmp_path / "a.png").symlink_to("gone.png")
        (tmp_path / "loop.png").symlink_to("loop.png")
        assert {problem for _, problem in kinds(tmp_path).values()} == {
            "a link to a file that does not exist"
        }
        with pytest.raises(FaceskdError, match="no image"):
            list_images(tmp_path)


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe")
    found = kinds(tmp_path)
    assert found["pipe.png"][0] == "image" and found["pipe"][0] == "other"
    assert all("not a regular file" in problem for _, problem in found.values())


def test_names_that_are_no_text_are_written_as_bytes(tmp_path):
    picture(tmp_path / os.fsdecode(b"m\xfcller.png"))
    (file,) = list_files(tmp_path)
    assert file.source == "m%FCller.png" and file.path.is_file()
