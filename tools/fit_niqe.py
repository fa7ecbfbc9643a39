"""Fit the model of the metric NIQE to good photographs; write it into the package.

    python tools/fit_niqe.py PHOTOS...

PHOTOS are folders. The model in the package was fitted to the 552 photographed training portraits
of this project (see `faceskd data verify`) and to the scenes of `tools/link_scenes.py`.
"""

import sys
from pathlib import Path

from rich.progress import track

from faceskd.common.images import read_image, to_tensor
from faceskd.common.listing import list_images
from faceskd.metrics.niqe import MODEL, NiqeModel


def main(*folders: str) -> None:
    """Fit to all photographs of the folders but the generated ones."""
    paths = [path for folder in folders for path in list_images(Path(folder))]
    photographs = [path for path in paths if not path.name.startswith("synthetic")]
    model = NiqeModel.fit(to_tensor(read_image(path)) for path in track(photographs, "fit"))
    model.save(MODEL)
    print(f"{MODEL}: {len(photographs)} photographs, mean {model.mean[:2].tolist()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
