"""Mix the weights of two trainings of a student: a weighted mean.

    python tools/interpolate_weights.py runs/release/lite_m/weights.safetensors \
        runs/release/lite_m_texture/weights.safetensors --share 0.9 --out lite_m.safetensors

Network interpolation (Wang et al., "ESRGAN", ECCV Workshops 2018, section 3.4): the result is
(1 - share) times the first weights plus share times the second. The second training must have
started from the first. If the second added texture, the share trades PSNR for texture. Evaluate
the result: mixtures of students worked well, mixtures of teachers did not (docs/log.md).
"""

import argparse
from pathlib import Path

from faceskd.common.config import fail
from faceskd.common.errors import FaceskdError
from faceskd.models.mixing import mixed
from faceskd.models.weights import read_weights, save_network


def interpolate(first: Path | str, second: Path | str, *, share: float, out: Path | str) -> None:
    """Write the weighted mean of two weights files.

    Args:
        first, second: weights files of the same architecture.
        share: weight of the second, in [0, 1].
        out: the weights file to write.

    Raises:
        ConfigError, WeightsError: as `faceskd.models.mixing.mixed`.
    """
    network, end = mixed(first, second, share)
    note = {"first": read_weights(first).metadata.get("name"), "share_of_second": share}
    save_network(out, network, end.config, {**end.metadata, "interpolated": note})


def main() -> None:
    parser = argparse.ArgumentParser(description="Interpolate the weights of two trainings.")
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument(
        "--share", type=float, required=True, help="weight of the second file, 0 to 1"
    )
    parser.add_argument("--out", type=Path, required=True)
    try:
        interpolate(**vars(parser.parse_args()))
    except FaceskdError as error:
        raise fail(error) from None


if __name__ == "__main__":
    main()
