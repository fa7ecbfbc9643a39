"""The parameters of a portrait: the person, and how the photo was taken.

Lengths are in head units: 1 is half the width of an average face (about 70 mm). The eyes lie at
y = 0, and y points down. The proportions are common anthropometric averages.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]
Palette = Sequence[tuple[int, int, int]]

# From the lightest to the darkest skin, sRGB.
SKIN_TONES = np.array(
    [
        (249, 222, 205),
        (240, 206, 182),
        (229, 187, 155),
        (210, 163, 126),
        (184, 134, 97),
        (150, 102, 71),
        (116, 77, 55),
        (86, 57, 43),
        (66, 45, 36),
    ]
)
DARK_HAIR = ((30, 25, 24), (44, 32, 27), (62, 43, 32))
LIGHT_HAIR = ((98, 68, 46), (141, 101, 66), (166, 130, 92), (182, 152, 116), (132, 62, 34))
GREY_HAIR = ((112, 110, 109), (150, 148, 146), (190, 188, 185))
BROWN_EYES = ((58, 36, 24), (84, 52, 30), (104, 68, 38))
LIGHT_EYES = ((118, 140, 160), (84, 122, 160), (98, 124, 86), (128, 112, 66))
CLOTHES = (
    (38, 44, 62),
    (70, 74, 80),
    (132, 40, 44),
    (224, 222, 216),
    (44, 84, 72),
    (92, 116, 156),
    (28, 28, 30),
    (170, 138, 98),
)
SHORT_STYLES = ("buzz", "crew", "side_part", "receding", "bald", "short_curls", "afro")
LONG_STYLES = ("long", "wavy", "bob", "curly", "bun", "afro", "side_part")


@dataclass(frozen=True)
class Person:
    """What is the same in all photos of a person. Colours are sRGB in [0, 1]."""

    age: float
    masculine: bool
    width: float
    chin: float
    cranium: float
    jaw_roundness: float
    jaw_square: float
    eye_spacing: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    brow_height: float
    brow_thickness: float
    brow_arch: float
    nose_length: float
    nose_width: float
    mouth_y: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    tone: float
    skin: Colour
    hair: Colour
    hairstyle: str
    part: float
    iris: Colour
    lip_paint: float
    lash: float
    beard: str
    freckles: int
    glasses: str
    detail_seed: int


@dataclass(frozen=True)
class Photo:
    """What differs between photos of a person.

    Angles are in radians; `centre` and `scale` are shares of the side of the image. `yaw` > 0 turns
    the face to the right of the picture, `pitch` > 0 down, `roll` > 0 clockwise.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    centre: tuple[float, float] = (0.5, 0.485)
    scale: float = 0.222
    smile: float = 0.2
    mouth_open: float = 0.0
    eye_open: float = 1.0
    brow_raise: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)
    light: tuple[float, float, float] = (0.0, -0.4, 0.92)
    ambient: float = 0.5
    exposure: float = 1.0
    warmth: float = 0.0
    clothes: Colour = (0.2, 0.2, 0.25)
    texture_seed: int = 0


def _pick_colour(rng: np.random.Generator, palette: Palette, jitter: float = 0.06) -> Colour:
    colour = np.array(palette[int(rng.integers(len(palette)))]) / 255
    colour = np.clip(colour * (1 + jitter * rng.uniform(-1, 1, 3)), 0.02, 0.98)
    return tuple(colour.tolist())


def _skin(rng: np.random.Generator, tone: float) -> Colour:
    place = tone * (len(SKIN_TONES) - 1)
    channels = [np.interp(place, np.arange(len(SKIN_TONES)), SKIN_TONES[:, c]) for c in range(3)]
    redness = 1 + np.array([0.0, 0.04, 0.06]) * rng.uniform(-1, 1)
    return tuple(np.clip(np.array(channels) / 255 * redness, 0, 1).tolist())


def _hair_colour(rng: np.random.Generator, tone: float, age: float) -> Colour:
    if age > 45 and rng.random() < (age - 40) / 45:
        return _pick_colour(rng, GREY_HAIR)
    dark = tone > 0.45 or rng.random() < 0.4
    return _pick_colour(rng, DARK_HAIR if dark else LIGHT_HAIR, 0.1)


def _beard(rng: np.random.Generator, masculine: bool) -> str:
    kinds = ("none", "stubble", "moustache", "goatee", "full")
    return str(rng.choice(kinds, p=(0.5, 0.2, 0.06, 0.1, 0.14))) if masculine else "none"


