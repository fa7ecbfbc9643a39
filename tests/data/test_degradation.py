"""Eq. 8 against its literal form, kernels against SciPy's, ranges, errors."""

import io
import math
from unittest import mock

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage, signal

from faceskd.common.config import compose, instantiate
from faceskd.common.errors import ConfigError
from faceskd.data import degradation
from faceskd.data.degradation import Clean, Eq8, RandomChoice, gaussian_kernel, motion_kernel
from faceskd.portraits import render_portrait

sizes = st.floats(1, 9)
angles = st.floats(0, math.pi)


@pytest.fixture(scope="module")
def face():
    return render_portrait(3, size=256).image


def area_matrix(wide, narrow):
    """The share of each of `wide` cells in each of `narrow` ones: area resize, literally."""
    edges = np.arange(narrow + 1) * wide / narrow
    cells = np.arange(wide)
    low = np.maximum(edges[:-1, None], cells)
    high = np.minimum(edges[1:, None], cells + 1)
    return np.maximum(high - low, 0) * narrow / wide


def shrink(image, side):
    matrix = area_matrix(image.shape[0], side)
    return np.einsum("ih,hwc,jw->ijc", matrix, image.astype(float), matrix, optimize=True)


def jpeg(image, quality):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return np.array(Image.open(file))


def rounded(image):
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


class Highest:
    """Draws the highest value of every range, always the same angle, and noise of one sign."""

    angle = 0.7

    def __init__(self, sign=1.0):
        self.sign = sign

    def uniform(self, low, high):
        if (low, high) == (0, math.pi):
            return self.angle
        return high

    def random(self):
        return 0.5

    def standard_normal(self, shape, dtype):
        return np.full(shape, self.sign, dtype)


@pytest.mark.parametrize(
    ("motion", "noise", "quality"),
    [(0.5, 0.0, 100), (0.51, 0.0, 100), (1.0, 6.0, 60), (0.0, 90.0, 60), (0.0, -90.0, 60)],
)
def test_eq8_is_its_literal_form(face, motion, noise, quality):
    settings = Eq8((3, 5), motion, (0.5, 0.6), (0, abs(noise)), (40, quality))
    with mock.patch.object(cv2, "imencode", wraps=cv2.imencode) as encode:
        came = settings(face, Highest(math.copysign(1, noise)))
    (_, encoded, (_, asked)), _ = encode.call_args
    kernel = motion_kernel(5, Highest.angle) if motion > 0.5 else gaussian_kernel(5)
    blurred = [
        ndimage.correlate(face[..., c].astype(float), kernel, mode="mirror") for c in range(3)
    ]
    small = rounded(shrink(rounded(np.stack(blurred, axis=-1)), round(0.6 * 256)) + noise)
    difference = np.abs(encoded[..., ::-1].astype(int) - small)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.002  # OpenCV rounds the blurred picture in fixed point
    assert asked == quality
    expected = rounded(shrink(jpeg(encoded[..., ::-1], quality), 32))
    assert np.abs(came.astype(int) - expected).max() <= 1
    assert came.dtype == np.uint8


def test_noise_is_added_in_8_bit_levels_before_the_last_resize():
    grey = np.full((256, 256, 3), 128, np.uint8)
    settings = Eq8(blur=(3, 3), resize=(1, 1), noise=(12, 12), jpeg=(100, 100))
    lr = np.stack([settings(grey, np.random.default_rng(seed)) for seed in range(8)])
    luma = lr.astype(float) @ [0.299, 0.587, 0.114]
    # Each LR cell is the mean of 8 x 8 independent samples; JPEG keeps luma at full resolution.
    expected = 12 / 8 * np.linalg.norm([0.299, 0.587, 0.114])
    assert abs(luma.mean() - 128) < 0.2
    assert luma.std() == pytest.approx(expected, rel=0.1)


@given(size=sizes)
def test_gaussian_kernel_is_scipys(size):
    kernel = gaussian_kernel(size)
    sigma = 0.3 * ((size - 1) * 0.5 - 1) + 0.8
    row = signal.windows.gaussian(len(kernel), sigma)
    np.testing.assert_allclose(kernel, np.outer(row, row) / np.outer(row, row).sum(), atol=1e-7)
    assert len(kernel) % 2 == 1
    assert len(kernel) >= size


@given(size=sizes, angle=angles)
def test_motion_kernel_is_a_centred_line_of_weight_1(size, angle):
    kernel = motion_kernel(size, angle)
    assert kernel.sum() == pytest.approx(1)
    assert kernel.min() >= 0
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-9)
    half = len(kernel) // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    off_the_line = np.abs(-x * math.sin(angle) + y * math.cos(angle))
    assert off_the_line[kernel > 1e-12].max() < math.sqrt(2)


def test_motion_kernel_across_and_down():
    across = motion_kernel(5, 0.0)
    assert across[[0, 1, 3, 4]].sum() == 0
    assert across[2, 1:4] == pytest.approx(across[2, 2], rel=0.1)
    assert (across[2] > 0).all()
    np.testing.assert_allclose(motion_kernel(5, math.pi / 2), across.T, atol=1e-9)


def ranges(low, high):
    return st.tuples(st.floats(low, high), st.floats(low, high)).map(sorted).map(tuple)


