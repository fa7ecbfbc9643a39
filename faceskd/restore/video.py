"""Videos: every face found and tracked first, then restored frame by frame; audio is copied.

Two passes over the file: what a face lacks and where it is are known for the whole of its track
before the first frame is made, so that nothing flickers and nothing lags.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from faceskd.common.errors import ConfigError, ImageError, MissingExtraError
from faceskd.common.files import atomic_path
from faceskd.data.manifest import OK
from faceskd.faces.detection import Face
from faceskd.restore.photo import (
    PhotoFace,
    PhotoSettings,
    add_detail,
    examine,
    find_faces,
    lr_faces,
    put_back,
    status_of,
)
from faceskd.restore.restorer import Restorer
from faceskd.restore.tracking import Sighting, Track, link

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg"})
MP4_LIKE = frozenset({".mp4", ".mov", ".m4v"})
EXACT = 4 | 0x2000 | 0x40000
"""swscale's bicubic, full chroma and accurate rounding, without which every pass darkens."""

QUALITY = {"crf": "16", "preset": "medium"}


@dataclass(frozen=True)
class VideoSummary:
    """What became of a video: where it is, its frames, and the tracks of its faces."""

    path: Path
    frames: int
    tracks: int
    left: int

    def __str__(self) -> str:
        return f"{self.frames} frames, {self.tracks} faces, {self.left} of them left as they are"


def is_video(path: Path | str) -> bool:
    """Whether a path has the suffix of a video.

    Examples:
        >>> is_video("a.MP4"), is_video("a.png")
        (True, False)
    """
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def passes(source: Path | str) -> int | None:
    """How often `on_frame` of `restore_video` will be called; None if the file does not tell.

    Raises:
        MissingExtraError, ImageError: as `restore_video`.
    """
    with _opened(Path(source)) as container:
        return 2 * container.streams.video[0].frames or None


def restore_video(
    restorer: Restorer,
    source: Path | str,
    out: Path | str,
    settings: PhotoSettings,
    *,
    on_frame: Callable[[], None] = lambda: None,
) -> VideoSummary:
    """Restore the faces of a video, as H.264 with the audio of the source.

    The result is `out/<stem>.mp4` of the likes of MP4, and .mkv, which holds any audio, of others.

    Args:
        restorer: what finds and restores the faces.
        source: a file that FFmpeg reads.
        out: the folder of the result.
        settings: what a frame is to become.
        on_frame: called after each frame of each of the two passes.

    Raises:
        MissingExtraError: PyAV is not installed.
        ImageError: the file is no video, or damaged.
        ConfigError: the result would replace the source.
    """
    source = Path(source)
    suffix = ".mp4" if source.suffix.lower() in MP4_LIKE else ".mkv"
    path = Path(out) / f"{source.stem}{suffix}"
    if path.resolve() == source.resolve():
        raise ConfigError(f"the result would replace {source.name!r}; give another output folder")
    sightings = []
    for _, image in _frames(source):
        found = find_faces(image, restorer.detector, settings)
        sightings.append([Sighting(f.box, f.landmarks, f.missing_octaves, f.size) for f in found])
        on_frame()
    if not sightings:
        raise ImageError(f"{source.name}: no frame in the video")
    tracks = link(sightings)
    with atomic_path(path) as temporary:
        _write(temporary, source, _restored(restorer, source, tracks, settings, on_frame))
    left = sum(status_of(track.missing_octaves, track.size) != OK for track in tracks)
    return VideoSummary(path, len(sightings), len(tracks), left)


def _restored(
    restorer: Restorer,
    source: Path,
    tracks: Sequence[Track],
    settings: PhotoSettings,
    on_frame: Callable[[], None],
) -> Iterator[tuple[Any, np.ndarray]]:
    """The frames as PyAV had them, and their restored pictures."""
    places: dict[int, list[tuple[Track, np.ndarray]]] = defaultdict(list)
    for track in tracks:
        for number, landmarks in enumerate(track.landmarks(), start=track.first):
            places[number].append((track, landmarks))
    for number, (frame, image) in enumerate(_frames(source)):
        faces = [_face(image, track, points, settings) for track, points in places[number]]
        restored = list(restorer.restore_lr(lr_faces(image, faces)))
        yield frame, put_back(image, add_detail(faces, restored, settings.strength), settings)
        on_frame()


