"""Faces tracked through the frames of a video, and what they lack over time."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.fakes import face_at, noise
from hypothesis import given, settings
from hypothesis import strategies as st

from faceskd.portraits import render_portrait
from faceskd.restore.tracking import Sighting, Track, link, look_of, overlap


def look(seed=0):
    return look_of(noise(256, 256, 3, seed=seed))


LOOKS = [look(seed) for seed in range(3)]


def sighting(x, y=100, side=80, lacks=1.0, who=0, refused=False):
    face = face_at(x, y, side)
    return Sighting(face.box, face.landmarks, np.full(4, lacks), LOOKS[who], refused)


class TestTracking:
    def test_two_faces_that_pass_each_other_stay_apart(self):
        frames = [[sighting(50 + 6 * n, 80), sighting(250 - 6 * n, 180)] for n in range(30)]
        tracks = link(frames)
        assert [len(track.seen) for track in tracks] == [30, 30]
        for track, step in zip(tracks, (6, -6), strict=True):
            assert np.allclose(np.diff(track.landmarks()[:, 2, 0]), step, atol=1e-3)

    def test_order_within_a_frame_does_not_matter(self):
        frames = [[sighting(50), sighting(250)][:: (-1) ** n] for n in range(10)]
        for track in link(frames):
            assert len({s.box[0] for s in track.seen.values()}) == 1

    def test_a_gap_is_filled_and_a_long_one_ends_the_track(self):
        seen = [[sighting(50 + 2 * n)] for n in range(30)]
        for n in (10, 11, 12):
            seen[n] = []
        (track,) = link(seen)
        np.testing.assert_allclose(np.diff(track.landmarks()[:, 2, 0]), 2, atol=1e-3)
        for n in range(10, 18):
            seen[n] = []
        assert [(track.first, track.last) for track in link(seen)] == [(0, 9), (18, 29)]

    def test_what_is_seen_for_a_moment_is_no_face(self):
        assert link([[sighting(50)] if n in (3, 4) else [] for n in range(20)]) == []
        assert len(link([[sighting(50)]])) == 1  # in a video that is no longer

    def test_jitter_is_smoothed_and_motion_is_not(self):
        rng = np.random.default_rng(0)
        path = 100 + 3 * np.arange(60) + 0.1 * np.arange(60) ** 2
        truth = [sighting(x) for x in path]
        track = Track(
            {
                n: replace(s, landmarks=s.landmarks + rng.normal(0, 1, (5, 2)))
                for n, s in enumerate(truth)
            }
        )
        exact = np.array([s.landmarks for s in truth])
        raw = np.array([s.landmarks for s in track.seen.values()])
        assert np.abs(track.landmarks() - exact).mean() < 0.6 * np.abs(raw - exact).mean()
        smooth = Track(dict(enumerate(truth)))
        np.testing.assert_allclose(smooth.landmarks(), exact, atol=1e-2)

    @given(st.integers(1, 12), st.integers(0, 1000))
    @settings(max_examples=25, deadline=None)
    def test_any_length_gives_landmarks_for_every_frame(self, length, start):
        track = Track({start + n: sighting(50) for n in range(length)})
        np.testing.assert_allclose(
            track.landmarks(), np.repeat(sighting(50).landmarks[None], length, 0), atol=1e-3
        )

    def test_a_cut_starts_a_new_track(self):
        frames = [[sighting(50)]] * 10 + [[sighting(60)]] * 8
        assert [(t.first, t.last) for t in link(frames)] == [(0, 17)]
        first, second = link(frames, cuts=[10])
        assert [(t.first, t.last) for t in (first, second)] == [(0, 9), (10, 17)]
        np.testing.assert_allclose(first.landmarks()[-1], sighting(50).landmarks, atol=1e-3)
        np.testing.assert_allclose(second.landmarks()[0], sighting(60).landmarks, atol=1e-3)

    def test_another_person_in_the_same_place_is_another_track(self):
        frames = [[sighting(50, who=0)]] * 10 + [[sighting(52, who=1)]] * 8
        assert [(t.first, t.last) for t in link(frames)] == [(0, 9), (10, 17)]

    def test_a_face_that_is_hidden_for_a_frame_stays_one_track(self):
        frames = [[sighting(50, who=1 if n == 12 else 0)] for n in range(30)]
        assert [(t.first, t.last) for t in link(frames)] == [(0, 29)]

    def test_all_of_a_short_shot_is_kept(self):
        frames = [[sighting(50)]] * 10 + [[sighting(150)]] * 3 + [[sighting(50)]] * 10
        assert [(t.first, t.last) for t in link(frames, cuts=[10, 13])] == [
            *((0, 9), (10, 12), (13, 22))
        ]

    def test_a_look_is_the_same_for_a_little_noise_and_another_for_another_face(self):
        faces = [render_portrait(number, size=256).image for number in (3, 4)]
        grain = np.random.default_rng(0).normal(0, 12, faces[0].shape)
        noisy = np.clip(0.9 * faces[0] + grain, 0, 255).astype(np.uint8)
        one, again, other = (look_of(face) for face in (faces[0], noisy, faces[1]))
        assert one @ again > 0.95 > 0.75 > one @ other


class TestMissingOctaves:
    def test_of_a_face_that_stays_as_it_is_are_the_same_in_all_frames(self):
        rng = np.random.default_rng(0)
        seen = {n: sighting(50, lacks=0.5 + 0.2 * rng.uniform(-1, 1)) for n in range(60)}
        missing = Track(seen).missing_octaves()
        assert missing.shape == (60, 4)
        assert np.abs(missing - 0.5).max() < 0.15
        assert np.abs(np.diff(missing, axis=0)).max() < 0.03

    def test_of_someone_who_walks_away_rise(self):
        seen = {n: sighting(50, lacks=float(n >= 40)) for n in range(80)}
        missing = Track(seen).missing_octaves()[:, 0]
        assert missing[:25].max() == 0 and missing[-25:].min() == 1
        assert (np.diff(missing) >= 0).all() and np.diff(missing).max() < 0.1

    def test_fall_to_nothing_while_the_face_is_refused(self):
        seen = {n: sighting(50, refused=30 <= n < 50) for n in range(80)}
        missing = Track(seen).missing_octaves()[:, 0]
        assert missing[30:50].max() < 1e-6
        assert missing[:15].min() == 1 and missing[-15:].min() == 1
        assert np.abs(np.diff(missing)).max() < 0.1

    def test_a_single_refused_frame_changes_nothing(self):
        seen = {n: sighting(50, refused=n == 20) for n in range(40)}
        assert Track(seen).missing_octaves().min() == 1

    @pytest.mark.parametrize("length", [1, 2, 7])
    def test_short_tracks(self, length):
        track = Track({n: sighting(50, lacks=0.3) for n in range(length)})
        np.testing.assert_allclose(track.missing_octaves(), 0.3)


def test_overlap():
    box = np.array([0, 0, 4, 2])
    assert overlap(box, box) == 1
    assert overlap(box, box + 10) == 0
