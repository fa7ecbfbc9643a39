"""Colour of skin and irises: the regions, the angle, and shifts of known size."""

import numpy as np
import pytest
import torch
from helpers.aligned_faces import COLUMNS, EYES, IRIS, LANDMARKS, POINTS, SKIN, draw
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import lab2rgb, rgb2lab

from faceskd.common.errors import ConfigError
from faceskd.common.images import to_tensor
from faceskd.metrics import COLOUR_NAMES, MetricSuite
from faceskd.metrics.colour import (
    SHIFT_NAMES,
    ColourShift,
    SkinTone,
    region_colour,
    region_mask,
    typology_angle,
)

FACE = draw()


def batch(image):
    return to_tensor(image)[None]


def shifts(sr, hr):
    return {
        name: ColourShift(name).per_image(batch(sr), batch(hr), LANDMARKS).item()
        for name in SHIFT_NAMES
    }


def moved(colour, axis, amount):
    return tuple(value + amount * (i == axis) for i, value in enumerate(colour))


def rounded(lab):
    """A colour as 8 bits can show it."""
    return rgb2lab((lab2rgb(lab) * 255).round() / 255)


def cielab(pixels):
    """CIELAB of uint8 sRGB by the formulas of IEC 61966-2-1 and CIE 15; white is (1, 1, 1)."""
    rgb = pixels / 255
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    to_xyz = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169],
                       [0.019334, 0.119193, 0.950227]])  # fmt: skip
    xyz = linear @ to_xyz.T / to_xyz.sum(axis=1)
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def test_a_regions_colour_is_the_median_of_cielab():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for region in ("skin", "iris"):
        pixels = image[region_mask(region, image, POINTS / 4)]
        expected = np.median(cielab(pixels), axis=0)
        np.testing.assert_allclose(
            region_colour(region, image, POINTS / 4), expected, atol=5e-3, err_msg=region
        )
    np.testing.assert_allclose(
        rgb2lab(image.reshape(-1, 3)), cielab(image.reshape(-1, 3)), atol=5e-3
    )


@pytest.mark.parametrize("region", ["skin", "iris"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("amount", [-5.0, 5.0])
def test_a_known_shift_is_found_where_it_is_and_nowhere_else(region, axis, amount):
    old = SKIN if region == "skin" else IRIS
    new = moved(old, axis, amount)
    exact = dict(zip("Lab", rounded(new) - rounded(old), strict=True))
    assert exact["Lab"[axis]] == pytest.approx(amount, abs=0.7)
    for name, shift in shifts(draw(**{region: new}), draw()).items():
        expected = exact[name[-1]] if name.startswith(region) else 0
        assert shift == pytest.approx(expected, abs=0.01), name


@settings(max_examples=20)
@given(
    skin=st.tuples(st.floats(35, 75), st.floats(5, 15), st.floats(8, 22)),
    change=st.tuples(*[st.floats(-4, 4)] * 3),
)
def test_the_shift_of_any_skin(skin, change):
    new = tuple(np.add(skin, change))
    found = shifts(draw(skin=new), draw(skin=skin))
    shift = [found[f"skin_{axis}"] for axis in "Lab"]
    assert shift == pytest.approx(rounded(new) - rounded(skin), abs=0.01)
    assert shift == pytest.approx(change, abs=1.2)  # rounding to 8 bits moves either by 0.6


def test_no_shift_of_the_same_face_and_the_opposite_when_swapped():
    first, second = draw(), draw(skin=(55, 10, 20), iris=(40, -2, -12))
    assert set(shifts(first, first).values()) == {0.0}
    there, back = shifts(first, second), shifts(second, first)
    assert there == pytest.approx({name: -shift for name, shift in back.items()})


def test_irises_leave_out_the_white_and_the_rest_of_the_face():
    mask = region_mask("iris", draw(), POINTS)
    assert mask.any()
    assert EYES[mask].max() < 6.5
    assert (EYES[mask] < 6.5).all()


def test_an_iris_that_moved_is_no_shift_of_colour():
    hr = draw()
    assert shifts(np.roll(hr, 1, axis=1), hr)["iris_L"] == pytest.approx(0, abs=0.1)


def test_skin_is_neither_eyes_nor_nose_nor_mouth():
    mask = region_mask("skin", draw(), POINTS)
    rows, columns = np.nonzero(mask)
    assert rows.min() > 140
    assert rows.max() < 176
    assert (np.abs(columns - 128) > 20).all()


def test_highlights_and_a_beard_on_less_than_half_do_not_count():
    hr = draw()
    spotted = hr.copy()
    spotted[region_mask("skin", hr, POINTS) & (COLUMNS < 128) & (COLUMNS > 90)] = 255
    assert shifts(spotted, hr)["skin_L"] == pytest.approx(0, abs=0.1)


@given(turn=st.floats(-20, 20), scale=st.floats(0.3, 1.2), dx=st.floats(-300, 300))
def test_regions_are_never_empty(turn, scale, dx):
    angle = np.radians(turn)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = ((POINTS - 128) @ matrix.T + 128 + [dx, 0]).astype(np.float32)
    for region in ("skin", "iris"):
        assert region_mask(region, FACE, points).any()


@pytest.mark.parametrize(
    ("lightness", "b", "expected"),
    [(65, 15, 45), (50, 10, 0), (40, 10, -45), (50 + 10 * np.sqrt(3), 10, 60), (30, 0, -90)],
)
def test_typology_angle(lightness, b, expected):
    assert typology_angle(lightness, b) == pytest.approx(expected)


@given(lightness=st.floats(10, 90), lighter=st.floats(0.1, 9), b=st.floats(1, 30))
def test_lighter_skin_has_a_larger_angle(lightness, lighter, b):
    assert -90 < typology_angle(lightness, b) < typology_angle(lightness + lighter, b) < 90


def test_the_angle_is_of_the_image_given_as_sr():
    light, dark = batch(draw()), batch(draw(skin=(35, 12, 15)))
    angles = SkinTone().per_image(torch.cat([light, dark]), light.repeat(2, 1, 1, 1),
                                  LANDMARKS.repeat(2, 1, 1))  # fmt: skip
    expected = [typology_angle(62, 18), typology_angle(35, 15)]
    assert angles.tolist() == pytest.approx(expected, abs=1)


def test_the_suite_knows_them_by_name():
    suite = MetricSuite(COLOUR_NAMES)
    suite.update(batch(draw(iris=(30, 8, 9))), batch(draw()), LANDMARKS)
    summary = suite.compute().summary()
    assert list(summary) == list(COLOUR_NAMES)
    assert summary["iris_b"] == pytest.approx(-5, abs=0.7)


def test_what_is_wrong_is_said():
    with pytest.raises(ConfigError, match="expected name as one of skin_L"):
        ColourShift("hair_L")
    with pytest.raises(ConfigError, match=r"ita expects landmarks.*None"):
        SkinTone().per_image(batch(draw()), batch(draw()), None)
    with pytest.raises(ConfigError, match=r"\(1, 68, 2\)"):
        ColourShift("skin_L").per_image(batch(draw()), batch(draw()), torch.zeros(1, 68, 2))
