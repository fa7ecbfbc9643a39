"""Profiles: what is counted, in which order, and against what."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from faceskd.errors import ConfigError
from faceskd.images import read_image, to_tensor, to_uint8
from faceskd.lr_faces import sample_lr_faces
from faceskd.models.base import SuperResolver
from faceskd.profile import profile_models
from faceskd.profiling import memory, timing
from faceskd.profiling.ceilings import Ceiling, Probe, best, ceilings, probes
from faceskd.profiling.end_to_end import FileStore
from faceskd.profiling.landmarks import typical_boxes
from faceskd.profiling.passes import SETTLING, Pass, make_passes, time_passes
from faceskd.profiling.results import make_rows
from faceskd.profiling.subjects import Subject
from faceskd.profiling.timing import interleave, try_out
from faceskd.profiling.work import Work, count_macs, load_subjects

STATUS = Path("/proc/self/status")
CPU = torch.device("cpu")
MEGABYTE = 2**20
ONE = torch.ones(1)


class Small(SuperResolver):
    """A 3x3 convolution, a strided one in groups, and a matrix product: countable by hand."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.grouped = nn.Conv2d(8, 8, 4, stride=4, groups=4)
        self.last = nn.Linear(8, 192)

    def forward_features(self, lr, boxes=None):
        cells = self.grouped(self.first(lr)).movedim(1, -1)
        sr = torch.nn.functional.pixel_shuffle(self.last(cells).movedim(-1, 1), 8)
        return sr.repeat_interleave(4, 2).repeat_interleave(4, 3), []


