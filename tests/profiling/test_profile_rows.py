"""A profile's rows follow from the times, and from ceilings measured beside them."""

from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny_profiles import Small, quick
from torch.utils.flop_counter import FlopCounterMode

from faceskd.profiling import memory
from faceskd.profiling.ceilings import Ceiling, Probe, best, ceilings, probes
from faceskd.profiling.passes import Pass
from faceskd.profiling.results import make_rows
from faceskd.profiling.subjects import Subject
from faceskd.profiling.work import Work

CPU = torch.device("cpu")
ONE = torch.ones(1)


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
        monkeypatch.setattr("faceskd.profiling.profile.probes", lambda *_, **__: [probe])
        profile = quick({"a": Subject(Small)}, ceiling=True)
        assert [top.operation for top in profile.ceilings] == ["conv 1"]
        assert profile.rows[0].ceiling_fraction == profile.rows[0].convolution_fraction > 0
