"""Write videos: H.264, with the sound, subtitles and metadata of the source."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from faceskd.restore.video_read import EXACT, VideoFrame, opened, pyav

QUALITY = {"crf": "16", "preset": "medium"}

OF_THE_FILE = frozenset({"encoder", "major_brand", "minor_version", "compatible_brands"})
"""Metadata about the file itself, which are not copied."""


def write_video(path: Path, source: Path, frames: Iterator[tuple[VideoFrame, np.ndarray]]) -> None:
    """Encode pictures at the times of the frames they replace.

    Sound and subtitles are copied packet by packet. Pixel aspect, colour space, chapters, title,
    time of creation and other metadata are copied from the source.

    Args:
        path: file to write, .mp4 or .mkv.
        source: video that the frames come from.
        frames: frames, each with its new picture, RGB uint8, all of the same size.
    """
    with opened(source) as given, pyav().open(str(path), "w") as made:
        video = made.add_stream("libx264", given.streams.video[0].guessed_rate, options=QUALITY)
        copies = {}
        for stream in (*given.streams.audio, *given.streams.subtitles):
            copies[stream.index] = made.add_stream_from_template(stream)
            copies[stream.index].metadata.update(stream.metadata)
        _copy_metadata(given, made, video)
        packets = _packets(given, copies)
        waiting = next(packets, None)
        last = None
        for frame, image in frames:
            encoded = _to_frame(frame.frame, image, last)
            last = encoded.pts
            if not video.codec_context.is_open:
                _describe(video, frame, encoded)
            while waiting is not None and waiting.dts * waiting.time_base <= (
                frame.frame.time or 0
            ):
                made.mux(waiting)
                waiting = next(packets, None)
            made.mux(video.encode(encoded))
        made.mux(video.encode(None))
        for packet in chain([waiting] if waiting else [], packets):
            made.mux(packet)


def _copy_metadata(given: Any, made: Any, video: Any) -> None:
    for key, value in given.metadata.items():
        if key.lower() not in OF_THE_FILE:
            made.metadata[key] = value
    language = given.streams.video[0].metadata.get("language")
    if language:
        video.metadata["language"] = language
    if chapters := given.chapters():
        made.set_chapters(chapters)


def _packets(container: Any, copies: dict[int, Any]) -> Iterator[Any]:
    """The packets to copy, as far as they can be read, for the streams of the result."""
    if not copies:  # demux() without arguments would read all streams
        return
    try:
        for packet in container.demux(*(container.streams[index] for index in copies)):
            if packet.dts is not None:  # packets without a time only end a decoder
                packet.stream = copies[packet.stream.index]
                yield packet
    except (pyav().error.FFmpegError, OSError):
        return  # reading the frames ended here, too, and was reported


def _describe(video: Any, frame: VideoFrame, encoded: Any) -> None:
    """Set size, time base and colour space of the encoder from the first frame."""
    context, source = video.codec_context, frame.frame
    context.width, context.height, context.pix_fmt = encoded.width, encoded.height, "yuv420p"
    context.sample_aspect_ratio = frame.pixel_aspect
    context.time_base = source.time_base
    context.colorspace, context.color_range = source.colorspace, encoded.color_range
    context.color_primaries, context.color_trc = source.color_primaries, source.color_trc


def _to_frame(frame: Any, image: np.ndarray, last: int | None) -> Any:
    """A picture as a frame for the encoder: even sides, colour space and time of the source.

    In damaged files, times may be equal or missing. Then the time is one after the `last`.
    """
    height, width = (side // 2 * 2 for side in image.shape[:2])
    even = np.ascontiguousarray(image[:height, :width])
    rgb = pyav().VideoFrame.from_ndarray(even, format="rgb24")
    encoded = rgb.reformat(format="yuv420p", dst_colorspace=frame.colorspace, interpolation=EXACT)
    encoded.pts, encoded.time_base = frame.pts, frame.time_base
    if last is not None and (encoded.pts is None or encoded.pts <= last):
        encoded.pts = last + 1
    return encoded
