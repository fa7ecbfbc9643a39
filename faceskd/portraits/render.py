"""Draw a synthetic portrait, with its 68 exact landmarks."""

from dataclasses import dataclass

import numpy as np

from faceskd.common.errors import ConfigError
from faceskd.portraits import body, eyes, mouth, scene
from faceskd.portraits.beard import draw_beard
from faceskd.portraits.canvas import Canvas
from faceskd.portraits.geometry import Head
from faceskd.portraits.hair import STYLES, Hair
from faceskd.portraits.light import apply_light
from faceskd.portraits.person import Person, Photo, sample_person, sample_photo

SMALLEST = 128


@dataclass(frozen=True)
class Portrait:
    """A drawn photograph.

    Attributes:
        image: RGB, uint8, (size, size, 3).
        landmarks: the 68 iBUG 300-W points [x, y] in pixels, float32, (68, 2); (0, 0) is the centre
            of the top left pixel. 36-41 is the eye on the left of the picture.
        identity: name of the person; the same for all photos of a person.
    """

    image: np.ndarray
    landmarks: np.ndarray
    identity: str


def identity_name(identity: int) -> str:
    """The name of a person, as in `Portrait.identity`."""
    return f"person-{identity:06d}"


def _head(identity: int, photo: int, size: int) -> Head:
    if identity < 0 or photo < 0:
        raise ConfigError(f"expected identity and photo of 0 or more, got {identity} and {photo}")
    if size < SMALLEST:
        raise ConfigError(f"expected portraits of at least {SMALLEST} pixels, got {size}")
    return Head(sample_person(identity), sample_photo(identity, photo), size)


def portrait_landmarks(identity: int, photo: int = 0, *, size: int = 512) -> np.ndarray:
    """The landmarks of `render_portrait` without drawing it, (68, 2) float32."""
    return _head(identity, photo, size).landmarks.astype(np.float32)


def render_portrait(identity: int, photo: int = 0, *, size: int = 512) -> Portrait:
    """Draw one photo of one person. The same arguments give the same bytes.

    Args:
        identity: number of the person (shape, skin, hair, eyes, brows, beard, glasses); 0 or more.
        photo: number of the photo (pose, light, expression, clothes, background); 0 or more.
        size: side of the picture in pixels, at least 128.

    Raises:
        ConfigError: a number outside these ranges.

    Examples:
        >>> portrait = render_portrait(7, size=128)
        >>> portrait.image.shape, portrait.landmarks.shape
        ((128, 128, 3), (68, 2))
    """
    head = _head(identity, photo, size)
    return Portrait(_draw(head), head.landmarks.astype(np.float32), identity_name(identity))


def draw(person: Person, photo: Photo, *, size: int = 512) -> Portrait:
    """Draw a portrait from a given person and photo."""
    head = Head(person, photo, size)
    return Portrait(_draw(head), head.landmarks.astype(np.float32), "")


def _draw(head: Head) -> np.ndarray:
    canvas = Canvas(head.size)
    hair = Hair(head) if head.person.hairstyle in STYLES else None
    rng = np.random.default_rng([head.photo.texture_seed, 2])
    scene.draw_background(canvas, head)
    if hair:
        hair.draw_back(canvas)
    body.draw_neck(canvas, head)
    body.draw_ears(canvas, head)
    skin = canvas.mask(body.outline(head))
    body.draw_skin(canvas, head, skin)
    draw_beard(canvas, head, skin)
    mouth.draw_nose(canvas, head)
    for side in (-1, 1):
        eyes.draw_eye(canvas, head, side)
    eyes.draw_brows(canvas, head)
    mouth.draw_mouth(canvas, head)
    if hair:
        hair.draw_front(canvas, skin)
    apply_light(canvas, head, 0.022 * scene.grain(head, rng), skin)
    eyes.draw_catchlights(canvas, head)
    eyes.draw_glasses(canvas, head)
    return scene.develop(canvas, rng)
