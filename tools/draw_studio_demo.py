"""Draw the pictures beside the studio's log-in form: a small photo, enlarged and restored.

    python tools/draw_studio_demo.py

The photo is NASA's public-domain portrait of Eileen Collins, which scikit-image contains.
"""

from pathlib import Path

import cv2
import skimage.data
from PIL import Image

from faceskd import Restorer

OUT = Path(__file__).parents[1] / "faceskd" / "studio" / "static" / "demo"
SIDE = 512
SCALE = 6
SMALL_SIDE = 198
"""The photo, made so small that its face is about 36 px wide, as in docs/photo.png."""
LEFT, TOP, CUT = 52, 0, 86
"""The square around the face, in pixels of the small photo."""


def main() -> None:
    """Write before.webp and after.webp."""
    small = cv2.resize(
        skimage.data.astronaut(), (SMALL_SIDE, SMALL_SIDE), interpolation=cv2.INTER_AREA
    )
    large = (SMALL_SIDE * SCALE, SMALL_SIDE * SCALE)
    pictures = {
        "before": cv2.resize(small, large, interpolation=cv2.INTER_CUBIC),
        "after": Restorer.from_pretrained()(small, scale=SCALE).image,
    }
    OUT.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        x, y, side = LEFT * SCALE, TOP * SCALE, CUT * SCALE
        cut = picture[y : y + side, x : x + side]
        image = Image.fromarray(cut).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        image.save(OUT / f"{name}.webp", quality=82, method=6)


if __name__ == "__main__":
    main()
