"""Passes take turns and are timed alone, with the threads that each asks for."""

from functools import partial

import torch
from helpers.tiny_profiles import Small, quick

from faceskd.profiling import timing
from faceskd.profiling.landmarks import typical_boxes
from faceskd.profiling.passes import SETTLING, Pass, time_passes
from faceskd.profiling.subjects import Subject
from faceskd.profiling.timing import interleave, try_out
from faceskd.profiling.work import load_subjects

CPU = torch.device("cpu")


class Clock:
    """A clock that only the calls under test move."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def call(self, seconds):
        def run():
            self.now += seconds

        return run


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
