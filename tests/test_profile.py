"""Profiles: what is counted, in which order, and against what."""

import csv
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from faceskd import profile as profiling
from faceskd.components import boxes_from_landmarks
from faceskd.config import compose_model
from faceskd.errors import ConfigError
from faceskd.images import to_tensor
from faceskd.models.base import SuperResolver
from faceskd.portraits import render_portrait
from faceskd.profile import Subject, count_macs, interleave, profile_models
from faceskd.profiling.ceilings import Probe, ceilings, probes
from faceskd.profiling.memory import measure_memory
from faceskd.profiling.presentation import profile_markdown, write_profile
from faceskd.profiling.subjects import MTCNNBoxes, build_model, named_subjects, typical_boxes
from faceskd.weights import build_network, save_network

STATUS = Path("/proc/self/status")
CPU = torch.device("cpu")
MEGABYTE = 2**20


class Small(SuperResolver):
    """A 3x3 convolution, a strided one in groups, and a matrix product: countable by hand."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.grouped = nn.Conv2d(8, 8, 4, stride=4, groups=4)
        self.last = nn.Linear(8, 192)
        self.boxes: torch.Tensor = torch.empty(0)

    def forward_features(self, lr, boxes=None):
        self.boxes = boxes.clone()
        cells = self.grouped(self.first(lr)).movedim(1, -1)
        sr = torch.nn.functional.pixel_shuffle(self.last(cells).movedim(-1, 1), 8)
        return sr.repeat_interleave(4, 2).repeat_interleave(4, 3), []


SMALL_MACS = 32 * 32 * 8 * 3 * 9 + 8 * 8 * 8 * (8 // 4) * 16 + 8 * 8 * 8 * 192


class Heavy(SuperResolver):
    """64 MB of weights, and 128 MB of activations that live at one time."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.ones(16 * MEGABYTE))

    def forward_features(self, lr, boxes=None):
        activation = torch.ones(32 * MEGABYTE)
        return activation.sum() * lr, []


