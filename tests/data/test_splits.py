"""Whose photo it is and which split it is in: given or drawn, and never two for one person."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceskd.common.errors import ConfigError, FacesError
from faceskd.data.photo_list import crop_names
from faceskd.data.splits import SPLITS, Place, assign, draw


def test_splits_given_by_folders():
    places = assign(["train/a.png", "val/b.png", "test/c.png", "train/a.jpg"])
    assert places["train/a.png"] == places["train/a.jpg"] == Place("train", "a")
    assert places["test/c.png"] == Place("test", "c")
    with pytest.raises(FacesError, match="'ann' is in the splits"):
        assign(["train/ann/1.png", "train/bob/1.png", "val/ann/2.png"])
    with pytest.raises(FacesError, match="in none"):
        assign(["train/a.png", "b.png"])


def test_identities_by_folder_or_file():
    sources = ["ann/1.png", "ann/2.png", "bob/1.png"]
    identities = [place.identity for place in assign(sources).values()]
    assert identities == ["ann", "ann", "bob"]
    one_folder = assign(["photos/1.png", "photos/2.png"])
    assert [place.identity for place in one_folder.values()] == ["1", "2"]
    forced = assign(["photos/1.png", "photos/2.png"], identity_by="folder")
    assert {place.identity for place in forced.values()} == {"photos"}


def test_splits_given_by_a_file(tmp_path):
    path = tmp_path / "splits.csv"

    def write(*rows):
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)

    write(["source", "split", "identity"], ["a.png", "val", "ann"], ["b.png", "", "bob"])
    places = assign(["a.png", "b.png"], split_file=path)
    assert places == {"a.png": Place("val", "ann"), "b.png": Place(draw("bob"), "bob")}
    with pytest.raises(FacesError, match=r"no row for 'c\.png'"):
        assign(["a.png", "c.png"], split_file=path)
    write(["source", "split"], ["a.png", "training"])
    with pytest.raises(FacesError, match="training"):
        assign(["a.png"], split_file=path)
    write(["source", "split", "identity"], ["a.png", "val", "x"], ["b.png", "test", "x"])
    with pytest.raises(FacesError, match="'x' is in the splits"):
        assign(["a.png", "b.png"], split_file=path)
    write(["file", "split"], ["a.png", "val"])
    with pytest.raises(FacesError, match="column source"):
        assign(["a.png"], split_file=path)
    with pytest.raises(FacesError, match="cannot read"):
        assign(["a.png"], split_file=tmp_path / "none.csv")


def test_a_file_without_splits_leaves_those_of_the_folders(tmp_path):
    path = tmp_path / "kinds.csv"
    sources = ["train/a.png", "val/b.png", "test/c.png"]
    path.write_text("source,kind\n" + "".join(f"{source},drawn\n" for source in sources))
    places = assign(sources, split_file=path, fractions={"train": 1.0})
    assert [place.split for place in places.values()] == ["train", "val", "test"]
    assert [place.identity for place in places.values()] == ["a", "b", "c"]
    path.write_text("source,split\ntrain/a.png,test\nval/b.png,\ntest/c.png,\n")
    places = assign(sources, split_file=path)
    assert [place.split for place in places.values()] == ["test", "val", "test"]
    path.write_text("source,split\ntrain/a.png,\nextra/b.png,val\n")
    places = assign(["train/a.png", "extra/b.png"], split_file=path)
    assert [place.split for place in places.values()] == ["train", "val"]


def test_a_file_of_splits_does_not_make_persons_of_the_folders_of_splits(tmp_path):
    path = tmp_path / "splits.csv"

    def assigned(*sources):
        rows = [f"{source},{source.split('/')[0]}\n" for source in sources]
        path.write_text("source,split\n" + "".join(rows))
        return assign(sources, split_file=path)

    places = assigned("train/a.png", "train/b.png", "val/c.png")
    assert [place.identity for place in places.values()] == ["a", "b", "c"]
    places = assigned("train/ann/1.png", "train/ann/2.png", "val/bob/1.png")
    assert [place.identity for place in places.values()] == ["ann", "ann", "bob"]
    with pytest.raises(FacesError, match="'ann' is in the splits"):
        assigned("train/ann/1.png", "train/bob/1.png", "val/ann/2.png")


@pytest.mark.parametrize(
    "fractions", [{"train": "80%"}, {"train": 0.5}, {"train": 2, "val": -1}, {"all": 1}, {}]
)
def test_fractions_that_are_no_shares(fractions):
    with pytest.raises(ConfigError, match="add up to 1"):
        assign(["a.png"], fractions=fractions)


names = st.text("abé 顔_-", min_size=1, max_size=4)
paths = st.lists(st.tuples(names, names, st.sampled_from(["png", "JPG"])), min_size=1, unique=True)


@given(paths)
def test_identities_never_share_splits_and_names_never_collide(parts):
    sources = [f"{folder}/{stem}.{suffix}" for folder, stem, suffix in parts]
    places = assign(sources)
    splits = {}
    for place in places.values():
        assert splits.setdefault(place.identity, place.split) == place.split
    crops = crop_names(places)
    assert len({name.casefold() for name in crops.values()}) == len(sources)


def test_drawn_shares_are_what_was_asked_for():
    drawn = [draw(str(number), {"train": 0.7, "val": 0.1, "test": 0.2}) for number in range(20_000)]
    shares = [drawn.count(split) / len(drawn) for split in SPLITS]
    np.testing.assert_allclose(shares, [0.7, 0.1, 0.2], atol=0.02)


def test_a_rule_for_identities_that_does_not_exist():
    with pytest.raises(ConfigError, match="identity_by as one of auto, folder, file, got 'person'"):
        assign(["ann/1.jpg"], identity_by="person")
