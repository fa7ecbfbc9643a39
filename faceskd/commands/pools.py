"""`faceskd pools src=PHOTOS out=FILE`: blur kernels and noise of real low-quality photos."""

import sys

from omegaconf import DictConfig
from rich.console import Console

from faceskd.common.config import hydra_main
from faceskd.common.errors import FaceskdError, ImageError
from faceskd.common.files import check_no_folder
from faceskd.common.images import read_image
from faceskd.common.listing import list_images

EXIT_SOME_FAILED = 1


@hydra_main("pools")
def main(cfg: DictConfig) -> None:
    """Estimate the pools. The exit status is 1 if a file could not be read."""
    from faceskd.data.pools import estimate_pools

    check_no_folder(out=cfg.out)
    console = Console(soft_wrap=True, highlight=False)
    photos, failures = [], 0
    for path in list_images(cfg.src):
        try:
            photos.append(read_image(path))
        except ImageError as error:
            failures += 1
            console.print(str(error), style="red", markup=False)
    if not photos:
        raise FaceskdError(f"expected photos in {cfg.src!r}, got none that can be read")
    pools = estimate_pools(photos, most_noise=cfg.most_noise, seed=cfg.seed)
    pools.save(cfg.out)
    found = f"{len(pools.kernels)} blur kernels and {len(pools.noise)} patches of noise"
    console.print(f"{cfg.out}: {found} from {len(photos)} photos", markup=False)
    if failures:
        sys.exit(EXIT_SOME_FAILED)


if __name__ == "__main__":
    main()
