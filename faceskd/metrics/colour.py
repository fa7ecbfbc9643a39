"""Colour of skin and irises in CIELAB: how light the skin is, and how far SR faces shift colours.

The landmarks of the HR face define the regions. Skin is two discs on the cheeks, halfway between
the eyes and the corners of the mouth. Irises are the darker half of a disc around the centre of
each eye, which excludes the white of the eye, lids and highlights. The darker half is determined in
each image separately. So an iris that moved by a pixel does not count as a colour shift, but a
blurred one still appears lighter.

The colour of a region is the median of L*, of a* and of b*, which scikit-image computes (D65).
OpenCV's conversion uses tables and is wrong by up to 0.4.
"""

from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from skimage.color import rgb2lab
from torch import Tensor

from faceskd.common.checks import check_choice
from faceskd.common.images import to_uint8
from faceskd.metrics.base import ImageMetric, check_landmarks

Region = Literal["skin", "iris"]
REGIONS: tuple[Region, ...] = get_args(Region)
AXES = ("L", "a", "b")
TYPOLOGY_ANGLE = "ita"
SHIFT_NAMES = tuple(f"{region}_{axis}" for region in REGIONS for axis in AXES)
COLOUR_NAMES = (TYPOLOGY_ANGLE, *SHIFT_NAMES)

CHEEK_RADIUS = 0.12
IRIS_RADIUS = 0.10
"""Radii as shares of the distance between the eyes (irises: 11.7 mm wide, 63 mm apart)."""


def region_mask(region: Region, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Mask of the pixels that show skin, or irises.

    Args:
        image: uint8 (H, W, 3).
        landmarks: `faceskd.faces.components.FIVE_POINTS` of the face, (5, 2), in its pixels.

    Returns:
        bool (H, W), with at least one true pixel.
    """
    left, right, _, mouth_left, mouth_right = landmarks
    distance = float(np.linalg.norm(right - left))
    if region == "skin":
        cheeks = ((left + mouth_left) / 2, (right + mouth_right) / 2)
        return np.logical_or(*(_disc(image, centre, CHEEK_RADIUS * distance) for centre in cheeks))
    mask = np.zeros(image.shape[:2], bool)
    for eye in (left, right):
        disc = _disc(image, eye, IRIS_RADIUS * distance)
        lightness = rgb2lab(image[disc])[:, 0]
        mask[disc] = lightness <= np.median(lightness)
    return mask


def _disc(image: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    height, width = image.shape[:2]
    x, y = np.clip(centre, 0.5, (width - 0.5, height - 0.5))  # pixel i has its centre at i + 0.5
    rows, columns = np.ogrid[:height, :width]
    return np.hypot(columns + 0.5 - x, rows + 0.5 - y) <= max(radius, 1.0)


def region_colour(region: Region, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The median L*, a*, b* of a region, (3,); arguments as in `region_mask`."""
    return np.median(rgb2lab(image[region_mask(region, image, landmarks)]), axis=0)


def typology_angle(lightness: float, b: float) -> float:
    """The individual typology angle, atan2(L* - 50, b*) in degrees (Chardon et al., 1991).

    Over 55: very light; over 41: light; over 28: intermediate; over 10: tan; over -30: brown;
    below: dark skin. The angle describes the photo: exposure and white balance change it. It means
    nothing for monochrome photos, whose b* is about 0.

    Examples:
        >>> round(typology_angle(65, 15))
        45
    """
    return float(np.degrees(np.arctan2(lightness - 50, b)))


class SkinTone(ImageMetric):
    """`ita`: typology angle of the skin of the SR face in degrees. Pass HR as SR to measure HR."""

    name = TYPOLOGY_ANGLE
    better = "reference"
    needs_landmarks = True

    def per_image(self, sr: Tensor, hr: Tensor, landmarks: Tensor | None) -> Tensor:
        colours = _region_colours("skin", sr, check_landmarks(landmarks, self.name))
        return hr.new_tensor([typology_angle(lightness, b) for lightness, _, b in colours])


class ColourShift(ImageMetric):
    """`skin_L` ... `iris_b`: colour of a region of the SR face minus that of the HR face.

    In units of CIELAB; a shift of about 2 is visible. L > 0 is lighter, a > 0 redder, b > 0
    yellower, b < 0 bluer.

    Raises:
        ConfigError: there is no such metric.
    """

    better = "reference"
    needs_landmarks = True

    def __init__(self, name: str) -> None:
        check_choice(SHIFT_NAMES, name=name)
        self.name = name
        self._region: Region = REGIONS[SHIFT_NAMES.index(name) // len(AXES)]
        self._axis = SHIFT_NAMES.index(name) % len(AXES)

    def per_image(self, sr: Tensor, hr: Tensor, landmarks: Tensor | None) -> Tensor:
        landmarks = check_landmarks(landmarks, self.name)
        came, wanted = (_region_colours(self._region, images, landmarks) for images in (sr, hr))
        return hr.new_tensor((came - wanted)[:, self._axis])


@lru_cache(maxsize=2 * len(REGIONS))
def _region_colours(region: Region, images: Tensor, landmarks: Tensor) -> np.ndarray:
    """The colour of a region in each image, (B, 3); arguments as in `ImageMetric.per_image`.

    Cached, because several metrics need the same colours, and all methods share the HR images.
    Tensors are compared by identity.
    """
    faces = zip(to_uint8(images), landmarks.cpu().numpy(), strict=True)
    return np.stack([region_colour(region, image, points) for image, points in faces])
