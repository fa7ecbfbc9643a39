"""Memory: known allocations are found, libraries are not counted, contradictions are errors."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from helpers.tiny_profiles import Small, quick
from torch import nn

from faceskd.common.errors import MeasurementError
from faceskd.models.base import SuperResolver
from faceskd.profiling import memory
from faceskd.profiling.landmarks import typical_boxes
from faceskd.profiling.memory import Memory, check_parts, measure_memory, typical
from faceskd.profiling.subjects import Subject

MEGABYTE = 2**20
CPU = torch.device("cpu")
LR = torch.zeros(1, 3, 32, 32)

reads_memory = pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="this system has no /proc/self/status"
)


class Heavy(SuperResolver):
    """64 MiB of weights, and 128 MiB of activations that live at one time.

    The first run loads a library of 256 MiB, which stays: other runs of the process do not.
    """

    library: list[torch.Tensor] = []  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.ones(16 * MEGABYTE))

    def forward_features(self, lr, boxes=None):
        if not Heavy.library:
            Heavy.library.append(torch.ones(64 * MEGABYTE))
        activation = torch.ones(32 * MEGABYTE)
        return activation.sum() * lr, []


class Detector:
    """Finds boxes with 32 MiB of weights, loaded at the first call."""

    weights = None

    def __call__(self, enlarged):
        if self.weights is None:
            self.weights = torch.ones(8 * MEGABYTE)
        return typical_boxes(len(enlarged))


class Broken(Small):
    def forward_features(self, lr, boxes=None):
        raise RuntimeError("no kernel for this\nand a long dump")


@reads_memory
@pytest.mark.slow
@pytest.mark.parametrize(("prelude", "more"), [(None, 0), (Detector(), 32)], ids=["alone", "both"])
def test_allocations_of_known_size(prelude, more):
    subject = Subject(Heavy, prelude=prelude)
    used = measure_memory("a", subject, LR, device=CPU, threads=1, repeats=2)
    assert used is not None
    assert used.weights == pytest.approx(64 * MEGABYTE, abs=4 * MEGABYTE)
    assert used.peak == pytest.approx((192 + more) * MEGABYTE, abs=4 * MEGABYTE)


@reads_memory
def test_what_cannot_run_has_none(monkeypatch, caplog):
    in_a_thread = lambda workers, mp_context: ThreadPoolExecutor(workers)  # noqa: E731
    monkeypatch.setattr(memory, "ProcessPoolExecutor", in_a_thread)
    assert measure_memory("a@fp32", Subject(Broken), LR, device=CPU, threads=1) is None
    assert "memory of a@fp32: RuntimeError: no kernel for this" in caplog.text


def test_repeats_have_their_median():
    measured = [Memory(50_000_000, 104_000_000), Memory(50_000_100, 100_000_000),
                Memory(49_000_000, 101_000_000)]  # fmt: skip
    assert typical("a", measured) == Memory(50_000_000, 101_000_000)


@pytest.mark.parametrize("what", ["weights", "peak"])
def test_repeats_that_contradict_each_other_are_an_error(what):
    measured = [Memory(90_000_000, 100_000_000)] * 2
    measured.append(measured[0]._replace(**{what: 241_000_000}))
    with pytest.raises(MeasurementError, match=rf"same memory .* 241 MB \({what}\) for a@fp32"):
        typical("a@fp32", measured)


SUBJECTS = {
    "a": Subject(Small),
    "a+mtcnn": Subject(Small, prelude=typical_boxes),
    "a@bf16": Subject(Small, "bf16"),
}


class TestParts:
    def test_a_network_with_its_detector_cannot_need_less(self):
        used = {("a", 1): Memory(1, 241_000_000), ("a+mtcnn", 1): Memory(1, 76_000_000)}
        with pytest.raises(MeasurementError, match=r"a\+mtcnn .*memory of a,.* 76 MB and 241 MB"):
            check_parts(SUBJECTS, used)

    def test_more_or_as_much_or_another_form_or_batch_is_no_contradiction(self):
        peaks = {("a", 1): 100, ("a+mtcnn", 1): 99, ("a@bf16", 1): 200, ("a", 2): 240}
        used = {key: Memory(1, peak * 10**6) for key, peak in peaks.items()}
        check_parts(SUBJECTS, used | {("a+mtcnn", 2): None})

    def test_a_profile_stops_at_a_contradiction(self, monkeypatch):
        peaks = {"a": 241_000_000, "a+mtcnn": 76_000_000, "a@bf16": 1}

        def measured(name, *_, **__):
            return Memory(1, peaks[name])

        monkeypatch.setattr("faceskd.profiling.profile.measure_memory", measured)
        with pytest.raises(MeasurementError, match="memory=false"):
            quick(SUBJECTS, memory=True)