def sample_person(identity: int) -> Person:
    """The person with this number. The same number always gives the same person."""
    rng = np.random.default_rng([1, identity])
    masculine = bool(rng.random() < 0.5)
    male = float(masculine)
    age = float(rng.triangular(18, 32, 80))
    old = (age - 18) / 62
    tone = float(rng.random())
    chin = rng.uniform(1.5, 1.66) + 0.05 * male
    nose_length = rng.uniform(0.6, 0.7) + 0.04 * old
    mouth_y = nose_length + (chin - nose_length) * rng.uniform(0.35, 0.4)
    styles = SHORT_STYLES if masculine and rng.random() < 0.85 else LONG_STYLES
    return Person(
        age=age,
        masculine=masculine,
        width=rng.uniform(0.95, 1.05) + 0.02 * male,
        chin=chin,
        cranium=rng.uniform(1.34, 1.47),
        jaw_roundness=rng.uniform(1.85, 2.15),
        jaw_square=rng.uniform(2.0, 2.6) + 0.35 * male,
        eye_spacing=rng.uniform(0.43, 0.48),
        eye_width=rng.uniform(0.195, 0.225),
        eye_height=rng.uniform(0.095, 0.122) - 0.012 * male - 0.012 * old,
        eye_tilt=rng.uniform(-0.02, 0.035) - 0.02 * old,
        brow_height=rng.uniform(0.29, 0.35) - 0.035 * male,
        brow_thickness=rng.uniform(0.045, 0.07) + 0.03 * male,
        brow_arch=rng.uniform(0.02, 0.07) - 0.01 * male,
        nose_length=nose_length,
        nose_width=rng.uniform(0.2, 0.26) + 0.02 * male + 0.03 * tone,
        mouth_y=mouth_y,
        mouth_width=rng.uniform(0.32, 0.39) + 0.02 * male,
        upper_lip=(rng.uniform(0.075, 0.11) + 0.02 * tone) * (1 - 0.3 * old),
        lower_lip=(rng.uniform(0.115, 0.15) + 0.02 * tone) * (1 - 0.2 * old),
        tone=tone,
        skin=_skin(rng, tone),
        hair=_hair_colour(rng, tone, age),
        hairstyle=str(rng.choice(styles)),
        part=float(rng.uniform(0.3, 0.7)),
        iris=_pick_colour(rng, BROWN_EYES if tone > 0.4 or rng.random() < 0.3 else LIGHT_EYES),
        lip_paint=float(rng.uniform(0.2, 0.9)) if not masculine and rng.random() < 0.5 else 0.0,
        lash=rng.uniform(0.2, 0.5) if masculine else rng.uniform(0.6, 1.0),
        beard=_beard(rng, masculine),
        freckles=int(rng.integers(30, 120)) if tone < 0.4 and rng.random() < 0.3 else 0,
        glasses=str(rng.choice(("none", "round", "square"), p=(0.76, 0.1, 0.14))),
        detail_seed=int(rng.integers(2**31)),
    )


def sample_photo(identity: int, photo: int) -> Photo:
    """The parameters of this photo of this person."""
    rng = np.random.default_rng([2, identity, photo])
    turn = np.clip(rng.normal(0, (9, 5, 4.5), 3), (-22, -11, -12), (22, 11, 12))
    yaw, pitch, roll = np.deg2rad(turn).tolist()
    azimuth, elevation = rng.uniform(-0.9, 0.9), rng.uniform(0.15, 0.85)
    light = (
        float(np.sin(azimuth) * np.cos(elevation)),
        float(-np.sin(elevation)),
        float(np.cos(azimuth) * np.cos(elevation)),
    )
    smile = float(np.clip(rng.normal(0.35, 0.4), -0.25, 1.0))
    is_open = rng.random() < 0.25 + 0.35 * max(smile, 0)
    return Photo(
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        centre=(rng.uniform(0.475, 0.525), rng.uniform(0.475, 0.5)),
        scale=rng.uniform(0.21, 0.232),
        smile=smile,
        mouth_open=rng.uniform(0.04, 0.2) if is_open else 0.0,
        eye_open=rng.uniform(0.85, 1.15) - 0.12 * max(smile, 0),
        brow_raise=rng.uniform(-0.02, 0.05),
        gaze=(rng.uniform(-0.2, 0.2), rng.uniform(-0.1, 0.12)),
        light=light,
        ambient=rng.uniform(0.35, 0.65),
        exposure=rng.uniform(0.9, 1.08),
        warmth=rng.uniform(-0.05, 0.06),
        clothes=_pick_colour(rng, CLOTHES),
        texture_seed=int(rng.integers(2**31)),
    )
