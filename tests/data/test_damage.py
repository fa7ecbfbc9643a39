"""Generated damage: the mask marks what is covered, and the generator decides everything."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from faceskd.common.config import compose, instantiate
from faceskd.common.errors import ConfigError, FacesError
from faceskd.common.images import LUMA, to_uint8, write_image
from faceskd.data.damage import VISIBLE, PhotoDamage, covered, draw_structural, toned
from faceskd.data.damage_shapes import SHAPES, usual_unit
from faceskd.data.degradation import Clean
from faceskd.data.old_photos import OldPhotoData
from faceskd.portraits import render_portrait

ALL = dict.fromkeys(SHAPES, 1.0)
UNHARMED = {"monochrome": 0, "fading": 0, "stains": 0, "grain": 0, "jpeg": None, "photo": None}
FACE = cv2.resize(render_portrait(3, size=192).image, (96, 96), interpolation=cv2.INTER_AREA)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_the_generator_alone_decides_and_size_and_type_stay(seed):
    once, again = (PhotoDamage().damaged(FACE, np.random.default_rng(seed)) for _ in range(2))
    for first, second in zip(once, again, strict=True):
        np.testing.assert_array_equal(first, second)
        assert first.shape[:2] == FACE.shape[:2] and first.dtype == np.uint8
    assert set(np.unique(once.mask)) <= {0, 255}
    np.testing.assert_array_equal(PhotoDamage()(FACE, np.random.default_rng(seed)), once.photo)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_outside_the_mask_structural_damage_changes_nothing(seed):
    damage = PhotoDamage(**UNHARMED, structural=ALL)
    photo, mask, clean = damage.damaged(FACE, np.random.default_rng(seed))
    np.testing.assert_array_equal(photo[mask == 0], FACE[mask == 0])
    np.testing.assert_array_equal(clean, FACE)
    assert mask.any() and not mask.all()


@pytest.mark.parametrize("name", SHAPES)
def test_inside_the_mask_the_photo_is_covered_by_its_opacity(name):
    """On a black photo, paper of at least 200 levels less its tint shows at every marked pixel."""
    changed = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        opacity = draw_structural((96, 128), {name: 1.0}, rng)
        assert opacity.dtype == np.float32 and opacity.max() <= 1
        assert not ((opacity > 0) & (opacity < VISIBLE)).any()
        image = np.full((96, 128, 3), 120, np.float32)
        result = covered(image, opacity, rng)
        changed.append((np.abs(result - image).max(axis=2) > 3)[opacity > 0])
        paper = (result - image * (1 - opacity[..., None])) / np.maximum(opacity, VISIBLE)[
            ..., None
        ]
        assert (paper[opacity > 0] >= -0.1).all() and (paper[opacity > 0] <= 255.1).all()
    assert np.concatenate(changed).mean() > 0.99


def test_each_shape_is_as_it_is_named():
    """Scratches and cracks are thin, folds cross the photo, torn edges touch the border."""
    for seed in range(10):
        maps = {}
        for name, draw in SHAPES.items():
            maps[name] = np.zeros((256, 200), np.float32)
            draw(maps[name], np.random.default_rng(seed), usual_unit((256, 200)))
        assert cv2.erode(maps["scratches"], np.ones((7, 7))).max() < VISIBLE
        assert cv2.erode(maps["cracks"], np.ones((7, 7))).max() < VISIBLE
        assert cv2.erode(maps["dust"], np.ones((7, 7))).max() < VISIBLE
        rows, columns = (maps["folds"].any(axis=axis).mean() for axis in (1, 0))
        assert max(rows, columns) > 0.8
        count, regions = cv2.connectedComponents((maps["torn"] > 0.9).astype(np.uint8))
        border = np.zeros((256, 200), bool)
        border[[0, -1]] = border[:, [0, -1]] = True
        largest = np.argmax(np.bincount(regions.ravel())[1:]) + 1
        assert count > 1 and (border & (regions == largest)).any()


def widest(thickness, count):
    """Width in px of the widest place of the scratches of several photos."""
    damage = PhotoDamage(**UNHARMED, structural={"scratches": 1.0}, thickness=thickness)
    black = np.zeros((256, 256, 3), np.uint8)
    masks = [damage.damaged(black, np.random.default_rng(seed)).mask for seed in range(count)]
    return [2 * float(cv2.distanceTransform(mask, cv2.DIST_L2, 5).max()) - 1 for mask in masks]


def test_damage_is_thin_to_thick_and_the_seed_decides():
    default = widest(PhotoDamage().thickness, 30)
    assert widest(PhotoDamage().thickness, 3) == default[:3]
    assert min(default) < 2 and max(default) > 8
    assert max(widest((1, 1), 30)) < 8  # where scratches cross; each has at most 2 px and its edge


def test_the_thickness_multiplies_the_usual_widths():
    def area(thickness):
        rngs = (np.random.default_rng(seed) for seed in range(10))
        drawn = (draw_structural((256, 256), {"folds": 1.0}, rng, thickness) for rng in rngs)
        return np.mean([(opacity > 0).mean() for opacity in drawn])

    assert 1.8 < area(3) / area(1) < 3  # soft edges do not become wider


def test_what_has_lost_its_colours_has_a_grey_original():
    damage = PhotoDamage(**UNHARMED | {"monochrome": 1.0}, structural={})
    seen = set()
    for seed in range(8):
        photo, mask, clean = damage.damaged(FACE, np.random.default_rng(seed))
        grey = FACE @ np.array(LUMA)
        assert np.abs(clean - grey[..., None]).max() <= 0.51
        sepia = bool((photo[..., 0] > photo[..., 2]).any())
        seen.add(sepia)
        if not sepia:
            np.testing.assert_array_equal(photo, clean)
        assert not mask.any()
    assert seen == {True, False}


def test_sepia_is_its_matrix():
    pixel = toned(np.full((1, 1, 3), 100, np.uint8), 1.0)[0, 0]
    np.testing.assert_allclose(pixel, [135.1, 120.3, 93.7], atol=0.05)


def test_fading_keeps_the_order_of_levels_and_shrinks_their_range():
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (256, 1, 3))
    damage = PhotoDamage(**UNHARMED | {"fading": 1.0}, structural={})
    for seed in range(5):
        photo = damage(ramp, np.random.default_rng(seed)).astype(int)
        assert (np.diff(photo, axis=1) >= 0).all()
        assert 100 < np.ptp(photo[..., 0]) <= 255
        assert (photo[..., 2] <= photo[..., 0]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fading": 1.5}, "expected fading as a probability, got 1.5"),
        ({"structural": {"dust": -1}}, "expected dust as a probability, got -1"),
        ({"structural": {"holes": 1}}, "expected structural damage of scratches, .*'holes'"),
        ({"thickness": (4, 1)}, r"expected thickness as \[low, high\] within \[0.1, 16\]"),
        ({"jpeg": (90, 20)}, r"expected jpeg as \[low, high\] within \[1, 100\]"),
    ],
)
def test_settings_that_make_no_sense(options, message):
    with pytest.raises(ConfigError, match=message):
        PhotoDamage(**options)


def test_the_config_is_the_default():
    built = instantiate(compose("degradation/old")["degradation"])
    rng = np.random.default_rng(0), np.random.default_rng(0)
    np.testing.assert_array_equal(built(FACE, rng[0]), PhotoDamage()(FACE, rng[1]))


# The data set.


def write_photos(folder, value, count=2):
    for number in range(count):
        photo = np.full((70, 80, 3), value + number, np.uint8)
        write_image(folder / f"{number}.png", photo)
    return folder


def data(tmp_path, **options):
    folders = {"a": {"path": write_photos(tmp_path / "clean", 120)}}
    given = {"degradation": PhotoDamage(), "size": 64, "val_limit": 2} | options
    return OldPhotoData(folders=folders, val_folders=folders, **given)


def test_items_have_masks_and_real_photos_only_to_train_on(tmp_path):
    damage = PhotoDamage(**UNHARMED, structural=ALL)
    real = write_photos(tmp_path / "real", 30)
    built = data(tmp_path, degradation=damage, real=real)
    item = built.train[0, 3]
    assert {name: tuple(value.shape) for name, value in item.items()} == {
        "lr": (3, 64, 64), "hr": (3, 64, 64), "mask": (1, 64, 64), "real": (3, 64, 64),
    }  # fmt: skip
    assert set(item["mask"].unique().tolist()) == {0.0, 1.0}
    outside = (item["mask"] == 0).expand(3, -1, -1)
    assert torch.equal(item["lr"][outside], item["hr"][outside])
    assert to_uint8(item["real"]).max() <= 31
    assert "real" not in built.val[0] and "real" not in data(tmp_path).train[0]
    assert all(torch.equal(value, item[name]) for name, value in built.train[0, 3].items())


def test_folders_and_degradations_that_do_not_fit(tmp_path):
    with pytest.raises(ConfigError, match="degradation=old, got a Clean"):
        data(tmp_path, degradation=Clean(lr_size=8))
    (tmp_path / "small").mkdir()
    write_image(tmp_path / "small" / "a.png", np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(FacesError, match="no usable image"):
        data(tmp_path, real=tmp_path / "small")
