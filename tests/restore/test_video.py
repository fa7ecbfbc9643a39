"""Videos: frames restored, everything else kept, and what cannot be read counted."""

import builtins
import errno
import os
from fractions import Fraction

import cv2
import numpy as np
import pytest
from helpers.fakes import Brighter, Known, Nearest, noise, write_nearest

from faceskd.commands.restore import main
from faceskd.common.errors import ConfigError, ImageError, MissingExtraError
from faceskd.common.listing import is_video
from faceskd.portraits import render_portrait
from faceskd.restore.photo import PhotoSettings
from faceskd.restore.photos import WholePhotos
from faceskd.restore.plan import plan_inputs
from faceskd.restore.restorer import Restorer
from faceskd.restore.stream import restore_inputs
from faceskd.restore.tracking import Track
from faceskd.restore.video import passes, restore_video
from faceskd.restore.video_read import EXACT, read_frames

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


def write_clip(path, frames, *, aspect=None, rotation=0, metadata=(), subtitles="", at=0):
    """Frames of RGB, 25 a second, with what else a file can carry."""
    with av.open(str(path), "w") as made:
        made.metadata.update(metadata)
        video = made.add_stream("libx264", rate=25, options={"crf": "8"})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = "yuv420p"
        if aspect:
            video.codec_context.sample_aspect_ratio = aspect
        if rotation:
            video.set_display_rotation(rotation)
        text = None
        if subtitles:
            path.with_suffix(".srt").write_text(f"1\n00:00:00,000 --> 00:00:01,000\n{subtitles}\n")
            given = av.open(str(path.with_suffix(".srt")))
            text = made.add_stream_from_template(given.streams.subtitles[0])
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts = number + at
            made.mux(video.encode(frame))
        made.mux(video.encode(None))
        for packet in given.demux() if text else ():
            if packet.dts is not None:
                packet.stream = text
                made.mux(packet)
    return path


def damaged(source, path, packets):
    """A copy of a clip, in which the data of some packets of video is zeros."""
    with av.open(str(source)) as given, av.open(str(path), "w") as made:
        video = made.add_stream_from_template(given.streams.video[0])
        number = 0
        for packet in given.demux(video=0):
            if packet.dts is None:
                continue
            copy = av.Packet(bytes(packet.size) if number in packets else bytes(packet))
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            copy.is_keyframe, copy.stream = packet.is_keyframe, video
            made.mux(copy)
            number += 1
    return path


def decoded(path):
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        images = [f.reformat(format="rgb24", interpolation=EXACT).to_ndarray() for f in frames]
        return [frame.time for frame in frames], np.array(images).astype(float)


