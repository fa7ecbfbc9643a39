"""Videos: frames restored, everything else kept, and what cannot be read counted."""

import builtins

import cv2
import numpy as np
import pytest
from helpers.fakes import Known, Nearest, write_nearest

from faceskd.commands.restore import main
from faceskd.common.errors import ConfigError, ImageError, MissingExtraError
from faceskd.common.listing import is_video
from faceskd.portraits import render_portrait
from faceskd.restore.photo import PhotoSettings
from faceskd.restore.restorer import Restorer
from faceskd.restore.video import passes, restore_video
from faceskd.restore.video_read import EXACT

FRAMES = 14


av = pytest.importorskip("av", reason="the extra 'video' (PyAV) is not installed")


@pytest.fixture(scope="module")
def picture():
    return cv2.GaussianBlur(render_portrait(3, size=160).image, (0, 0), 2)


@pytest.fixture(scope="module")
def clip(tmp_path_factory, picture):
    """14 frames of 130x150 at 12.5 a second that pan over a portrait, and a tone."""
    path = tmp_path_factory.mktemp("clip") / "a clip.mp4"
    with av.open(str(path), "w") as made:
        video = made.add_stream("libx264", rate=25, options={"crf": "10"})
        video.width, video.height, video.pix_fmt = 130, 150, "yuv420p"
        video.codec_context.colorspace = 1  # BT.709
        audio = made.add_stream("aac", rate=16000, layout="mono")
        for number in range(FRAMES):
            image = np.ascontiguousarray(picture[5:155, number : number + 130])
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=1, interpolation=EXACT)
            frame.pts = 2 * number
            made.mux(video.encode(frame))
        made.mux(video.encode(None))
        tone = np.sin(np.arange(16 * 1024) * 0.17).astype(np.float32)
        for start in range(0, len(tone), 1024):
            samples = tone[None, start : start + 1024]
            sound = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            sound.sample_rate, sound.pts = 16000, start
            made.mux(audio.encode(sound))
        made.mux(audio.encode(None))
    return path


def decoded(path):
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        images = [f.reformat(format="rgb24", interpolation=EXACT).to_ndarray() for f in frames]
        return [frame.time for frame in frames], np.array(images).astype(float)


def audio(path):
    with av.open(str(path)) as container:
        packets = container.demux(audio=0)
        return [(p.pts * p.time_base, bytes(p)) for p in packets if p.dts is not None]


@pytest.fixture
def restorer():
    return Restorer(Nearest(), precision="fp32", detector=Known((65, 75, 70)))


class TestVideo:
    def test_frames_times_and_audio_are_the_source_s(self, restorer, clip, tmp_path):
        ticks = []
        options = PhotoSettings(scale=2, strength=0)
        done = restore_video(restorer, clip, tmp_path, options, on_frame=lambda: ticks.append(1))
        assert done.path == tmp_path / "a clip.mp4"
        assert (done.frames, done.tracks, done.left) == (FRAMES, 1, 0)
        assert len(ticks) == passes(clip) == 2 * FRAMES
        (times, images), (expected, before) = decoded(done.path), decoded(clip)
        assert times == expected
        assert images.shape == (FRAMES, 300, 260, 3)
        small = np.array([cv2.resize(image, (130, 150)) for image in images])
        assert np.abs(small - before).mean() < 2
        np.testing.assert_allclose(images.mean((0, 1, 2)), before.mean((0, 1, 2)), atol=0.5)
        assert audio(done.path) == audio(clip)

    def test_faces_are_restored(self, restorer, clip, tmp_path):
        restored = restore_video(restorer, clip, tmp_path / "1", PhotoSettings(scale=1))
        plain = restore_video(restorer, clip, tmp_path / "0", PhotoSettings(scale=1, strength=0))
        change = np.abs(decoded(restored.path)[1] - decoded(plain.path)[1]).mean((0, 3))
        assert change[60:90, 50:80].mean() > 5 * max(change[:20].mean(), 0.1)

    def test_odd_sides_lose_a_row(self, restorer, clip, tmp_path):
        done = restore_video(restorer, clip, tmp_path, PhotoSettings(scale=1.51))
        assert decoded(done.path)[1].shape[1:3] == (226, 196)

    def test_files_that_are_no_video_end_before_anything_is_written(self, restorer, tmp_path):
        (tmp_path / "a.mp4").write_bytes(b"no video")
        with pytest.raises(ImageError, match=r"a\.mp4"):
            restore_video(restorer, tmp_path / "a.mp4", tmp_path / "out", PhotoSettings())
        assert not (tmp_path / "out").exists()

    def test_the_source_is_never_replaced(self, restorer, clip):
        with pytest.raises(ConfigError, match="replace"):
            restore_video(restorer, clip, clip.parent, PhotoSettings())

    def test_without_pyav_it_says_what_to_install(self, restorer, clip, tmp_path, monkeypatch):
        given = builtins.__import__

        def missing(name, *rest):
            if name == "av":
                raise ImportError(name)
            return given(name, *rest)

        monkeypatch.setattr(builtins, "__import__", missing)
        with pytest.raises(MissingExtraError, match=r"faceskd\[video\]"):
            restore_video(restorer, clip, tmp_path, PhotoSettings())

    def test_the_command_knows_videos(self, clip, tmp_path, capsys):
        assert is_video("a.MKV") and not is_video("a.gif")
        weights = str(write_nearest(tmp_path))
        assert main(["-i", str(clip), "-o", str(tmp_path), "-w", weights, "--min-face", "40"]) == 0
        assert f"{FRAMES} frames" in capsys.readouterr().err
        assert (tmp_path / "a clip.mp4").is_file()
        with pytest.raises(SystemExit, match="2"):
            main(["-i", str(clip), "-o", str(tmp_path), "-w", weights, "--aligned"])
        assert "--aligned is for images" in capsys.readouterr().err