@given(
    blur=ranges(1, 9),
    resize=ranges(0.05, 1),
    noise=ranges(0, 40),
    jpeg_range=ranges(1, 100),
    seed=st.integers(0, 2**32),
)
def test_what_is_drawn_lies_in_its_range(blur, resize, noise, jpeg_range, seed):
    hr = np.full((64, 64, 3), 128, np.uint8)
    settings = Eq8(blur, 0.5, resize, noise, jpeg_range, lr_size=8)
    kernels = [
        mock.patch.object(degradation, name, wraps=getattr(degradation, name))
        for name in ("gaussian_kernel", "motion_kernel")
    ]
    with (
        kernels[0] as gaussian,
        kernels[1] as motion,
        mock.patch.object(cv2, "imencode", wraps=cv2.imencode) as encode,
    ):
        lr = settings(hr, np.random.default_rng(seed))
    (call,) = gaussian.call_args_list + motion.call_args_list
    assert blur[0] <= call.args[0] <= blur[1]
    _, noisy, (_, quality) = encode.call_args.args
    assert math.floor(jpeg_range[0]) <= quality <= math.ceil(jpeg_range[1])
    assert max(8, math.floor(64 * resize[0])) <= len(noisy) <= max(8, math.ceil(64 * resize[1]))
    assert np.abs(noisy.astype(int) - 128).max() <= 6 * noise[1] + 1
    assert lr.shape == (8, 8, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"blur": (5.0, 3.0)},
        {"blur": (0.5, 3.0)},
        {"resize": (0.0, 0.5)},
        {"resize": (0.4, 1.2)},
        {"noise": (-1.0, 5.0)},
        {"jpeg": (0, 80)},
        {"jpeg": (40, 101)},
        {"noise": (float("nan"), 5.0)},
        {"noise": 5.0},
        {"noise": (1.0, 2.0, 3.0)},
        {"jpeg": ("low", "high")},
        {"motion": 1.5},
        {"lr_size": 0},
    ],
    ids=str,
)
def test_impossible_settings_are_refused_by_name(wrong):
    (name,) = wrong
    with pytest.raises(ConfigError, match=f"expected {name}"):
        Eq8(**wrong)


def test_clean_refuses_an_impossible_size():
    with pytest.raises(ConfigError, match="lr_size"):
        Clean(lr_size=0)


def test_the_generator_alone_decides(face):
    draw = [Eq8()(face, np.random.default_rng(seed)) for seed in (5, 5, 6)]
    np.testing.assert_array_equal(draw[0], draw[1])
    assert (draw[0] != draw[2]).any()


def test_clean_is_pillows_antialiased_bicubic(face):
    expected = Image.fromarray(face).resize((32, 32), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(Clean()(face, np.random.default_rng(0)), np.array(expected))


def test_bicubic_of_a_drawn_face_is_a_smoothed_face(face):
    lr = Eq8()(face, np.random.default_rng(0))
    assert psnr(enlarge(lr), face) > psnr(np.full_like(face, face.mean()), face) + 3


def enlarge(lr):
    return np.array(Image.fromarray(lr).resize((256, 256), Image.Resampling.BICUBIC))


def psnr(image, hr):
    return 10 * math.log10(255**2 / np.square(image.astype(float) - hr).mean())


class Constant:
    """Makes every face of one level."""

    def __init__(self, level):
        self.level = level

    def __call__(self, hr, rng):
        return np.full((32, 32, 3), self.level, np.uint8)


class TestRandomChoice:
    def test_the_first_comes_as_often_as_told(self, face):
        choice = RandomChoice(0.2, Constant(1), Constant(0))
        drawn = [choice(face, np.random.default_rng(seed)).max() for seed in range(1000)]
        assert 160 < sum(drawn) < 240

    @pytest.mark.parametrize(("probability", "level"), [(0, 0), (1, 1)])
    def test_certain_ones(self, face, probability, level):
        choice = RandomChoice(probability, Constant(1), Constant(0))
        assert {choice(face, np.random.default_rng(seed)).max() for seed in range(20)} == {level}

    def test_a_draw_of_the_probability_itself_chooses_the_second(self, face):
        """`random()` is in [0, 1), so that 0 never chooses the first and 1 always does."""
        choice = RandomChoice(Highest().random(), Constant(1), Constant(0))
        assert choice(face, Highest()).max() == 0

    def test_wide_is_eq8_and_sometimes_clean(self, face):
        wide = instantiate(compose("degradation/wide")["degradation"])
        clean = Clean()(face, np.random.default_rng(0))
        made = [wide(face, np.random.default_rng(seed)) for seed in range(120)]
        again = [wide(face, np.random.default_rng(seed)) for seed in range(120)]
        np.testing.assert_array_equal(made, again)
        assert 3 <= sum(np.array_equal(lr, clean) for lr in made) <= 25
        assert {(lr.shape, lr.dtype.name) for lr in made} == {((32, 32, 3), "uint8")}

    @pytest.mark.parametrize("name", ["blur", "resize", "noise", "jpeg"])
    def test_wide_holds_all_of_eq8(self, name):
        wide = instantiate(compose("degradation/wide")["degradation"])
        low, high = getattr(Eq8(), name)
        assert getattr(wide.second, name)[0] <= low
        assert high <= getattr(wide.second, name)[1]

    def test_what_is_wrong_is_said(self):
        with pytest.raises(ConfigError, match=r"probability in \[0, 1\], got 2"):
            RandomChoice(2, Clean(), Clean())
        with pytest.raises(ConfigError, match="second to be a degradation, got None"):
            RandomChoice(0.5, Clean(), None)
