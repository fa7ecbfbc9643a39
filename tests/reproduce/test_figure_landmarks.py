"""Figure 1: landmarks found on HR and on LR faces."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from faceskd.reproduce.figure_landmarks import (
    LandmarkPair,
    find_pairs,
    inter_ocular_error,
    summarise,
    write_landmark_figure,
)

POINTS = np.array([[80, 100], [180, 100], [130, 150], [95, 190], [165, 190]], np.float32)


class Fixed:
    """A detector that finds given points, or nothing."""

    min_face = 1.0

    def __init__(self, points):
        self.points = points

    def detect(self, image):
        return [] if self.points is None else [SimpleNamespace(landmarks=self.points)]


def face(name):
    return {"name": name, "hr": torch.zeros(3, 256, 256), "lr": torch.zeros(3, 32, 32)}


def test_landmarks_on_lr_are_compared_in_pixels_of_hr():
    (pair,) = find_pairs(
        [face("a")], on_hr=Fixed(POINTS), on_lr=Fixed((POINTS + np.array([8, 6])) / 8)
    )
    assert pair.error == pytest.approx(10 / 100, rel=1e-5)
    assert inter_ocular_error(POINTS, POINTS) == 0


def test_faces_that_are_not_found_are_counted_not_averaged():
    (missed,) = find_pairs([face("a")], on_hr=Fixed(POINTS), on_lr=Fixed(None))
    assert missed.error is None
    found = [LandmarkPair(str(i), POINTS, POINTS + np.array([i, 0])) for i in (1, 3)]
    summary = summarise([missed, *found])
    assert (summary["faces"], summary["found_on_hr"], summary["found_on_lr"]) == (3, 3, 2)
    assert summary["mean_error"] == pytest.approx(0.02)
    assert "mean_error" not in summarise([missed])


@pytest.mark.parametrize("show", [0, 1])
def test_the_picture_has_the_faces_that_are_to_be_shown(show, tmp_path, monkeypatch):
    for name in ("MTCNNDetector", "find_pairs"):
        monkeypatch.setattr(
            f"faceskd.reproduce.figure_landmarks.{name}",
            lambda *_, **__: [LandmarkPair("a", POINTS, None)],
        )
    assert write_landmark_figure([face("a")] * 2, tmp_path, show=show)["found_on_hr"] == 1
    assert (tmp_path / "landmarks.png").is_file() == (show > 0)
    assert (tmp_path / "landmarks.csv").is_file()
