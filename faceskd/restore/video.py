"""Restore videos: find and track all faces first, then restore each frame; sound is copied.

The file is read twice. The position of a face, and the detail it lacks, are smoothed over its whole
track before the first frame is restored, so that the result does not flicker or lag.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from faceskd.common.errors import ConfigError, ImageError
from faceskd.common.files import atomic_path
from faceskd.data.manifest import OK
from faceskd.faces.detection import Face
from faceskd.faces.pose import PROFILE, UNSURE
from faceskd.restore.photo import (
    PhotoSettings,
    add_detail,
    examine_face,
    find_faces,
    network_inputs,
    put_back,
)
from faceskd.restore.photo_face import LEAST_LACKING, SKIP, PhotoFace
from faceskd.restore.restorer import Restorer
from faceskd.restore.tracking import Sighting, Track, link, look_of
from faceskd.restore.video_read import Losses, VideoFrame, opened, read_frames
from faceskd.restore.video_write import write_video

MP4_LIKE = frozenset({".mp4", ".mov", ".m4v"})

Places = defaultdict[int, list[tuple[np.ndarray, np.ndarray]]]
"""The faces to restore in each frame: landmarks (5, 2), and what they lack (4,)."""


@dataclass(frozen=True)
class VideoSummary:
    """The result of restoring a video.

    Attributes:
        path: the restored video.
        frames: number of frames.
        tracks: number of face tracks. A track is one face in consecutive frames without a cut.
        left: number of tracks that were not changed in any frame.
        losses: what could not be read.
    """

    path: Path
    frames: int
    tracks: int
    left: int
    losses: Losses

    def __str__(self) -> str:
        done = f"{self.frames} frames, {self.tracks} faces, {self.left} of them left as they are"
        return f"{done}; {self.losses}" if self.losses else done


def result_suffix(source: Path) -> str:
    """The suffix of a restored video: .mp4, or .mkv, which can contain any audio."""
    return ".mp4" if source.suffix.lower() in MP4_LIKE else ".mkv"


def passes(source: Path | str) -> int | None:
    """How often `restore_video` will call `on_frame`; None if the file does not say.

    Raises:
        MissingExtraError, ImageError: see `restore_video`.
    """
    with opened(Path(source)) as container:
        return 2 * container.streams.video[0].frames or None


def restore_video(
    restorer: Restorer,
    source: Path | str,
    out: Path | str,
    settings: PhotoSettings,
    *,
    name: str | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> VideoSummary:
    """Restore the faces of a video. The result is H.264, with the sound and metadata of the source.

    It is `out/<name>.mp4` for .mp4, .mov and .m4v, and `out/<name>.mkv` for others, as .mkv can
    contain any sound. The file appears when it is complete. Frames that cannot be decoded are left
    out and counted.

    Args:
        restorer: finds and restores the faces.
        source: a file that FFmpeg can read.
        out: the output folder.
        settings: how frames are restored.
        name: name of the result without suffix; None for that of the source.
        on_frame: called after each frame, in both passes.

    Raises:
        MissingExtraError: PyAV is not installed.
        ImageError: the file is not a video, no frame can be decoded, or the result would be too
            large.
        DiskFullError, OSError: the result cannot be written.
        ConfigError: the result would replace the source.
    """
    source = Path(source)
    path = Path(out) / f"{name or source.stem}{result_suffix(source)}"
    if path.resolve() == source.resolve():
        raise ConfigError(
            f"expected an output folder other than that of the video, got one in which the result "
            f"would replace {source.name!r}; give another folder"
        )
    settings = restorer.adapted(settings)
    losses = Losses()
    sightings, cuts = [], []
    for number, frame in enumerate(read_frames(source, losses)):
        settings.size(frame.image)  # too large a result is refused before the search, not after it
        found = find_faces(_square(frame), restorer.detector, settings)
        sightings.append([_sighting(face) for face in found])
        cuts += [number] * frame.cut
        on_frame()
    if not sightings:
        raise ImageError(f"{source.name}: no frame of the video can be decoded")
    tracks = link(sightings, cuts)
    places, left = _places(tracks, settings)
    with atomic_path(path) as temporary:
        write_video(temporary, source, _restored(restorer, source, places, settings, on_frame))
    return VideoSummary(path, len(sightings), len(tracks), left, losses)


def _sighting(face: PhotoFace) -> Sighting:
    refused = face.status in (PROFILE, UNSURE)
    return Sighting(face.box, face.landmarks, face.missing_octaves, look_of(face.crop), refused)


def _places(tracks: Sequence[Track], settings: PhotoSettings) -> tuple[Places, int]:
    """The faces to restore in each frame, and how many tracks have none."""
    places: Places = defaultdict(list)
    left = 0
    for track in tracks:
        missing = track.missing_octaves() if settings.faces != SKIP else np.zeros((0, 4))
        restored = missing.max(axis=1) >= LEAST_LACKING
        left += not restored.any()
        landmarks = track.landmarks()
        for index in np.flatnonzero(restored):
            places[track.first + int(index)].append((landmarks[index], missing[index]))
    return places, left


def _restored(
    restorer: Restorer,
    source: Path,
    places: Places,
    settings: PhotoSettings,
    on_frame: Callable[[], None],
) -> Iterator[tuple[VideoFrame, np.ndarray]]:
    """The frames with their restored images."""
    for number, frame in enumerate(read_frames(source)):
        square = _square(frame)
        faces = [_face(square, *place, settings) for place in places[number]]
        restored = restorer.restore_faces(network_inputs(square, faces))
        faces = add_detail(faces, restored, settings.strength)
        shape = np.divide(square.shape[1::-1], frame.image.shape[1::-1])
        squeezed = [replace(face, matrix=face.matrix @ np.diag([*shape, 1])) for face in faces]
        yield frame, put_back(frame.image, squeezed, settings, restorer.scene)
        on_frame()


def _face(
    image: np.ndarray, landmarks: np.ndarray, missing: np.ndarray, settings: PhotoSettings
) -> PhotoFace:
    """A face with the position of its track, and the missing detail of its track."""
    box = np.concatenate([landmarks.min(0), landmarks.max(0)])
    face = examine_face(image, Face(box, landmarks, 1.0), settings)
    return replace(face, missing_octaves=missing, status=OK)


def _square(frame: VideoFrame) -> np.ndarray:
    """The image of a frame with square pixels, so that faces have their true shape."""
    if frame.pixel_aspect == 1:
        return frame.image
    height, width = frame.image.shape[:2]
    wide, high = max(frame.pixel_aspect, Fraction(1)), max(1 / frame.pixel_aspect, Fraction(1))
    size = (round(width * wide), round(height * high))
    return np.array(Image.fromarray(frame.image).resize(size, Image.Resampling.LANCZOS))
