"""Videos: every face found and tracked first, then restored frame by frame; sound is copied.

Two passes over the file: what a face lacks and where it is are known for the whole of its track
before the first frame is made, so that nothing flickers and nothing lags.
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
"""Of each frame the faces to restore: their landmarks (5, 2), and what they lack (4,)."""


@dataclass(frozen=True)
class VideoSummary:
    """What became of a video.

    Attributes:
        path: where the result is.
        frames: that were read and written.
        tracks: of faces: one for each stretch in which a face is seen without a cut.
        left: tracks that were left as they are in every frame.
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
    """What a restored video is called at its end: .mkv, which holds any audio, or .mp4."""
    return ".mp4" if source.suffix.lower() in MP4_LIKE else ".mkv"


def passes(source: Path | str) -> int | None:
    """How often `on_frame` of `restore_video` will be called; None if the file does not tell.

    Raises:
        MissingExtraError, ImageError: as `restore_video`.
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
    """Restore the faces of a video, as H.264 with the sound and the metadata of the source.

    The result is `out/<name>.mp4` of .mp4, .mov and .m4v, and .mkv, which holds any sound, of
    others. It is there when it is whole. Frames that cannot be decoded are missing in it, and
    counted.

    Args:
        restorer: what finds and restores the faces.
        source: a file that FFmpeg reads.
        out: the folder of the result.
        settings: what a frame is to become.
        name: what the result is called, without suffix; None: as the source.
        on_frame: called after each frame of each of the two passes.

    Raises:
        MissingExtraError: PyAV is not installed.
        ImageError: the file is no video, or nothing of it can be decoded.
        ConfigError: the result would replace the source.
    """
    source = Path(source)
    path = Path(out) / f"{name or source.stem}{result_suffix(source)}"
    if path.resolve() == source.resolve():
        raise ConfigError(f"the result would replace {source.name!r}; give another output folder")
    settings = restorer.adapted(settings)
    losses = Losses()
    sightings, cuts = [], []
    for number, frame in enumerate(read_frames(source, losses)):
        found = find_faces(_square(frame), restorer.detector, settings)
        sightings.append([_sighting(face) for face in found])
        cuts += [number] * frame.cut
        on_frame()
    if not sightings:
        raise ImageError(f"{source.name}: no frame in the video that can be decoded")
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
        for index in np.flatnonzero(restored):
            places[track.first + int(index)].append((track.landmarks()[index], missing[index]))
    return places, left


def _restored(
    restorer: Restorer,
    source: Path,
    places: Places,
    settings: PhotoSettings,
    on_frame: Callable[[], None],
) -> Iterator[tuple[VideoFrame, np.ndarray]]:
    """The frames, with their restored pictures."""
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
    """A face where its track has it, and lacking what the track says."""
    box = np.concatenate([landmarks.min(0), landmarks.max(0)])
    face = examine_face(image, Face(box, landmarks, 1.0), settings)
    return replace(face, missing_octaves=missing, status=OK)


def _square(frame: VideoFrame) -> np.ndarray:
    """The picture of a frame with square pixels, in which faces have their shape."""
    if frame.pixel_aspect == 1:
        return frame.image
    height, width = frame.image.shape[:2]
    wide, high = max(frame.pixel_aspect, Fraction(1)), max(1 / frame.pixel_aspect, Fraction(1))
    size = (round(width * wide), round(height * high))
    return np.array(Image.fromarray(frame.image).resize(size, Image.Resampling.LANCZOS))