def test_faces_in_frames_of_their_own(clip, tmp_path):
    """A network of scale 1 brightens the face in every frame, evenly, and nothing else."""
    restorer = Restorer(Brighter(0.2), precision="fp32", detector=Known((65, 75, 90)))
    summary = restore_video(restorer, clip, tmp_path, PhotoSettings(scale=1))
    assert (summary.frames, summary.tracks, summary.left) == (FRAMES, 1, 0)
    change = decoded(summary.path)[1] - decoded(clip)[1]
    middle = change[:, 60:90, 50:80].mean((1, 2, 3))
    np.testing.assert_allclose(middle, 51, atol=4)
    assert np.abs(change[:, :12, :12]).mean() < 2


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

    def test_the_places_of_a_face_are_computed_once(self, restorer, clip, tmp_path, monkeypatch):
        computed, inner = [], Track.landmarks
        monkeypatch.setattr(Track, "landmarks", lambda self: computed.append(1) or inner(self))
        done = restore_video(restorer, clip, tmp_path, PhotoSettings(scale=1))
        assert len(computed) == done.tracks == 1

    def test_what_the_file_carries_is_kept(self, restorer, tmp_path):
        source = write_clip(
            tmp_path / "a.mkv",
            [noise(48, 40, 3)] * 3,
            metadata={
                "title": "A title",
                "creation_time": "2001-02-03T04:05:06.000000Z",
                "major_brand": "qt",  # ffmpeg copies it from a .mov
            },
            subtitles="Hello",
        )
        done = restore_video(restorer, source, tmp_path / "out", PhotoSettings(strength=0))
        with av.open(str(done.path)) as made, av.open(str(source)) as given:
            assert made.metadata["title"] == "A title"
            assert made.metadata["creation_time"] == given.metadata["creation_time"]
            assert given.metadata["MAJOR_BRAND"] == "qt"  # .mkv has all in capitals
            assert "MAJOR_BRAND" not in made.metadata
            texts = [bytes(packet) for packet in made.demux(subtitles=0) if packet.size]
        assert texts == [b"Hello"]

    @pytest.mark.parametrize("aspect", [Fraction(16, 11), Fraction(3, 4)])
    def test_pixels_keep_their_shape_and_faces_are_found_in_theirs(self, tmp_path, aspect):
        square = cv2.GaussianBlur(render_portrait(3, size=256).image, (0, 0), 5)
        height, width = (256, 176) if aspect > 1 else (192, 256)
        squeezed = cv2.resize(square, (width, height), interpolation=cv2.INTER_AREA)
        source = write_clip(tmp_path / "a.mp4", [squeezed] * 6, aspect=aspect)
        seen = []

        class Spy(Known):
            def detect(self, image):
                seen.append(image.shape)
                return super().detect(image)

        restorer = Restorer(Nearest(), precision="fp32", detector=Spy((128, 125, 120)))
        results = [
            restore_video(restorer, source, tmp_path / str(x), PhotoSettings(scale=1, strength=x))
            for x in (0, 1)
        ]
        assert {shape[:2] for shape in seen} == {(256, 256)}
        with av.open(str(results[1].path)) as made:
            video = made.streams.video[0]
            assert video.sample_aspect_ratio == aspect
            assert (video.width, video.height) == (width, height)
        plain, restored = (decoded(result.path)[1] for result in results)
        change = np.abs(restored - plain).mean((0, 3))
        rows, columns = np.nonzero(change > 0.25 * change.max())
        middle = (columns.mean() * 256 / width, rows.mean() * 256 / height)
        np.testing.assert_allclose(middle, (128, 125), atol=12)

    def test_turned_frames_come_out_upright(self, restorer, tmp_path):
        upright = cv2.GaussianBlur(noise(60, 40, 3), (0, 0), 4)
        source = write_clip(tmp_path / "a.mp4", [np.rot90(upright)] * 3, rotation=90)
        with av.open(str(source)) as given:
            turns = round(next(given.decode(video=0)).rotation / 90)
        assert turns
        done = restore_video(restorer, source, tmp_path / "out", PhotoSettings(1, strength=0))
        expected = np.rot90(np.rot90(upright), turns).astype(float)
        result = decoded(done.path)[1]
        assert result.shape[1:3] == (60, 40)
        assert np.abs(result[0] - expected).mean() < 4

    def test_a_cut_starts_a_new_track(self, tmp_path, picture):
        other = np.ascontiguousarray(255 - picture[::-1])
        shots = [picture[5:155, :130]] * 8 + [other[5:155, :130]] * 8
        source = write_clip(tmp_path / "a.mp4", shots)
        assert [n for n, frame in enumerate(read_frames(source)) if frame.cut] == [8]
        restorer = Restorer(Nearest(), precision="fp32", detector=Known((65, 75, 70)))
        done = restore_video(restorer, source, tmp_path / "out", PhotoSettings(scale=1))
        assert done.tracks == 2

    def test_the_soft_shot_after_a_sharp_one_is_restored_as_if_it_were_alone(self, tmp_path):
        sharp = render_portrait(3, size=256).image
        soft = cv2.GaussianBlur(render_portrait(8, size=256).image, (0, 0), 5)
        sources = [
            write_clip(tmp_path / "cut.mp4", [sharp] * 20 + [soft] * 10),
            write_clip(tmp_path / "soft.mp4", [soft] * 10),
        ]
        restorer = Restorer(Nearest(), precision="fp32", detector=Known((128, 125, 120)))
        added = [
            (decoded(done.path)[1][-10:] - decoded(source)[1][-10:]).mean(0)[90:160, 90:160]
            for source in sources
            for done in [restore_video(restorer, source, tmp_path / "out", PhotoSettings(1))]
        ]
        after_cut, alone = added
        assert np.abs(alone).mean() > 1
        assert (after_cut * alone).sum() > 0.4 * (alone**2).sum()  # the codec changes both

    def test_frames_that_cannot_be_decoded_are_counted_and_the_others_restored(
        self, clip, tmp_path, capsys
    ):
        source = damaged(clip, tmp_path / "damaged.mkv", packets=(5, 6, 9))
        weights = write_nearest(tmp_path)
        restorer = Restorer(weights, detector=Known((65, 75, 70)))
        done = restore_video(restorer, source, tmp_path / "out", PhotoSettings(scale=1))
        losses = done.losses
        assert losses.lost == 3
        assert done.frames == FRAMES - losses.lost == len(decoded(done.path)[0])
        assert str(losses) in str(done)
        times, source_times = decoded(done.path)[0], decoded(clip)[0]
        np.testing.assert_allclose([t for t in times if t not in source_times], [], atol=1e-3)
        options = ["-i", str(source), "-o", str(tmp_path / "shell"), "-w", str(weights)]
        assert main([*options, "--min-face", "40"]) == 1
        assert str(losses) in capsys.readouterr().err

    def test_frames_before_an_edit_list_begins_are_not_lost(self, restorer, tmp_path):
        source = write_clip(
            tmp_path / "a.mp4", [noise(48, 40, 3, seed=n) for n in range(12)], at=-5
        )
        with av.open(str(source)) as given:
            assert sum(packet.dts is not None for packet in given.demux(video=0)) == 12
        done = restore_video(restorer, source, tmp_path / "out", PhotoSettings(scale=1))
        assert done.frames == 7 and not done.losses

    def test_a_file_that_breaks_off_is_restored_as_far_as_it_goes(self, restorer, tmp_path):
        whole = write_clip(tmp_path / "whole.mkv", [noise(48, 40, 3, seed=n) for n in range(50)])
        source = tmp_path / "half.mkv"
        source.write_bytes(whole.read_bytes()[: int(0.6 * whole.stat().st_size)])
        done = restore_video(restorer, source, tmp_path / "out", PhotoSettings(scale=1))
        assert 1 < done.frames < 50 and "of 2.0 s" in str(done)
        assert len(decoded(done.path)[0]) == done.frames

    def test_stopped_it_leaves_no_half_file(self, restorer, clip, tmp_path):
        ticks = []

        def stop():
            ticks.append(1)
            if len(ticks) == FRAMES + 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            restore_video(restorer, clip, tmp_path / "out", PhotoSettings(), on_frame=stop)
        assert [*(tmp_path / "out").iterdir()] == []

    @pytest.mark.parametrize(("choice", "left"), [("force", 0), ("skip", 1)])
    def test_faces_are_forced_or_skipped(self, clip, tmp_path, choice, left):
        restorer = Restorer(Nearest(), precision="fp32", detector=Known((65, 75, 70)))
        settings = PhotoSettings(scale=1, faces=choice)
        assert restore_video(restorer, clip, tmp_path, settings).left == left

    def test_someone_who_turns_aside_is_left(self, clip, tmp_path):
        restorer = Restorer(Nearest(), precision="fp32", detector=Known((65, 75, 70, 0.2)))
        assert restore_video(restorer, clip, tmp_path, PhotoSettings(scale=1)).left == 1

    def test_odd_sides_lose_a_row(self, restorer, clip, tmp_path):
        done = restore_video(restorer, clip, tmp_path, PhotoSettings(scale=1.51))
        assert decoded(done.path)[1].shape[1:3] == (226, 196)

    def test_files_that_are_no_video_end_before_anything_is_written(self, restorer, tmp_path):
        (tmp_path / "a.mp4").write_bytes(b"no video")
        with pytest.raises(ImageError, match=r"a\.mp4"):
            restore_video(restorer, tmp_path / "a.mp4", tmp_path / "out", PhotoSettings())
        assert not (tmp_path / "out").exists()

    def test_too_large_a_result_is_refused_before_faces_are_searched(
        self, restorer, clip, tmp_path, monkeypatch
    ):
        monkeypatch.setattr("faceskd.restore.background.MAX_RESULT_PIXELS", 20_000)
        monkeypatch.setattr("faceskd.restore.video.find_faces", pytest.fail)
        with pytest.raises(ImageError, match="expected a result of at most 20,000 pixels"):
            restore_video(restorer, clip, tmp_path / "out", PhotoSettings(scale=2))

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
    def test_what_cannot_be_written_is_called_unwritable(
        self, restorer, clip, tmp_path, monkeypatch, number
    ):
        def full(*_):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("faceskd.restore.video.write_video", full)
        task = WholePhotos(restorer.detector, PhotoSettings(scale=1))
        inputs = plan_inputs(clip, tmp_path, folders=task.folders, suffixes=task.suffixes)
        (result,) = restore_inputs(restorer, inputs, tmp_path, task)
        assert result.status == "unwritable"

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
        with pytest.raises(SystemExit):
            main(["-i", str(clip), "-o", str(tmp_path), "--no-paste-back"])
        assert "--no-paste-back is for images" in capsys.readouterr().err