SMALL_MACS = 32 * 32 * 8 * 3 * 9 + 8 * 8 * 8 * (8 // 4) * 16 + 8 * 8 * 8 * 192


class Boxed(Small):
    """Needs boxes, and draws the last coordinate of the first face's into the SR face."""

    needs_boxes = True

    def forward_features(self, lr, boxes=None):
        assert boxes is not None
        return lr.repeat_interleave(8, 2).repeat_interleave(8, 3) * 0 + boxes[0, -1, -1], []


class Heavy(SuperResolver):
    """64 MB of weights, and 128 MB of activations that live at one time."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.ones(16 * MEGABYTE))

    def forward_features(self, lr, boxes=None):
        activation = torch.ones(32 * MEGABYTE)
        return activation.sum() * lr, []


class Broken(Small):
    def forward_features(self, lr, boxes=None):
        raise RuntimeError("no kernel for this\nand a long dump")


class Clock:
    """A clock that only the calls under test move."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def call(self, seconds):
        def run():
            self.now += seconds

        return run


def quick(subjects, **settings):
    defaults = {"warmup": 0, "repeats": 1, "memory": False, "ceiling": False, "end_to_end": False}
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
        seconds = interleave(calls, warmup=1, repeats=2, before=lambda key: clock.call(7.0)())
        assert seconds == {"A": [1.0, 2.0], "B": [5.0, 5.0]}

    def test_what_fails_or_is_too_long_is_left_out_with_its_reason(self, monkeypatch):
        clock = Clock(monkeypatch)

        def fail():
            raise ValueError("it broke\nat length")

        calls = {"short": clock.call(1.0), "long": clock.call(9.0), "broken": fail}
        seconds, failures = try_out(calls, longest=5)
        assert seconds == {"short": 1.0}
        assert failures == {
            "long": "a pass takes 9.0 s, more than longest=5",
            "broken": "ValueError: it broke",
        }

    def test_brief_passes_are_settled_uncounted_before_each_time(self, monkeypatch):
        clock = Clock(monkeypatch)
        order: list[str] = []
        seconds = {"brief": 0.4 * SETTLING, "long": 0.9, "slow": 3.0}
        keys = {name: Pass(name, 1, 1) for name in seconds}

        def run(name):
            order.append(name)
            clock.now += seconds[name]

        times, _ = time_passes(
            {key: partial(run, name) for name, key in keys.items()},
            {key: seconds[name] for name, key in keys.items()}, [],
            warmup=0, repeats=2, device=CPU, on_turn=clock.call(0),
        )  # fmt: skip
        assert order == [*["brief"] * 4, "long", "long", "slow"] * 2
        assert {name: len(times[key]) for name, key in keys.items()} == dict.fromkeys(keys, 2)

    def test_each_pass_has_its_threads_and_they_are_given_back(self):
        before = torch.get_num_threads()
        seen: list[int] = []

        def prelude(enlarged):
            seen.append(torch.get_num_threads())
            return typical_boxes(len(enlarged))

        profile = quick({"a": Subject(Small, prelude=prelude)}, threads=[2, 1])
        assert set(seen) == {1, 2}
        assert [row.threads for row in profile.rows] == [1, 2]
        assert torch.get_num_threads() == before

    def test_subjects_of_one_build_and_form_share_a_network(self):
        built = []

        def build():
            built.append(1)
            return Small()

        other = Subject(build, prelude=lambda x: typical_boxes(len(x)))
        subjects = {"a": Subject(build), "b": other, "c": Subject(build, "bf16")}
        loaded = load_subjects(subjects, [1, 2], CPU)
        assert len(built) == 1
        assert len({id(method) for method in loaded.methods.values()}) == 2
        assert {key[1] for key in loaded.methods} == {1, 2}


class TestRows:
    def rows(self, **changes):
        seconds = {
            Pass("slow", 1, 1): [4.0] * 9 + [8.0], Pass("fast", 1, 1): [1.0] * 10,
            Pass("slow", 2, 1): [6.0] * 10, Pass("fast", 2, 1): [3.0] * 10,
            Pass("fast", 2, 1, files=True): [5.0] * 10, Pass("fast", 2, 2): [2.0] * 10,
        }  # fmt: skip
        settings: dict[str, Any] = {
            "work": {"fast": Work(10, 10**9, 0, needs_boxes=False)},
            "memory": {},
            "tops": [
                Ceiling("fp32", 1, "matmul 8", 4e9),
                Ceiling("fp32", 1, "conv 8", 2e9),
                Ceiling("bf16", 1, "matmul 8", 9e9),
            ],
            "reference": "slow",
        } | changes
        subjects = {"slow": Subject(Small), "fast": Subject(Small, model="quick")}
        rows = make_rows(subjects, seconds, **settings)
        return {(row.name, row.batch_size, row.threads): row for row in rows}

    def test_they_follow_from_the_times(self):
        rows = self.rows()
        assert list(rows) == [
            ("slow", 1, 1), ("fast", 1, 1), ("slow", 2, 1), ("fast", 2, 1), ("fast", 2, 2)
        ]  # fmt: skip
        assert rows["slow", 1, 1].latency_ms == 4000
        late = np.percentile([4] * 9 + [8], 90) * 1e3
        assert rows["slow", 1, 1].latency_p90_ms == pytest.approx(late)
        assert rows["fast", 1, 1].ratio == 4
        assert rows["fast", 2, 1].ratio == 2
        assert rows["fast", 2, 1].faces_per_second == pytest.approx(2 / 3)
        assert rows["fast", 2, 1].file_to_file_ms == 5000
        assert rows["fast", 1, 1].file_to_file_ms is None
        assert rows["fast", 2, 2].ratio is None  # the reference was not measured so
        assert rows["fast", 1, 1].model == "quick"

    def test_fractions_of_the_ceiling(self):
        rows = self.rows()
        assert rows["fast", 2, 1].ceiling_fraction == pytest.approx(2 * 2 * 1e9 / 3 / 4e9)
        assert rows["fast", 2, 1].convolution_fraction == pytest.approx(2 * 2 * 1e9 / 3 / 2e9)
        assert rows["slow", 2, 1].ceiling_fraction is None  # its work is not known
        assert rows["fast", 2, 2].ceiling_fraction is None  # no ceiling with two threads

    def test_memory_over_bicubic_of_the_same_batch(self):
        subjects = {"bicubic@fp32": Subject(Small, model="bicubic"), "a": Subject(Small)}
        seconds = {Pass("a", size, 1): [1.0] for size in (1, 2)}
        used = {("bicubic@fp32", 1): memory.Memory(1, 30), ("a", 1): memory.Memory(5, 100),
                ("a", 2): memory.Memory(5, 100)}  # fmt: skip
        rows = make_rows(subjects, seconds, work={}, memory=used, tops=[], reference="a")
        assert [row.peak_over_bicubic_bytes for row in rows] == [70, None]
        assert [row.peak_bytes for row in rows] == [100, 100]


class TestWork:
    def test_macs_equal_a_count_by_hand(self):
        assert count_macs(Small()) == SMALL_MACS

    @pytest.mark.parametrize("form", ["fp32", "bf16"])
    def test_a_row_is_of_one_face_and_a_prelude_counts_nothing(self, form):
        def prelude(enlarged):
            torch.ones(64, 64) @ torch.ones(64, 64)
            return typical_boxes(len(enlarged))

        row = quick({"a": Subject(Small, form, prelude)}, batch_sizes=[3]).rows[0]
        assert row.macs == SMALL_MACS
        assert row.parameters == 3 * 8 * 9 + 8 + 8 * 2 * 16 + 8 + 8 * 192 + 192


class TestCeilings:
    def test_an_operation_at_its_best(self):
        small = Probe("fp32", "matmul", 100, lambda: ONE)
        large = Probe("bf16", "conv", 600, lambda: ONE, threads=2)
        found = ceilings({small: [2.0, 0.5, 1.0], large: [3.0]})
        assert found == [Ceiling("fp32", 1, "matmul", 200), Ceiling("bf16", 2, "conv", 200)]

    def test_the_best_of_a_precision_and_threads(self):
        found = [
            Ceiling("fp32", 1, "matmul", 9.0), Ceiling("fp32", 1, "conv", 7.0),
            Ceiling("fp32", 2, "conv", 11.0), Ceiling("bf16", 1, "conv", 13.0),
        ]  # fmt: skip
        assert best(found, "fp32", 1) == 9
        assert best(found, "fp32", 1, convolution=True) == 7
        assert best(found, "int8", 1) is None

    def test_probes_do_the_work_they_claim(self):
        found = probes(["fp32", "bf16", "int8"], CPU, batch_sizes=[2, 16], threads=[1, 2], side=32,
                       convolutions=[(4, 16)])  # fmt: skip
        for probe in found:
            with FlopCounterMode(display=False) as counter:
                result = probe()
            # Padding: the counter takes every tap as work, and so does the formula.
            assert counter.get_total_flops() == probe.flops
            assert result.dtype == (torch.float32 if probe.precision == "fp32" else torch.bfloat16)
        names = {probe.name for probe in found}
        assert names == {
            "matmul 32", "conv 2x4x16x16 nchw", "conv 2x4x16x16 nhwc", "conv 16x4x4x4 nchw",
            "conv 16x4x4x4 nhwc",
        }  # fmt: skip
        assert {(probe.precision, probe.threads) for probe in found} == {
            ("fp32", 1), ("fp32", 2), ("bf16", 1), ("bf16", 2)
        }  # fmt: skip

    def test_they_are_measured_in_the_same_run(self, monkeypatch):
        probe = Probe("fp32", "conv 1", 1e9, lambda: ONE, threads=torch.get_num_threads())
        monkeypatch.setattr("faceskd.profile.probes", lambda *_, **__: [probe])
        profile = quick({"a": Subject(Small)}, ceiling=True)
        assert [top.operation for top in profile.ceilings] == ["conv 1"]
        assert profile.rows[0].ceiling_fraction == profile.rows[0].convolution_fraction > 0


class TestEndToEnd:
    def test_what_is_written_is_what_the_network_makes_of_what_is_read(self, tmp_path):
        lr = sample_lr_faces(3)
        network = Small().eval()
        FileStore(lr, tmp_path).forward(network, 2)()
        written = [read_image(tmp_path / "sr" / f"{number}.png") for number in (0, 1)]
        with torch.inference_mode():
            expected = to_uint8(network(to_tensor(to_uint8(lr[:2]))))
        assert np.array_equal(np.stack(written), expected)
        assert not (tmp_path / "sr" / "2.png").exists()

    def test_it_has_a_column_where_the_boxes_can_be_found(self):
        subjects = {
            "free": Subject(Small),
            "given": Subject(Boxed),
            "found": Subject(Boxed, prelude=lambda x: typical_boxes(len(x))),
        }
        rows = {row.name: row for row in quick(subjects, end_to_end=True).rows}
        assert rows["given"].file_to_file_ms is None
        for name in ("free", "found"):
            assert rows[name].file_to_file_p90_ms >= rows[name].file_to_file_ms > 0

    def test_the_files_are_restored_by_boxes_that_are_found(self, tmp_path):
        subject = Subject(Boxed, prelude=lambda x: torch.full((len(x), 4, 4), 0.2))
        loaded = load_subjects({"a": subject}, [1], CPU)
        store = FileStore(sample_lr_faces(1), tmp_path)
        calls = make_passes({"a": subject}, loaded, ONE[None], batch_sizes=[1], store=store)
        calls[Pass("a", 1, 1, files=True)]()
        assert (read_image(tmp_path / "sr" / "0.png") == 51).all()


class TestMemory:
    @pytest.mark.slow
    @pytest.mark.skipif(not STATUS.is_file(), reason=f"this system has no {STATUS}")
    def test_weights_and_activations_of_known_size(self):
        lr = torch.zeros(1, 3, 32, 32)
        used = memory.measure_memory(Subject(Heavy), lr, device=CPU, threads=1)
        assert used is not None
        assert used.weights == pytest.approx(64 * MEGABYTE, rel=0.1)
        assert used.peak == pytest.approx(192 * MEGABYTE, rel=0.1)

    @pytest.mark.skipif(not STATUS.is_file(), reason=f"this system has no {STATUS}")
    def test_what_cannot_run_has_none(self, monkeypatch, caplog):
        in_a_thread = lambda workers, mp_context: ThreadPoolExecutor(workers)  # noqa: E731
        monkeypatch.setattr(memory, "ProcessPoolExecutor", in_a_thread)
        lr = torch.zeros(1, 3, 32, 32)
        assert memory.measure_memory(Subject(Broken), lr, device=CPU, threads=1) is None
        assert "no kernel for this" in caplog.text


class TestLeftOut:
    def test_others_are_measured(self):
        subjects = {"broken": Subject(Broken), "half": Subject(Small, "fp16"), "a": Subject(Small)}
        profile = quick(subjects, reference="a", left_out={"b@onnx": "no extra"})
        assert [row.name for row in profile.rows] == ["a"]
        assert profile.left_out.pop("b@onnx") == "no extra"
        assert set(profile.left_out) == {"broken", "half"}
        assert "no kernel for this" in profile.left_out["broken"]
        assert "GPU" in profile.left_out["half"]

    def test_nothing_is_left(self):
        with pytest.raises(ConfigError, match=r"none of the models.*GPU"):
            quick({"half": Subject(Small, "fp16")})

    def test_too_long(self):
        with pytest.raises(ConfigError, match="longest=0"):
            quick({"a": Subject(Small)}, longest=0)

    def test_no_subject(self):
        with pytest.raises(ConfigError, match="at least one model"):
            quick({})
        with pytest.raises(ConfigError, match=r"at least one model.*a@onnx: no extra"):
            quick({}, left_out={"a@onnx": "no extra"})

    @pytest.mark.parametrize(
        "settings",
        [{"batch_sizes": []}, {"batch_sizes": [0]}, {"repeats": 0}, {"threads": [0]},
         {"warmup": -1}, {"reference": "nobody"}],
        ids=str,
    )  # fmt: skip
    def test_impossible_settings(self, settings):
        with pytest.raises(ConfigError, match=r"^expected"):
            quick({"a": Subject(Small)}, **settings)

    def test_a_reference_that_is_left_out(self):
        with pytest.raises(ConfigError, match="reference b@onnx is left out: no extra"):
            quick({"a": Subject(Small)}, reference="b@onnx", left_out={"b@onnx": "no extra"})
