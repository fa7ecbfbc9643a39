"""Track faces through the frames of a video, and smooth their landmarks over time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import ArrayLike

LEAST_OVERLAP = 0.3
"""Smallest intersection over union of the boxes of a face in successive sightings."""

LONGEST_GAP = 5
"""Largest number of frames without a sighting within a track; landmarks are interpolated."""

SHORTEST = 5
"""Fewer sightings than this, in a longer shot, count as a mistake of the detector."""

WINDOW, ORDER = 9, 2
"""Smoothing polynomial (Savitzky and Golay, 1964), which keeps motion and removes jitter."""

CALM = 13
"""Frames over which the missing detail is smoothed (half a second), against flicker."""

SAME_LOOK = 0.75
"""Below this correlation, two aligned faces are of two people, and the track ends.

99 % of the pairs of 37 portraits have less than 0.8. A face with the noise, jitter and change of
light between two frames has more than 0.88 in 95 % of the cases.
"""

LOOK_SIDE, REMEMBERED = 16, 5
"""Side of the pictures that are compared, in pixels, and number of frames in their mean."""


@dataclass(frozen=True, eq=False)
class Sighting:
    """A face in one frame.

    Attributes:
        box: x1, y1, x2, y2, (4,).
        landmarks: (5, 2).
        missing_octaves: the detail it lacks (`faceskd.restore.octaves.lacking`), (4,).
        look: result of `look_of`.
        refused: whether the landmarks are not those of a face seen from the front.
    """

    box: np.ndarray
    landmarks: np.ndarray
    missing_octaves: np.ndarray
    look: np.ndarray
    refused: bool = False


@dataclass
class Track:
    """The sightings of one face by frame number, in order."""

    seen: dict[int, Sighting] = field(default_factory=dict)

    @property
    def first(self) -> int:
        return next(iter(self.seen))

    @property
    def last(self) -> int:
        return next(reversed(self.seen))

    @property
    def look(self) -> np.ndarray:
        """The mean of the last vectors of `look_of`."""
        return np.mean([sighting.look for sighting in [*self.seen.values()][-REMEMBERED:]], axis=0)

    def landmarks(self) -> np.ndarray:
        """Smoothed landmarks of every frame of the track, (frames, 5, 2) float32."""
        points = self._every([sighting.landmarks.ravel() for sighting in self.seen.values()])
        window = min(WINDOW, len(points) - 1 + len(points) % 2)
        if window > ORDER:
            from scipy.signal import savgol_filter  # importing takes as long as restoring a photo

            points = savgol_filter(points, window, ORDER, axis=0)
        return points.reshape(-1, 5, 2).astype(np.float32)

    def missing_octaves(self) -> np.ndarray:
        """The detail it lacks in every frame, smoothed over time: (frames, 4).

        It falls to 0 before frames in which the face is refused, and rises after them.
        """
        from scipy.ndimage import median_filter, minimum_filter1d, uniform_filter1d

        lacks = self._every([sighting.missing_octaves for sighting in self.seen.values()])
        lacks = uniform_filter1d(median_filter(lacks, (CALM, 1), mode="nearest"), CALM, axis=0)
        usable = self._every([[not sighting.refused] for sighting in self.seen.values()])
        usable = np.floor(median_filter(usable, (SHORTEST, 1), mode="nearest"))
        usable = uniform_filter1d(minimum_filter1d(usable, CALM, axis=0), CALM, axis=0)
        return np.clip(lacks * usable, 0, 1)

    def _every(self, values: Sequence[ArrayLike]) -> np.ndarray:
        """Interpolate values from the frames with a sighting to every frame: (frames, N)."""
        frames = np.arange(self.first, self.last + 1)
        columns = np.asarray(values, np.float64).T
        return np.column_stack([np.interp(frames, list(self.seen), column) for column in columns])


def look_of(crop: np.ndarray) -> np.ndarray:
    """A vector of mean 0 and length 1 to compare aligned faces, RGB uint8 (256, 256, 3)."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (LOOK_SIDE, LOOK_SIDE), interpolation=cv2.INTER_AREA)
    inner = small[2:-1, 2:-2].astype(np.float64).ravel()
    inner -= inner.mean()
    return inner / max(float(np.linalg.norm(inner)), 1e-6)


def link(frames: Sequence[Sequence[Sighting]], cuts: Collection[int] = ()) -> list[Track]:
    """Join the faces of all frames to tracks. Each face joins the free track it overlaps most.

    A track ends at a cut, and if another face appears at its place.

    Args:
        frames: faces of each frame.
        cuts: numbers of the frames that start a new shot.
    """
    starts = sorted({0, *cuts, len(frames)})
    tracks = []
    for start, end in pairwise(starts):
        tracks += [
            track
            for track in _link_shot(frames[start:end], start)
            if len(track.seen) >= min(SHORTEST, end - start)
        ]
    return tracks


def _link_shot(frames: Sequence[Sequence[Sighting]], start: int) -> list[Track]:
    finished: list[Track] = []
    running: list[Track] = []
    for number, sightings in enumerate(frames, start):
        finished += [track for track in running if number - track.last > LONGEST_GAP + 1]
        running = [track for track in running if number - track.last <= LONGEST_GAP + 1]
        pairs = [
            (overlap(track.seen[track.last].box, sighting.box), track, index)
            for track in running
            for index, sighting in enumerate(sightings)
            if _alike(track.look, sighting.look)
        ]
        free = set(range(len(sightings)))
        for share, track, index in sorted(pairs, key=lambda pair: -pair[0]):
            if share >= LEAST_OVERLAP and index in free and track.last < number:
                track.seen[number] = sightings[index]
                free.remove(index)
        running += [Track({number: sightings[index]}) for index in sorted(free)]
    return finished + running


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    return float(one @ other) >= SAME_LOOK * float(np.linalg.norm(one))


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes x1, y1, x2, y2.

    Examples:
        >>> overlap(np.array([0, 0, 2, 2]), np.array([1, 0, 3, 2]))
        0.3333333333333333
    """
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    areas = float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]))
    return shared / max(areas - shared, 1e-6)
