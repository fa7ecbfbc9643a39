"""Time the models for photos against a network of GFPGAN's cost, side by side.

    python tools/time_photo_models.py [--threads 2]

GFPGAN (clean, 1.4) needs 198 billion multiplications for a face of 512 px. The network that stands
for it is `PhotoNet`, widened to this cost, in fp32; the models run in bf16, as `faceskd restore`
runs them. The runs take turns; printed are medians, and how many times faster a model is.
"""

import argparse
import time

import numpy as np
import torch
from rich.progress import track

from faceskd.common.machine import machine_summary
from faceskd.export.eager import eager
from faceskd.models.base import SuperResolver
from faceskd.models.photo import PhotoNet
from faceskd.pretrained import load_pretrained
from faceskd.profiling.work import count_macs
from faceskd.reporting.tables import markdown_table

SIDE = 512
MODELS = ("photo-m", "photo-s")


def main(threads: int, repeats: int) -> None:
    """Print the table."""
    torch.set_num_threads(threads)
    gfpgan = PhotoNet(widths=(106, 212, 424), blocks=9, mixing=(1, 1), reparameterised=False)
    networks: dict[str, tuple[SuperResolver, str]] = {
        "cost of GFPGAN, fp32": (gfpgan.eval(), "fp32")
    }
    networks |= {f"{name}, bf16": (load_pretrained(name), "bf16") for name in MODELS}
    macs = {name: count_macs(network) for name, (network, _) in networks.items()}
    runs = {
        name: eager(network, precision=precision) for name, (network, precision) in networks.items()
    }
    face = torch.rand(1, 3, SIDE, SIDE)
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for turn in track(range(repeats + 1), "runs"):
        for name, run in runs.items():
            started = time.perf_counter()
            with torch.inference_mode():
                run(face)
            if turn:  # the first run of each warms up
                taken[name].append(time.perf_counter() - started)
    medians = {name: float(np.median(values)) for name, values in taken.items()}
    slowest = max(medians.values())
    rows = [
        {
            "network": name,
            "GMACs": f"{macs[name] / 1e9:.1f}",
            "ms for a face of 512 px": f"{1e3 * seconds:.1f}",
            "times faster": f"{slowest / seconds:.1f}",
        }
        for name, seconds in medians.items()
    ]
    machine = machine_summary()
    print(f"{machine['cpu']}, {threads} threads, medians of {repeats} runs in turn\n")
    print(markdown_table(rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Time the models for photos.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    main(options.threads, options.repeats)
