"""The key of a job changes if, and only if, its command, a need or an input changes."""

import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceskd.common.files import write_text
from faceskd.data.manifest import MANIFEST
from faceskd.jobs.keys import content_digest, job_key, state_of, without_places

TEXTS = st.text(min_size=0, max_size=8)
JOBS = st.tuples(TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=3))


@given(JOBS, JOBS)
def test_two_jobs_have_one_key_only_where_they_are_the_same(first, second):
    assert (job_key(*first) == job_key(*second)) == (first == second)


@given(JOBS)
def test_the_order_of_needs_does_not_matter(job):
    line, needs = job
    assert job_key(line, dict(reversed(needs.items()))) == job_key(line, needs)


@given(st.tuples(TEXTS, st.none() | TEXTS), st.tuples(TEXTS, st.none() | TEXTS))
def test_a_state_tells_keys_and_products_apart(first, second):
    assert (state_of(*first) == state_of(*second)) == (first == second)


@given(
    st.lists(st.sampled_from(["train", "out=/a/b", "/a/b/c", "/a/bc", "x/a/b", "/a", "a,/a/b]"]))
)
def test_a_line_is_the_same_wherever_its_places_lie(words):
    line = " ".join(words)
    moved = " ".join(
        word.replace("/a/b", "/elsewhere") if word in ("out=/a/b", "/a/b/c", "a,/a/b]") else word
        for word in words
    )
    assert without_places(line, {"/a/b": "out"}) == without_places(moved, {"/elsewhere": "out"})
    assert ("\0" in without_places(line, {"/a/b": "out"})) == (line != moved)


def test_the_deeper_place_counts():
    places = {"/a": "out", "/a/faces": "faces"}
    assert without_places("/a/faces/x /a/y", places) == "\0faces\0/x \0out\0/y"


@pytest.fixture
def files(tmp_path):
    """A file, a folder of prepared faces, and another folder."""
    for name in (
        "file",
        f"prepared/{MANIFEST}",
        "prepared/a.png",
        "photos/a.png",
        "photos/b/c.png",
    ):
        write_text(tmp_path / name, name)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "changed", "counts"),
    [
        ("file", "file", True),
        ("file", "photos/a.png", False),
        ("prepared", f"prepared/{MANIFEST}", True),
        ("prepared", "prepared/a.png", False),
        ("photos", "photos/a.png", True),
        ("photos", "photos/b/c.png", True),
        ("photos", "photos/d.png", True),
        ("photos", "file", False),
    ],
)
def test_content_that_counts(files, path, changed, counts):
    before = content_digest(files / path)
    assert before == content_digest(files / path)
    (files / changed).write_text("of another length")
    assert (content_digest(files / path) != before) == counts


def test_photos_behind_a_linked_folder_count(files, tmp_path):
    write_text(tmp_path / "elsewhere/a.png", "a")
    (files / "photos/linked").symlink_to(tmp_path / "elsewhere")
    before = content_digest(files / "photos")
    assert before == content_digest(files / "photos")
    write_text(tmp_path / "elsewhere/a.png", "b")
    assert content_digest(files / "photos") != before


def test_a_manifest_of_something_else_is_a_file_as_others(files):
    write_text(files / "photos" / MANIFEST, "photo,owner\na.png,Ann\n")
    before = content_digest(files / "photos")
    write_text(files / "photos/a.png", "changed")
    assert content_digest(files / "photos") != before


@pytest.mark.parametrize("is_large", [False, True])
def test_the_time_of_a_photo_counts_only_where_folders_are_too_large_to_read(
    files, is_large, monkeypatch
):
    monkeypatch.setattr("faceskd.jobs.keys.MOST_READ", 0 if is_large else 2**30)
    before = content_digest(files / "photos")
    os.utime(files / "photos/a.png", ns=(0, 0))
    assert (content_digest(files / "photos") != before) == is_large


def test_where_files_and_prepared_faces_lie_does_not_count(files):
    for name in ("file", "prepared"):
        before = content_digest(files / name)
        shutil.move(files / name, files / "moved")
        assert content_digest(files / "moved") == before
        assert content_digest(files / name) is None
        shutil.move(files / "moved", files / f"{name}.old")
