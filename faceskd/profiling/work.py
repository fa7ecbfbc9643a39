"""Load subjects, and count their parameters and multiply-accumulates."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from faceskd.common.errors import reason
from faceskd.models.base import SuperResolver
from faceskd.models.blocks import fuse
from faceskd.profiling.landmarks import typical_boxes
from faceskd.profiling.subjects import Method, Subject


class Work(NamedTuple):
    """Size and work of a network.

    Attributes:
        parameters: parameters of the fused network, without dictionaries.
        macs: multiply-accumulates per face (`count_macs`).
        dictionary_bytes: memory of the dictionaries.
        needs_boxes: whether the network needs component boxes.
    """

    parameters: int
    macs: int
    dictionary_bytes: int
    needs_boxes: bool


class Loaded(NamedTuple):
    """Subjects ready to run.

    Attributes:
        methods: functions by the name of the subject and its thread count.
        work: work by name; a file of unknown origin has none.
        failures: for subjects that cannot be loaded, the reason.
    """

    methods: dict[tuple[str, int], Method]
    work: dict[str, Work]
    failures: dict[str, str]

    def needs_boxes(self, name: str) -> bool:
        """Whether the network of a subject needs component boxes."""
        return name in self.work and self.work[name].needs_boxes


def load_subjects(
    subjects: Mapping[str, Subject], threads: Sequence[int], device: torch.device
) -> Loaded:
    """Load subjects. Each network is built once and shared by subjects of the same form.

    Other runtimes fix their thread count when they load a file, PyTorch at each call. So files are
    loaded once for each thread count.
    """
    loaded = Loaded({}, {}, {})
    for build in dict.fromkeys(subject.build for subject in subjects.values()):
        group = {name: subject for name, subject in subjects.items() if subject.build is build}
        try:
            network = build() if build else None
            work = measure_work(network) if network else None
        except Exception as error:
            loaded.failures.update(dict.fromkeys(group, reason(error)))
            continue
        if work:
            loaded.work.update(dict.fromkeys(group, work))
        _load_forms(group, network, threads, device, loaded)
    return loaded


def _load_forms(
    subjects: Mapping[str, Subject],
    network: SuperResolver | None,
    threads: Sequence[int],
    device: torch.device,
    loaded: Loaded,
) -> None:
    """Load all forms of one network and add them to `loaded`."""
    forms: dict[tuple[str, Path | None, int], Method] = {}
    for name, subject in subjects.items():
        try:
            for count in threads:
                torch.set_num_threads(count)
                key = (subject.form, subject.file, count if subject.file else 0)
                if key not in forms:
                    forms[key] = subject.load(device, network)
                loaded.methods[name, count] = forms[key]
        except Exception as error:
            loaded.failures[name] = reason(error)


def measure_work(network: SuperResolver) -> Work:
    """Size and work of a network on the CPU, after fusing."""
    fused = fuse(network)
    return Work(
        parameters=sum(parameter.numel() for parameter in fused.parameters()),
        macs=count_macs(fused),
        dictionary_bytes=getattr(network, "dictionary_bytes", 0),
        needs_boxes=network.needs_boxes,
    )


def count_macs(network: SuperResolver) -> int:
    """Multiply-accumulates per face: half of the FLOP that FlopCounterMode counts.

    It counts convolutions and matrix products, with 2 FLOP per multiply-accumulate. Element-wise
    operations, interpolation and RoIAlign are not counted.
    """
    side = network.size // network.scale
    lr: Tensor = torch.rand(1, 3, side, side)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(lr, typical_boxes(1, network.size))
    return counter.get_total_flops() // 2
