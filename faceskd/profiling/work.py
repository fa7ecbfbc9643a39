"""Subjects made ready to run, and the work that is in them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from faceskd.common.errors import reason
from faceskd.faces.lr_faces import LR_SIZE
from faceskd.models.base import SuperResolver
from faceskd.models.blocks import fuse
from faceskd.profiling.landmarks import typical_boxes
from faceskd.profiling.subjects import Method, Subject


class Work(NamedTuple):
    """What a pass over one face is made of.

    Attributes:
        parameters: of the network as it is run, dictionaries left out.
        macs: multiply-accumulates of a face (`count_macs`).
        dictionary_bytes: of the dictionaries.
        needs_boxes: whether the component boxes must be given or found.
    """

    parameters: int
    macs: int
    dictionary_bytes: int
    needs_boxes: bool


class Loaded(NamedTuple):
    """Subjects ready to run.

    Attributes:
        methods: by the subject's name and the number of threads it was loaded with.
        work: by name; a file of unknown origin has none.
        failures: why others cannot be loaded, by name.
    """

    methods: dict[tuple[str, int], Method]
    work: dict[str, Work]
    failures: dict[str, str]

    def needs_boxes(self, name: str) -> bool:
        """Whether a subject's network must be given or find the component boxes."""
        return name in self.work and self.work[name].needs_boxes


def load_subjects(
    subjects: Mapping[str, Subject], threads: Sequence[int], device: torch.device
) -> Loaded:
    """Make subjects ready to run; each network is built once, and shared where forms are the same.

    Other runtimes take their threads when they load a file, PyTorch with every call: files are
    loaded once for each number of threads.
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
    """Add the forms of one network to what is loaded."""
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
    """The work of a network on the CPU, fused as it is run."""
    fused = fuse(network)
    return Work(
        parameters=sum(parameter.numel() for parameter in fused.parameters()),
        macs=count_macs(fused),
        dictionary_bytes=getattr(network, "dictionary_bytes", 0),
        needs_boxes=network.needs_boxes,
    )


def count_macs(network: SuperResolver) -> int:
    """Multiply-accumulates of a face, half of what FlopCounterMode counts.

    It counts convolutions and matrix products, 2 FLOP a multiply-accumulate; element-wise
    operations, interpolation by gathering and RoIAlign count nothing.
    """
    lr: Tensor = torch.rand(1, 3, LR_SIZE, LR_SIZE)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(lr, typical_boxes(1))
    return counter.get_total_flops() // 2
