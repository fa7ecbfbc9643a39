"""Landmarks that are those of a face, and others."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceskd.faces.align import template
from faceskd.faces.pose import pose
from faceskd.portraits import render_portrait


def moved(point, x=0.0, y=0.0):
    points = template()
    points[point] += (x, y)
    return points


@cache
def landmarks(number):
    return render_portrait(number, size=128).landmarks


@given(st.integers(0, 20), st.floats(0, 360), st.floats(0.05, 8))
def test_portraits_are_seen_from_the_front_whatever_their_turn_and_size(number, degrees, size):
    turn = np.radians(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    assert pose(size * landmarks(number) @ rotation.T + (300, -20)) == "front"


@pytest.mark.parametrize("x", [-50, 50])
def test_a_nose_beyond_an_eye_is_a_profile(x):
    assert pose(moved(2, x=x)) == "profile"
    assert pose(moved(2, x=x / 4)) == "front"


@pytest.mark.parametrize(
    "points",
    [
        template()[[1, 0, 2, 4, 3]],  # a face in a mirror, eyes and corners of the mouth changed
        template()[[3, 4, 2, 0, 1]],  # eyes and mouth changed
        moved(2, y=70),  # the nose below the mouth
        moved(0, y=-60),
        moved([0, 1], y=60),
        np.zeros((5, 2)),
    ],
)
def test_points_that_cannot_be_a_face(points):
    assert pose(points) in ("unsure", "profile")