class Clock:
    """A clock that only the calls under test move."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(profiling.time, "perf_counter", lambda: self.now)

    def call(self, seconds, then=lambda: None):
        def run():
            self.now += seconds
            then()

        return run


def quick(subjects, **settings):
    defaults = {"warmup": 0, "repeats": 1, "memory": False, "ceiling": False}
    return profile_models(subjects, **(defaults | settings))


class TestTime:
    def test_calls_take_turns(self):
        order: list[str] = []
        calls = {name: partial(order.append, name) for name in "ABC"}
        seconds = interleave(calls, warmup=1, repeats=2)
        assert "".join(order) == "ABCABCABC"
        assert {name: len(times) for name, times in seconds.items()} == {"A": 2, "B": 2, "C": 2}

    def test_warmup_is_not_counted_and_others_are_not_charged(self, monkeypatch):
        clock = Clock(monkeypatch)
        first = iter([100.0, 1.0, 2.0])
        calls = {"A": lambda: clock.call(next(first))(), "B": clock.call(5.0)}
        seconds = interleave(calls, warmup=1, repeats=2)
        assert seconds == {"A": [1.0, 2.0], "B": [5.0, 5.0]}

    def test_rows_follow_from_the_times(self, monkeypatch):
        times = {("slow", 1): [4.0] * 9 + [8.0], ("fast", 1): [1.0] * 10,
                 ("slow", 2): [6.0] * 10, ("fast", 2): [3.0] * 10}  # fmt: skip
        monkeypatch.setattr(profiling, "interleave", lambda calls, **_: times)
        subjects = {"slow": Subject(Small), "fast": Subject(Small)}
        profile = quick(subjects, batch_sizes=[1, 2], reference="slow")
        rows = {(row.name, row.batch_size): row for row in profile.rows}
        assert rows["slow", 1].latency_ms == 4000
        assert rows["slow", 1].latency_p90_ms == pytest.approx(
            np.percentile([4] * 9 + [8], 90) * 1e3
        )
        assert rows["fast", 1].ratio == 4
        assert rows["fast", 2].ratio == 2
        assert rows["fast", 2].faces_per_second == pytest.approx(2 / 3)
        assert rows["slow", 2].ratio == 1

    def test_prelude_is_inside_the_pass_and_its_boxes_arrive(self):
        seen = []

        def prelude(enlarged):
            seen.append(enlarged.shape)
            return torch.full((len(enlarged), 4, 4), 7.0)

        subject = Subject(Small, prelude=prelude)
        network: Any = subject.network(CPU)
        subject.prepare(network, torch.rand(2, 3, 32, 32))()
        assert seen == [(2, 3, 256, 256)]
        assert (network.boxes == 7).all()

    def test_without_a_prelude_boxes_are_typical(self):
        subject = Subject(Small)
        network: Any = subject.network(CPU)
        subject.prepare(network, torch.rand(2, 3, 32, 32))()
        assert torch.equal(network.boxes, typical_boxes(2))

    def test_bf16_is_bf16(self):
        subject = Subject(Small, "bf16")
        network = subject.network(CPU)
        assert subject.prepare(network, torch.rand(1, 3, 32, 32))().dtype == torch.bfloat16

    def test_subjects_of_one_build_and_form_share_a_network(self):
        built = []

        def build():
            built.append(1)
            return Small()

        quick({"a": Subject(build), "b": Subject(build, prelude=lambda x: typical_boxes(len(x))),
               "c": Subject(build, "bf16")})  # fmt: skip
        assert len(built) == 2

    def test_threads_are_given_back(self):
        before = torch.get_num_threads()
        profile = quick({"a": Subject(Small)}, threads=before + 1)
        assert profile.machine["threads"] == before + 1
        assert torch.get_num_threads() == before


class TestWork:
    @pytest.mark.parametrize("form", ["fp32", "bf16"])
    def test_macs_equal_a_count_by_hand(self, form):
        subject = Subject(Small, form)
        lr = torch.rand(1, 3, 32, 32)
        assert count_macs(subject.network(CPU), subject, lr) == SMALL_MACS

    def test_a_prelude_counts_nothing_and_a_row_is_of_one_face(self):
        def prelude(enlarged):
            torch.ones(64, 64) @ torch.ones(64, 64)
            return typical_boxes(len(enlarged))

        profile = quick({"a": Subject(Small, prelude=prelude)}, batch_sizes=[3])
        assert profile.rows[0].macs == SMALL_MACS
        assert profile.rows[0].parameters == 3 * 8 * 9 + 8 + 8 * 2 * 16 + 8 + 8 * 192 + 192

    def test_ceiling_is_the_best_operation_at_its_best(self):
        small = Probe("fp32", "a", 100, lambda: torch.ones(1))
        large = Probe("bf16", "b", 600, lambda: torch.ones(1))
        table = ceilings({small: [2.0, 0.5, 1.0], large: [3.0]})
        assert table == {"fp32": {"a": 200}, "bf16": {"b": 200}}

    def test_probes_do_the_work_they_claim(self):
        for probe in probes(["fp32", "bf16"], CPU, side=32, batch_size=2, convolutions=[(4, 16)]):
            with profiling.FlopCounterMode(display=False) as counter:
                result = probe()
            # Padding: the counter takes every tap as work, and so does the formula.
            assert counter.get_total_flops() == probe.flops
            assert result.dtype == (torch.float32 if probe.form == "fp32" else torch.bfloat16)

    def test_fraction_of_the_ceiling(self, monkeypatch):
        probe = Probe("fp32", "a", 1e9, lambda: torch.ones(1))
        monkeypatch.setattr(profiling, "probes", lambda *_: [probe])
        times = {probe: [0.5], ("a", 2): [0.25]}
        monkeypatch.setattr(profiling, "interleave", lambda calls, **_: times)
        row = quick({"a": Subject(Small)}, batch_sizes=[2], ceiling=True).rows[0]
        assert row.ceiling_fraction == pytest.approx(2 * 2 * SMALL_MACS / 0.25 / 2e9)


class TestMemory:
    @pytest.mark.slow
    @pytest.mark.skipif(not STATUS.is_file(), reason=f"this system has no {STATUS}")
    def test_weights_and_activations_of_known_size(self):
        memory = measure_memory(Subject(Heavy), torch.zeros(1, 3, 32, 32), device=CPU, threads=1)
        assert memory is not None
        assert memory.weights == pytest.approx(64 * MEGABYTE, rel=0.1)
        assert memory.peak == pytest.approx(192 * MEGABYTE, rel=0.1)


class TestSubjects:
    def test_names(self):
        subjects = named_subjects(
            ["bicubic", "teacher_tiny"], forms=["fp32", "bf16"], landmarks=["given", "mtcnn"]
        )
        assert set(subjects) == {
            "bicubic@fp32", "bicubic@bf16", "teacher_tiny@fp32", "teacher_tiny@bf16",
            "teacher_tiny+mtcnn@fp32", "teacher_tiny+mtcnn@bf16",
        }  # fmt: skip
        assert subjects["teacher_tiny@fp32"].build is subjects["teacher_tiny+mtcnn@fp32"].build

    def test_trained_files_are_known_by_their_folder(self, tmp_path):
        config = compose_model("student_tiny")
        for folder in ("mskd", "sskd"):
            path = tmp_path / folder / "weights.safetensors"
            save_network(path, build_network(config), config)
        models = [str(tmp_path / folder / "weights.safetensors") for folder in ("mskd", "sskd")]
        assert set(named_subjects(models)) == {"mskd@fp32", "sskd@fp32"}

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"models": ["no_such_model"]}, "no_such_model"),
            ({"models": ["bicubic"], "forms": ["fp8"]}, "fp8"),
            ({"models": ["bicubic"], "landmarks": ["guess"]}, "guess"),
            ({"models": ["bicubic", "bicubic"]}, "different names"),
        ],
    )
    def test_impossible_ones(self, arguments, message):
        with pytest.raises(ConfigError, match=message):
            named_subjects(**arguments)

    def test_a_teacher_gets_a_random_dictionary_and_runs_in_both_forms(self):
        subjects = {
            form: Subject(partial(build_model, "teacher_tiny", atoms=8), form)
            for form in ("fp32", "bf16")
        }
        profile = quick(subjects)
        assert all(row.dictionary_bytes > 0 for row in profile.rows)
        assert profile.rows[0].macs == profile.rows[1].macs > 0

    def test_mtcnn_finds_the_components_of_a_portrait(self):
        portrait = render_portrait(0, size=256)
        blank = np.zeros_like(portrait.image)
        boxes = MTCNNBoxes()(to_tensor(np.stack([portrait.image, blank])))
        truth = torch.from_numpy(boxes_from_landmarks(portrait.landmarks))
        centres = (boxes[0, :, :2] + boxes[0, :, 2:]) / 2 - (truth[:, :2] + truth[:, 2:]) / 2
        assert centres.norm(dim=-1).max() < 20
        assert torch.equal(boxes[1], typical_boxes(1)[0])

    @pytest.mark.parametrize(
        "settings",
        [{"batch_sizes": []}, {"batch_sizes": [0]}, {"repeats": 0}, {"reference": "nobody"}],
        ids=str,
    )
    def test_impossible_settings(self, settings):
        with pytest.raises(ConfigError, match=r"^expected"):
            quick({"a": Subject(Small)}, **settings)

    def test_no_subject(self):
        with pytest.raises(ConfigError, match="at least one model"):
            quick({})


def test_report(tmp_path):
    subjects = {"small@fp32": Subject(Small), "small@bf16": Subject(Small, "bf16")}
    profile = quick(subjects, batch_sizes=[1, 2])
    write_profile(profile, tmp_path)
    with (tmp_path / "profile.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["name"] for row in table] == ["small@fp32", "small@bf16"] * 2
    assert table[0]["peak_bytes"] == ""
    content = json.loads((tmp_path / "profile.json").read_text())
    assert content["rows"][1]["latency_ms"] == profile.rows[1].latency_ms
    assert content["machine"]["threads"] == torch.get_num_threads()
    assert content["settings"]["reference"] == "small@fp32"
    report = (tmp_path / "profile.md").read_text()
    assert report == profile_markdown(profile)
    assert "| small@bf16 | 2 |" in report
    assert (tmp_path / "profile.png").read_bytes().startswith(b"\x89PNG")
