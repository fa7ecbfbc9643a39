"""Two folders without pairs: which squares come, and which folders are refused."""

import numpy as np
import pytest
import torch

from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.common.images import write_image
from faceskd.data.unpaired import UnpairedCrops, UnpairedData


@pytest.fixture
def folders(tmp_path):
    """Four noisy pictures in "a" with levels below 100, and six in "b" above 150."""
    rng = np.random.default_rng(0)
    for name, count, lowest in (("a", 4, 0), ("b", 6, 150)):
        for number in range(count):
            picture = rng.integers(lowest, lowest + 100, (80, 100, 3), np.uint8)
            write_image(tmp_path / name / f"{number}.png", picture)
    return tmp_path


def crops(folders, **options):
    return UnpairedCrops(folders / "a", folders / "b", **{"size": 64} | options)


def test_an_item_is_a_square_of_each_domain(folders):
    data = crops(folders)
    assert len(data) == 6
    assert len(crops(folders, length=9)) == 9
    for index in range(len(data)):
        item = data[index]
        assert set(item) == {"a", "b"}
        assert item["a"].shape == item["b"].shape == (3, 64, 64)
        assert item["a"].max() < 0.4 < 0.55 < item["b"].min()


def test_an_item_depends_on_seed_epoch_and_index_alone(folders):
    first, again, other = crops(folders), crops(folders, cache=0), crops(folders, seed=1)
    for key in ((0, 0), (0, 3), (5, 3)):
        for name in "ab":
            assert torch.equal(first[key][name], again[key][name])
            assert not torch.equal(first[key][name], other[key][name])
    assert torch.equal(first[3]["a"], first[0, 3]["a"])
    assert not torch.equal(first[0, 3]["a"], first[1, 3]["a"])


def test_squares_of_one_item_come_from_different_places(tmp_path):
    """The same pictures in both folders: if places were drawn together, the squares were equal."""
    rng = np.random.default_rng(0)
    for number in range(3):
        picture = rng.integers(0, 256, (80, 100, 3), np.uint8)
        for name in "ab":
            write_image(tmp_path / name / f"{number}.png", picture)
    items = [crops(tmp_path, length=20)[index] for index in range(20)]
    assert not any(torch.equal(item["a"], item["b"]) for item in items)
    paired = [crops(tmp_path, length=20, paired=True)[index] for index in range(20)]
    assert all(torch.equal(item["a"], item["b"]) for item in paired)
    assert all(item["paired"] == 1 for item in paired)


def test_the_same_images_twice_are_refused(folders):
    with pytest.raises(ConfigError, match=r"share 4 images \(for example 0\.png\): give one"):
        UnpairedCrops(folders / "a", folders / "a", size=64)
    with pytest.raises(ConfigError, match="share 6 images"):
        UnpairedCrops(folders, folders / "b", size=64)
    (folders / "c").mkdir()
    (folders / "c" / "link.png").symlink_to(folders / "a" / "2.png")
    with pytest.raises(ConfigError, match="share 1 images"):
        UnpairedCrops(folders / "a", folders / "c", size=64)


def test_an_empty_domain_is_refused(folders):
    (folders / "empty").mkdir()
    with pytest.raises(FaceskdError, match="empty"):
        UnpairedCrops(folders / "a", folders / "empty", size=64)
    with pytest.raises(FaceskdError, match="missing"):
        UnpairedCrops(folders / "missing", folders / "b", size=64)
    with pytest.raises(FaceskdError, match="4 are smaller than 90 px"):
        crops(folders, size=90)


def write_pairs(folder):
    """Four pairs, in "b" 100 levels brighter."""
    rng = np.random.default_rng(0)
    for number in range(4):
        picture = rng.integers(0, 100, (80, 100, 3), np.uint8)
        write_image(folder / "a" / f"{number}.png", picture)
        write_image(folder / "b" / f"{number}.png", picture + 100)


def test_a_damaged_image_takes_its_pair_along(tmp_path, capsys):
    write_pairs(tmp_path)
    path = tmp_path / "a" / "2.png"
    path.write_bytes(path.read_bytes()[:60])  # the header is whole
    data = crops(tmp_path, length=20, paired=True)
    for index in range(20):
        item = data[index]
        torch.testing.assert_close(item["b"], item["a"] + 100 / 255, atol=1.5 / 255, rtol=0)
    assert capsys.readouterr().err.count("left out: 2.png") == 1


def test_pairs_of_two_sizes_are_left_out(tmp_path, capsys):
    write_pairs(tmp_path)
    write_image(tmp_path / "b" / "1.png", np.zeros((90, 100, 3), np.uint8))
    data = crops(tmp_path, length=20, paired=True)
    assert all(data[index]["b"].min() > 0.35 for index in range(20))
    said = capsys.readouterr().err
    assert "expected 1.png of one size in both folders, got (80, 100) and (90, 100)" in said


def test_pairs_need_the_same_names(folders):
    with pytest.raises(ConfigError, match=r"same names .* 2 names .*4\.png.*val_paired=false"):
        crops(folders, paired=True)


def test_the_data_module_streams_and_validates_on_fixed_squares(folders):
    given = {"a": folders / "a", "b": folders / "b", "val_a": folders / "a", "val_b": folders / "b"}
    data, other = (
        UnpairedData(**given, size=64, batch_size=2, steps_per_epoch=3, val_limit=5, seed=seed)
        for seed in (0, 1)
    )
    assert [batch["a"].shape[0] for batch in data.train_dataloader()] == [2, 2, 2]
    first, again, another = (
        torch.cat([batch["b"] for batch in each.val_dataloader()]) for each in (data, data, other)
    )
    assert len(first) == 5
    assert torch.equal(first, again) and torch.equal(first, another)
    moved = data.on_after_batch_transfer({"a": torch.rand(2, 3, 8, 8), "paired": torch.ones(2)}, 0)
    assert moved["a"].is_contiguous(memory_format=torch.channels_last)
    with pytest.raises(ConfigError, match=r"data\.val_limit .* at least 1, got 0"):
        UnpairedData(**given, size=64, val_limit=0)
