"""The same face through the frames of a video, its landmarks smoothed over time."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

LEAST_OVERLAP = 0.3
"""Intersection over union of a face's boxes from one sighting to the next."""

LONGEST_GAP = 5
"""Frames that a face may be missed for; its landmarks are interpolated there."""

SHORTEST = 5
"""Frames; what is seen in fewer is a mistake of the detector."""

WINDOW, ORDER = 9, 2
"""Of the smoothing polynomial (Savitzky and Golay, 1964): steady motion passes, jitter does not."""


@dataclass(frozen=True, eq=False)
class Sighting:
    """A face in one frame.

    Attributes:
        box: x1, y1, x2, y2, (4,).
        landmarks: (5, 2).
        missing_octaves: what it lacks (`faceskd.restore.octaves.lacking`), (4,).
        size: pixels across the aligned face.
    """

    box: np.ndarray
    landmarks: np.ndarray
    missing_octaves: np.ndarray
    size: float


@dataclass
class Track:
    """The sightings of one face, by the number of the frame, in order."""

    seen: dict[int, Sighting] = field(default_factory=dict)

    @property
    def first(self) -> int:
        return next(iter(self.seen))

    @property
    def last(self) -> int:
        return next(reversed(self.seen))

    @property
    def missing_octaves(self) -> np.ndarray:
        """The median of what was lacking: one for all frames, so that the picture stays calm."""
        return np.median([sighting.missing_octaves for sighting in self.seen.values()], axis=0)

    @property
    def size(self) -> float:
        """The median of the sizes."""
        return float(np.median([sighting.size for sighting in self.seen.values()]))

    def landmarks(self) -> np.ndarray:
        """Of every frame from the first to the last, smoothed: (frames, 5, 2) float32."""
        frames = list(self.seen)
        known = np.array([sighting.landmarks.ravel() for sighting in self.seen.values()])
        every = np.arange(self.first, self.last + 1)
        points = np.column_stack([np.interp(every, frames, values) for values in known.T])
        window = min(WINDOW, len(every) - 1 + len(every) % 2)
        if window > ORDER:
            from scipy.signal import savgol_filter  # takes as long to import as a photo to restore

            points = savgol_filter(points, window, ORDER, axis=0)
        return points.reshape(-1, 5, 2).astype(np.float32)


def link(frames: Sequence[Sequence[Sighting]]) -> list[Track]:
    """Join the faces of all frames to tracks: each goes to the free track that it overlaps most."""
    finished: list[Track] = []
    running: list[Track] = []
    for number, sightings in enumerate(frames):
        finished += [track for track in running if number - track.last > LONGEST_GAP + 1]
        running = [track for track in running if number - track.last <= LONGEST_GAP + 1]
        pairs = [
            (overlap(track.seen[track.last].box, sighting.box), track, index)
            for track in running
            for index, sighting in enumerate(sightings)
        ]
        free = set(range(len(sightings)))
        for share, track, index in sorted(pairs, key=lambda pair: -pair[0]):
            if share >= LEAST_OVERLAP and index in free and track.last < number:
                track.seen[number] = sightings[index]
                free.remove(index)
        running += [Track({number: sightings[index]}) for index in sorted(free)]
    return [track for track in finished + running if len(track.seen) >= min(SHORTEST, len(frames))]


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
