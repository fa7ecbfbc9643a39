"""Drawn landscapes: the same scene in every season, and folders that can be trained on."""

import csv
from pathlib import Path

import numpy as np
import pytest

from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.common.images import read_image
from faceskd.landscapes import DOMAINS, SEASONS, render_landscape, write_landscapes
from faceskd.landscapes.scene import sample_scene


def mean(pictures):
    return np.mean([picture.reshape(-1, 3).mean(0) for picture in pictures], axis=0)


def lower_half(number, season):
    return render_landscape(number, season=season, size=64)[40:]


def test_the_same_arguments_give_the_same_picture():
    first, again = (render_landscape(4, season="autumn", size=96) for _ in range(2))
    assert first.shape == (96, 96, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != render_landscape(5, season="autumn", size=96)).any()


def test_night_is_darker_and_bluer():
    days, nights = (
        mean([render_landscape(n, night=night, size=64) for n in range(8)])
        for night in (False, True)
    )
    assert nights.sum() < 0.5 * days.sum()
    assert nights[2] / nights.sum() > days[2] / days.sum()


def test_seasons_have_their_colours():
    grounds = {s: mean([lower_half(n, s) for n in range(12)]) for s in SEASONS}
    red, green, blue = grounds["summer"]
    assert green > red and green > blue
    red, green, _ = grounds["autumn"]
    assert red > green
    assert grounds["winter"].sum() > max(grounds[s].sum() for s in SEASONS[:3])
    assert grounds["spring"].sum() > grounds["summer"].sum()


def test_things_stay_where_they_are():
    """Between seasons the outlines of mountains against the sky are the same."""
    for number in range(6):
        edge = round(sample_scene(number).horizon * 128)
        skies = []
        for season in ("spring", "summer"):
            picture = render_landscape(number, season=season, size=128).astype(float)
            skies.append(np.abs(np.diff(picture[: edge - 4], axis=0)).sum(2) > 30)
        either = (skies[0] | skies[1]).sum()
        assert (skies[0] & skies[1]).sum() > 0.25 * either


def test_a_picture_without_a_season_has_that_of_its_scene():
    own = sample_scene(3).season
    np.testing.assert_array_equal(
        render_landscape(3, size=64), render_landscape(3, season=own, size=64)
    )
    assert {sample_scene(number).season for number in range(40)} == set(SEASONS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"number": -1}, "expected a number of 0 or more"),
        ({"number": 0, "size": 63}, "a size of at least 64"),
        ({"number": 0, "season": "monsoon"}, "expected season as one of spring, .*'monsoon'"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        render_landscape(**arguments)


def test_folders_are_laid_out_resumed_and_extended(tmp_path: Path):
    options = {"size": 64, "processes": 1}
    drawn = write_landscapes(tmp_path, count=2, val_count=1, **options)
    assert len(drawn) == 6 * 3
    for split, number in (("train", 2), ("val", 1)):
        for domain in DOMAINS:
            assert len(list((tmp_path / split / domain).glob("*.png"))) == number
    with (tmp_path / "landscapes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    training = [row["scene"] for row in rows if row["file"].startswith("train")]
    assert len(set(training)) == len(training), "no scene is in two domains"
    assert len({row["scene"] for row in rows if row["file"].startswith("val")}) == 1
    row = next(row for row in rows if row["file"] == "val/winter/landscape-00000.png")
    assert (row["season"], row["time"]) == ("winter", "day")
    np.testing.assert_array_equal(
        read_image(tmp_path / row["file"]),
        render_landscape(int(row["scene"]), season="winter", size=64),
    )
    drawn[3].unlink()
    assert write_landscapes(tmp_path, count=2, val_count=1, **options) == [drawn[3]]
    assert len(write_landscapes(tmp_path, count=3, val_count=1, **options)) == 6
    assert write_landscapes(tmp_path, count=1, val_count=1, **options) == []
    with (tmp_path / "landscapes.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 6 * 4
    for other in ({"seed": 1}, {"size": 65}):
        with pytest.raises(FaceskdError, match="same seed and size"):
            write_landscapes(tmp_path, count=2, val_count=1, **options | other)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"count": 0}, {"count": 150_001}, {"count": None}, {"val_count": -1}),
        *({"seed": -1}, {"seed": None}, {"size": 63}, {"size": None}),
    ],
)
def test_impossible_settings_are_refused_before_anything_is_written(tmp_path: Path, wrong):
    with pytest.raises(ConfigError, match="expected"):
        write_landscapes(tmp_path / "x", **{"count": 2, **wrong})
    assert not (tmp_path / "x").exists()
