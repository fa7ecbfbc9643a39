"""Pictures for visual comparison: grids of faces, and close-ups of facial components.

Cells lie as `torchvision.utils.make_grid` lays them out. That function is not used: it draws no
labels, returns a lone image without a border, and would replace one line here.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from faceskd.common.checks import check_choice
from faceskd.common.errors import ConfigError
from faceskd.common.images import to_uint8
from faceskd.faces.components import COMPONENTS

BACKGROUND = (255, 255, 255)
INK = (32, 32, 32)
GAP = 6  # pixels between cells
_FONT_SIZE = 17
_LABEL_HEIGHT = 28


def image_grid(columns: Mapping[str, Tensor], rows: Sequence[str] | None = None) -> np.ndarray:
    """A grid with one row for each face and one column for each method, with labels.

    Args:
        columns: label -> images (B, 3, H, W) in [0, 1] (clamped), with the same B for all. Smaller
            images (LR) are enlarged to the size of the largest by repeating pixels.
        rows: labels of the B rows, written into the first column in small letters; None for none.

    Returns:
        A picture, uint8 (height, width, 3).

    Raises:
        ConfigError: there is no column or no face, the numbers of faces or labels differ, or the
            size of an image does not divide the largest.
    """
    cells = [to_uint8(images) for images in _same_size(columns).values()]
    return _compose(list(columns), cells, rows)


def close_ups(
    columns: Mapping[str, Tensor],
    boxes: Tensor,
    component: str,
    *,
    zoom: int = 3,
    margin: float = 0.15,
    rows: Sequence[str] | None = None,
) -> np.ndarray:
    """A grid as in `image_grid`, of one enlarged facial component.

    It is enlarged by repeating pixels, because a smoother enlargement could hide or create
    patterns.

    Args:
        columns: as for `image_grid`.
        boxes: component boxes (B, 4, 4), xyxy in pixels of the largest images.
        component: one of `faceskd.faces.components.COMPONENTS`.
        zoom: 3 shows the component at 300 %.
        margin: margin on each side, as a share of the box. All cells have the size of the largest
            box.
        rows: as for `image_grid`.

    Raises:
        ConfigError: as in `image_grid`; also for an unknown component, or boxes of another shape.
    """
    check_choice(COMPONENTS, component=component)
    columns = _same_size(columns)
    count, _, height, width = next(iter(columns.values())).shape
    if boxes.shape != (count, len(COMPONENTS), 4):
        raise ConfigError(
            f"expected boxes of shape {(count, len(COMPONENTS), 4)}, got {tuple(boxes.shape)}"
        )
    chosen = boxes[:, COMPONENTS.index(component)].cpu()
    extent = (chosen[:, 2:] - chosen[:, :2]).max().item() * (1 + 2 * margin)
    side = max(1, min(round(extent), height, width))
    corners = ((chosen[:, :2] + chosen[:, 2:] - side) / 2).round().long()
    corners = torch.minimum(corners.clamp(min=0), torch.tensor([width - side, height - side]))
    cells = []
    for images in columns.values():
        crops = [
            image[:, y : y + side, x : x + side]
            for image, (x, y) in zip(images, corners.tolist(), strict=True)
        ]
        cells.append(to_uint8(_repeat_pixels(torch.stack(crops), zoom)))
    return _compose(list(columns), cells, rows)


def _same_size(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    counts = {name: len(images) for name, images in columns.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise ConfigError(
            f"expected the same number of faces in all columns, at least 1, got {counts}"
        )
    height, width = (max(images.shape[axis] for images in columns.values()) for axis in (2, 3))
    grown = {}
    for name, images in columns.items():
        factor = height // images.shape[2]
        if (images.shape[2] * factor, images.shape[3] * factor) != (height, width):
            raise ConfigError(
                f"expected column sizes that divide {width}x{height}, got "
                f"{images.shape[3]}x{images.shape[2]} in the column {name!r}"
            )
        grown[name] = _repeat_pixels(images, factor)
    return grown


def _repeat_pixels(images: Tensor, factor: int) -> Tensor:
    return images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def _compose(
    labels: Sequence[str], cells: Sequence[np.ndarray], rows: Sequence[str] | None
) -> np.ndarray:
    """Arrange cells, one array (B, h, w, 3) for each column, on white, below their labels."""
    count, height, width, _ = cells[0].shape
    if rows is not None and len(rows) != count:
        raise ConfigError(f"expected {count} row labels, got {len(rows)}")
    size = (
        GAP + len(cells) * (width + GAP),
        _LABEL_HEIGHT + count * (height + GAP),
    )
    canvas = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for i, (label, column) in enumerate(zip(labels, cells, strict=True)):
        left = GAP + i * (width + GAP)
        font = _fitting_font(label, width)
        middle = (left + width / 2, _LABEL_HEIGHT / 2)
        draw.text(middle, label, INK, font, anchor="mm")
        for j, cell in enumerate(column):
            canvas.paste(Image.fromarray(cell), (left, _LABEL_HEIGHT + j * (height + GAP)))
    for j, label in enumerate(rows or ()):
        bottom = _LABEL_HEIGHT + j * (height + GAP) + height
        draw.text((GAP + 5, bottom - 4), label, BACKGROUND, ImageFont.load_default(12),
                  anchor="ls", stroke_width=2, stroke_fill=INK)  # fmt: skip
    return np.asarray(canvas)


def _fitting_font(label: str, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font in the usual size, or smaller so that the label fits its column."""
    for size in range(_FONT_SIZE, 7, -1):
        font = ImageFont.load_default(size)
        if font.getlength(label) <= width:
            break
    return font
