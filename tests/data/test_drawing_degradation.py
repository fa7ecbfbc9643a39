"""Drawings as JPEG and enlargement leave them."""

import cv2
import numpy as np
import pytest

from faceskd.common.config import compose, instantiate
from faceskd.common.errors import ConfigError
from faceskd.data.drawing_degradation import DrawingDegradation
from faceskd.restore.background import LANCZOS, enlarged_background


@pytest.fixture
def drawing():
    picture = np.full((64, 64, 3), 255, np.uint8)
    cv2.circle(picture, (32, 32), 20, (200, 30, 60), -1)
    cv2.line(picture, (4, 60), (60, 4), (0, 0, 0), 2)
    return picture


def loss(degradation, drawing):
    """Mean absolute difference over twenty draws, in grey levels."""
    degraded = [degradation(drawing, np.random.default_rng(seed)) for seed in range(20)]
    return float(np.mean([np.abs(one.astype(int) - drawing).mean() for one in degraded]))


@pytest.mark.parametrize("level", range(4))
def test_the_generator_decides_and_the_form_stays(drawing, level):
    degradation = DrawingDegradation(level=level)
    first, second = (degradation(drawing, np.random.default_rng(3)) for _ in range(2))
    assert first.shape == drawing.shape and first.dtype == np.uint8
    assert (first == second).all()


def test_each_level_loses_more(drawing):
    losses = [loss(DrawingDegradation(level=level, reduced=0), drawing) for level in (1, 2, 3)]
    assert 0 < losses[0] < losses[1] < losses[2]


def test_level_0_is_the_drawing_reduced_and_enlarged_as_restore_does(drawing):
    degraded = DrawingDegradation(level=0)(drawing, np.random.default_rng(0))
    halves = [
        enlarged_background(cv2.resize(drawing, (32, 32), interpolation=one), (64, 64), LANCZOS)
        for one in (cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
    ]
    assert any((degraded == half).all() for half in halves)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"level": 4}, "a level from 0 to 3, got 4"),
        ({"reduced": 1.5}, "reduced as a probability"),
        ({"level": 0, "reduced": 0}, "got level=0"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        DrawingDegradation(**settings)


def test_the_experiment_uses_it():
    config = compose("train", ["experiment=drawing", "data.degradation.level=3", "out=x"])
    assert instantiate(config.data.degradation) == DrawingDegradation(level=3, reduced=0.5)
