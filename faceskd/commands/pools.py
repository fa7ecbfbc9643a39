"""`faceskd pools src=PHOTOS out=FILE`: blur kernels and noise of real low-quality photos."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from rich.console import Console

from faceskd.common.config import EXIT_SOME_FAILED, hydra_main
from faceskd.common.errors import FaceskdError, ImageError
from faceskd.common.files import check_no_folder
from faceskd.common.images import read_image
from faceskd.common.listing import images_and_problems


@hydra_main("pools")
def main(cfg: DictConfig) -> None:
    """Estimate the pools. The exit status is 1 if a file could not be read."""
    from faceskd.data.pools import estimate_pools

    check_no_folder(out=cfg.out)
    console = Console(soft_wrap=True, highlight=False)
    paths, problems = images_and_problems(cfg.src)
    failures = [f"{file.source}: {file.problem}" for file in problems]
    pools = estimate_pools(_photos(paths, failures), most_noise=cfg.most_noise, seed=cfg.seed)
    for failure in failures:
        console.print(failure, style="red", markup=False)
    if not pools.provenance["photos"]:
        raise FaceskdError(f"expected photos in {cfg.src!r}, got none that can be read")
    pools.save(cfg.out)
    found = f"{len(pools.kernels)} blur kernels and {len(pools.noise)} patches of noise"
    console.print(f"{cfg.out}: {found} from {pools.provenance['photos']} photos", markup=False)
    if failures:
        sys.exit(EXIT_SOME_FAILED)


def _photos(paths: Sequence[Path], failures: list[str]) -> Iterator[np.ndarray]:
    """The photos, one at a time; `failures` gets the messages of those that cannot be read."""
    for path in paths:
        try:
            yield read_image(path)
        except ImageError as error:
            failures.append(str(error))


if __name__ == "__main__":
    main()