def _face(
    image: np.ndarray, track: Track, landmarks: np.ndarray, settings: PhotoSettings
) -> PhotoFace:
    box = np.concatenate([landmarks.min(0), landmarks.max(0)])
    face = examine(image, Face(box, landmarks, 1.0), settings)
    return replace(
        face,
        missing_octaves=track.missing_octaves,
        status=status_of(track.missing_octaves, track.size),
    )


def _frames(source: Path) -> Iterator[tuple[Any, np.ndarray]]:
    """The frames of a video, with their pictures, RGB uint8 (H, W, 3), upright."""
    with _opened(source) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            image = frame.reformat(format="rgb24", interpolation=EXACT).to_ndarray()
            yield frame, np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))


@contextmanager
def _opened(source: Path) -> Iterator[Any]:
    """A video to read; what FFmpeg cannot read of it is an ImageError."""
    av = _pyav()
    try:
        with av.open(str(source)) as container:
            if not container.streams.video:
                raise ImageError(f"{source.name}: no video in the file")
            yield container
    except (av.error.FFmpegError, OSError) as error:
        raise ImageError(f"{source.name}: cannot be read or written ({error})") from error


def _pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("av", "video") from error
    return av


def _write(path: Path, source: Path, frames: Iterator[tuple[Any, np.ndarray]]) -> None:
    """Encode frames at the times that they came with, and copy the audio packets in between."""
    av = _pyav()
    with _opened(source) as given, av.open(str(path), "w") as made:
        video = made.add_stream("libx264", given.streams.video[0].guessed_rate, options=QUALITY)
        sounds = given.streams.audio
        copies = {sound.index: made.add_stream_from_template(sound) for sound in sounds}
        packets = _packets(given, sounds)
        waiting = next(packets, None)
        for frame, image in frames:
            encoded = _to_frame(frame, image)
            if not video.codec_context.is_open:
                _describe(video, frame, encoded)
            while waiting is not None and waiting.dts * waiting.time_base <= (frame.time or 0):
                waiting.stream = copies[waiting.stream.index]
                made.mux(waiting)
                waiting = next(packets, None)
            made.mux(video.encode(encoded))
        made.mux(video.encode(None))
        for packet in chain([waiting] if waiting else [], packets):
            packet.stream = copies[packet.stream.index]
            made.mux(packet)


def _packets(container: Any, streams: Sequence[Any]) -> Iterator[Any]:
    """The packets of some streams, without those that only tell a decoder to end."""
    if streams:  # demux() of none would be of all
        yield from (packet for packet in container.demux(*streams) if packet.dts is not None)


def _describe(video: Any, frame: Any, encoded: Any) -> None:
    """Tell the encoder size, clock and colour space, which are known with the first frame."""
    context = video.codec_context
    context.width, context.height, context.pix_fmt = encoded.width, encoded.height, "yuv420p"
    context.time_base = frame.time_base
    context.colorspace, context.color_range = frame.colorspace, encoded.color_range
    context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc


def _to_frame(frame: Any, image: np.ndarray) -> Any:
    """A picture as the encoder wants it: even sides, the colour space and time of its source."""
    height, width = (side // 2 * 2 for side in image.shape[:2])
    even = np.ascontiguousarray(image[:height, :width])
    rgb = _pyav().VideoFrame.from_ndarray(even, format="rgb24")
    encoded = rgb.reformat(format="yuv420p", dst_colorspace=frame.colorspace, interpolation=EXACT)
    encoded.pts, encoded.time_base = frame.pts, frame.time_base
    return encoded
