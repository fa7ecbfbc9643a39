"""Random squares of photographs: from where, how large, and always the same."""

import numpy as np
import pytest
import torch

from faceskd.common.errors import ConfigError, FacesError, ImageError
from faceskd.common.images import write_image
from faceskd.data.degradation import Clean
from faceskd.data.images import ImageCrops, ImageData, usable_images

CLEAN = Clean(lr_size=8)


def plain(folder, name, value, size=(80, 100)):
    write_image(folder / name, np.full((*size, 3), value, np.uint8))


@pytest.fixture
def folders(tmp_path):
    """Two folders of plain images: "dark" has levels below 100, "light" above 150."""
    for number in range(4):
        plain(tmp_path / "dark", f"{number}.png", 10 * number)
        plain(tmp_path / "light/deep", f"{number}.png", 200 + 10 * number)
    return tmp_path


def crops(folders, dark=1.0, light=1.0, **options):
    given = {
        "dark": {"path": folders / "dark", "share": dark},
        "light": {"path": folders / "light", "share": light},
    }
    return ImageCrops(given, CLEAN, **{"size": 64, "length": 60} | options)


def levels(data):
    return [data[index]["hr"].mean().item() * 255 for index in range(len(data))]


def test_an_item_is_a_square_and_its_lr_image(folders):
    item = crops(folders)[3]
    assert item["hr"].shape == (3, 64, 64)
    assert item["lr"].shape == (3, 8, 8)
    assert item["hr"].dtype == item["lr"].dtype == torch.float32
    assert 0 <= item["hr"].min() <= item["hr"].max() <= 1


def test_folders_are_drawn_by_their_shares(folders):
    light = [level > 150 for level in levels(crops(folders, dark=3, light=1, length=400))]
    assert np.mean(light) == pytest.approx(0.25, abs=0.07)  # three standard deviations
    assert not any(level > 150 for level in levels(crops(folders, dark=1, light=0)))


def test_all_images_are_drawn(folders):
    assert len({round(level) for level in levels(crops(folders, length=200))}) == 8


def test_an_item_depends_on_seed_epoch_and_index_alone(folders):
    first, again = crops(folders), crops(folders, cache=0)
    for key in ((0, 0), (0, 7), (5, 7)):
        assert torch.equal(first[key]["hr"], again[key]["hr"])
    assert torch.equal(first[7]["hr"], first[0, 7]["hr"])
    assert levels(first) != levels(crops(folders, seed=1))
    assert [first[0, i]["hr"].mean() for i in range(9)] != [
        first[1, i]["hr"].mean() for i in range(9)
    ]


def test_squares_show_between_all_of_the_image_and_size_pixels(tmp_path):
    """A ramp's slope in a square tells how much of the image it shows."""
    ramp = np.tile(np.linspace(0, 255, 240)[None, :, None], (240, 1, 3)).astype(np.uint8)
    write_image(tmp_path / "ramp.png", ramp)
    data = ImageCrops({"a": {"path": tmp_path}}, CLEAN, size=64, length=80)
    shown = []
    for index in range(len(data)):
        row = data[index]["hr"][0, 32] * 255
        shown.append((row[-1] - row[0]).abs().item() / 255 * 240)
    assert min(shown) == pytest.approx(64, abs=6)
    assert max(shown) == pytest.approx(240, abs=10)
    flipped = [(data[i]["hr"][0, 0, -1] < data[i]["hr"][0, 0, 0]).item() for i in range(80)]
    assert 0.3 < np.mean(flipped) < 0.7


def test_small_and_unreadable_images_are_left_out_and_it_is_said(folders, capsys):
    plain(folders / "dark", "thin.png", 5, size=(63, 400))
    plain(folders / "dark", "exact.png", 5, size=(64, 64))
    (folders / "dark" / "broken.png").write_bytes(b"no picture" * 999)
    names = [path.name for path in usable_images(folders / "dark", 64)]
    assert names == ["0.png", "1.png", "2.png", "3.png", "exact.png"]
    said = capsys.readouterr().err
    assert "left out 2 of 7 images: 1 are smaller than 64 px, 1 cannot be read" in said
    assert "for example broken.png" in said
    assert len(usable_images(folders / "light", 64)) == 4
    assert capsys.readouterr().err == ""
    (folders / "light" / "raw.CR2").write_bytes(b"raw")
    assert len(usable_images(folders / "light", 64)) == 4
    assert "left out 1 of 5 images" in (said := capsys.readouterr().err) and "raw.CR2" in said
    with pytest.raises(
        FacesError, match=r"no usable image in .*4 are smaller than 81 px, 1 cannot"
    ):
        usable_images(folders / "light", 81)


def test_links_to_one_file_count_once(folders):
    (folders / "dark" / "link.png").symlink_to(folders / "dark" / "0.png")
    assert len(usable_images(folders / "dark", 64)) == 4


def test_long_images_stay_large_enough(tmp_path):
    plain(tmp_path, "panorama.png", 7, size=(70, 3000))
    data = ImageCrops({"a": {"path": tmp_path}}, CLEAN, size=64)
    data[0]
    (kept,) = data.cache.values()
    assert min(kept.shape[:2]) >= 64
    assert max(kept.shape[:2]) < 3000


def test_the_cache_has_an_end(folders):
    data = crops(folders, cache=3)
    first = levels(data)
    assert len(data.cache) == 3
    assert levels(data) == first


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "expected folders as name"),
        (None, "expected folders as name"),
        ({"a": {"share": 1.0}}, "expected folders as name"),
        ({"a": {"path": "x", "share": -1}}, "expected shares of at least 0"),
        ({"a": {"path": "x", "share": 0}}, "expected shares of at least 0"),
        ({"a": {"path": "x", "share": "much"}}, "expected shares of at least 0"),
        ({"a": {"path": "x", "shares": 2}}, "expected path and share of each folder, got 'shares'"),
    ],
)
def test_impossible_folders(given, sentence):
    with pytest.raises(ConfigError, match=sentence):
        ImageCrops(given, CLEAN)


def test_the_data_module_streams_and_validates_on_frozen_squares(folders):
    given = {"dark": {"path": folders / "dark"}}
    data, other = (
        ImageData(
            folders=given, val_folders=given, degradation=CLEAN, size=64, batch_size=3,
            steps_per_epoch=4, val_limit=5, seed=seed,
        )
        for seed in (0, 1)
    )  # fmt: skip
    batches = list(data.train_dataloader())
    assert [len(batch["hr"]) for batch in batches] == [3, 3, 3, 3]
    assert len(data.val) == 5
    first, again, another = (
        torch.cat([batch["hr"] for batch in each.val_dataloader()]) for each in (data, data, other)
    )
    assert torch.equal(first, again) and torch.equal(first, another)
    with pytest.raises(ConfigError, match=r"data\.val_limit .* at least 1, got 0"):
        ImageData(folders=given, val_folders=given, degradation=CLEAN, val_limit=0)


def test_damaged_images_are_left_out(folders, capsys):
    path = folders / "dark/2.png"
    path.write_bytes(path.read_bytes()[:60])  # the header is whole
    assert {round(level) for level in levels(crops(folders, light=0))} == {0, 10, 30}
    assert capsys.readouterr().err.count("left out: 2.png") == 1
    for path in (folders / "dark").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ImageError, match="all 4 images are damaged"):
        levels(crops(folders, light=0))
