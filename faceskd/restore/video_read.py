"""Read videos with FFmpeg: upright frames, cuts, and the parts that cannot be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from faceskd.common.errors import ImageError, MissingExtraError

EXACT = 4 | 0x2000 | 0x40000
"""swscale flags: bicubic, full chroma, accurate rounding. Without, each pass is darker."""

CUT_SCORE = 10
"""Threshold of FFmpeg's filter scdet, 0 to 100; its default."""

EARLY = 0.5
"""A video that ends this many seconds too early counts as incomplete."""


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """A frame of a video.

    Attributes:
        frame: frame of PyAV.
        image: RGB uint8 (H, W, 3), upright.
        pixel_aspect: width of a pixel divided by its height, in `image`.
        cut: whether a new shot starts with this frame.
    """

    frame: Any
    image: np.ndarray
    pixel_aspect: Fraction
    cut: bool


@dataclass
class Losses:
    """The parts of a video that could not be read.

    Attributes:
        lost: number of frames that could not be decoded.
        frames: number of frames that were decoded.
        damaged: number of decoded frames that FFmpeg had to repair.
        broken_off: why reading stopped before the end of the file; empty if it did not.
    """

    lost: int = 0
    frames: int = 0
    damaged: int = 0
    broken_off: str = ""

    def __bool__(self) -> bool:
        return bool(self.lost or self.damaged or self.broken_off)

    def __str__(self) -> str:
        parts = []
        if self.lost:
            total = self.lost + self.frames
            parts.append(f"{self.lost} of {total} frames could not be decoded and are missing")
        if self.damaged:
            parts.append(f"{self.damaged} of {self.frames} frames came damaged")
        if self.broken_off:
            parts.append(f"the file cannot be read to its end ({self.broken_off})")
        return "; ".join(parts)


def read_frames(source: Path, losses: Losses | None = None) -> Iterator[VideoFrame]:
    """All frames of a video that can be decoded.

    Args:
        source: video file.
        losses: counts what cannot be read.

    Raises:
        ImageError: the file is not a video.
    """
    losses = Losses() if losses is None else losses
    with opened(source) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        cuts = _CutFilter(stream)
        for frame in _decoded(container, stream, losses):
            turns = round(frame.rotation / 90)
            image = frame.reformat(format="rgb24", interpolation=EXACT).to_ndarray()
            image = np.ascontiguousarray(np.rot90(image, turns))
            aspect = Fraction(stream.sample_aspect_ratio or 1)
            yield VideoFrame(frame, image, 1 / aspect if turns % 2 else aspect, cuts(frame))


def _decoded(container: Any, stream: Any, losses: Losses) -> Iterator[Any]:
    """The frames of a stream; packets that cannot be decoded are skipped."""
    unreadable = (pyav().error.FFmpegError, OSError)
    packets = container.demux()
    end = 0.0
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except unreadable as error:
            losses.broken_off = str(error)
            return
        if packet.pts is not None:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream != stream:
            continue
        try:
            frames = packet.decode()
        except unreadable:
            losses.lost += 1
            continue
        for frame in frames:
            losses.frames += 1
            losses.damaged += bool(frame.is_corrupt)
            yield frame
    losses.broken_off = _early_end(container, end)


def _early_end(container: Any, end: float) -> str:
    """Whether a file ends too early; times are in seconds. Only some formats store the length."""
    if container.duration is None or not {"mp4", "matroska"} & {*container.format.name.split(",")}:
        return ""
    promised = (container.duration + max(container.start_time or 0, 0)) / 1e6
    if end > promised - EARLY:
        return ""
    return f"it ends after {end:.1f} of {promised:.1f} s"


class _CutFilter:
    """Detects cuts with FFmpeg's filter scdet, frame by frame."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._graph: Any = None
        self._shape: tuple[int, int, str] | None = None

    def __call__(self, frame: Any) -> bool:
        shape = (frame.width, frame.height, frame.format.name)
        if shape != self._shape:  # the first frame, or the resolution changes
            first, self._shape = self._shape is None, shape
            self._graph = pyav().filter.Graph()
            source = self._graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=self._stream.time_base,
            )
            detect = self._graph.add("scdet", f"threshold={CUT_SCORE}")
            self._graph.link_nodes(source, detect, self._graph.add("buffersink")).configure()
            self._graph.push(frame)
            self._graph.pull()
            return not first
        self._graph.push(frame)
        score = self._graph.pull().metadata.get("lavfi.scd.score", "0")
        return float(score) >= CUT_SCORE


@contextmanager
def opened(source: Path) -> Iterator[Any]:
    """Open a video for reading; errors of FFmpeg become an ImageError."""
    av = pyav()
    try:
        with av.open(str(source)) as container:
            if not container.streams.video:
                raise ImageError(f"{source.name}: no video in the file")
            yield container
    except (av.error.FFmpegError, OSError) as error:
        raise ImageError(f"{source.name}: cannot be read or written ({error})") from error


def pyav() -> Any:
    """The module PyAV.

    Raises:
        MissingExtraError: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("av", "video") from error
    return av
