"""Draw eyes, brows and glasses, as curves through their landmarks."""

import numpy as np

from faceskd.portraits.body import CREASE, brow_band
from faceskd.portraits.canvas import Canvas, ellipse, smooth
from faceskd.portraits.geometry import Head

PUPIL = 0.036
IRIS = 0.088  # head units; about 12 mm across
LASH = np.array([0.1, 0.07, 0.06])


def draw_eye(canvas: Canvas, head: Head, side: int) -> None:
    """Draw one eye through its six landmarks; `side` is -1 for the left of the picture, else 1."""
    unit, points = head.unit, head.landmarks[36:42] if side < 0 else head.landmarks[42:48]
    upper, lower = smooth(points[:4]), smooth(points[[3, 4, 5, 0]])
    centre = points.mean(axis=0)
    canvas.glow(
        centre - (0, 0.1 * unit), (0.23 * unit, 0.09 * unit), CREASE, opacity=0.5, multiply=True
    )
    shape = np.concatenate([upper, lower[1:-1]])
    opening = canvas.mask(shape)
    canvas.paint(opening, (0.84, 0.82, 0.8))
    canvas.stroke(
        np.concatenate([shape, shape[:1]]),
        0.07 * unit,
        (0.72, 0.6, 0.58),
        blur=0.025 * unit,
        opacity=0.7,
        clip=opening,
        multiply=True,
    )
    inner = points[3] if side < 0 else points[0]
    canvas.glow(inner, (0.03 * unit, 0.025 * unit), (0.78, 0.5, 0.47), opacity=0.8, clip=opening)
    _draw_iris(canvas, head, head.eyeball(side), opening)
    canvas.stroke(
        upper + np.array([0, 0.015 * unit]),
        0.06 * unit,
        (0.4, 0.36, 0.36),
        blur=0.018 * unit,
        opacity=0.8,
        clip=opening,
        multiply=True,
    )
    _draw_lids(canvas, head, upper, lower, side)


def _draw_iris(canvas: Canvas, head: Head, centre: np.ndarray, opening: np.ndarray) -> None:
    unit, colour = head.unit, np.array(head.person.iris)
    rng = np.random.default_rng(head.person.detail_seed)
    radius = IRIS * unit
    canvas.fill(ellipse(centre, (radius, radius)), colour * 0.45, blur=0.008 * unit, clip=opening)
    canvas.fill(
        ellipse(centre, (0.86 * radius, 0.86 * radius)), colour, blur=0.01 * unit, clip=opening
    )
    angle = np.arange(0, 2 * np.pi, 0.21) + rng.uniform(0, 0.2, 30)
    ways = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    fibres = centre + ways[:, None] * radius * np.array([0.45, 0.85])[:, None]
    canvas.hairs(fibres[::2], np.clip(colour * 1.45, 0, 1), opacity=0.5, clip=opening)
    canvas.hairs(fibres[1::2], colour * 0.6, opacity=0.5, clip=opening)
    canvas.glow(
        centre + np.array([0, 0.45 * radius]),
        (0.5 * radius, 0.3 * radius),
        np.clip(colour * 1.7, 0, 1),
        opacity=0.5,
        clip=opening,
    )
    pupil = PUPIL * unit
    canvas.fill(
        ellipse(centre, (pupil, pupil)), (0.03, 0.025, 0.025), blur=0.004 * unit, clip=opening
    )


def _draw_lids(canvas: Canvas, head: Head, upper: np.ndarray, lower: np.ndarray, side: int) -> None:
    person, unit = head.person, head.unit
    along = np.linspace(0, 1, len(upper)) if side > 0 else np.linspace(1, 0, len(upper))
    fold = upper * (1, 1) + np.stack([0 * along, -(0.045 + 0.03 * np.sin(np.pi * along)) * unit], 1)
    canvas.stroke(
        fold[2:-1],
        0.028 * unit * np.sin(np.linspace(0.3, 2.8, len(fold) - 3)),
        CREASE,
        blur=0.006 * unit,
        opacity=0.85,
        multiply=True,
    )
    taper = np.interp(along, [0, 0.2, 0.8, 1], [0.35, 0.8, 1.1, 0.7])
    canvas.stroke(upper, taper * (0.022 + 0.018 * person.lash) * unit, LASH, opacity=0.92)
    canvas.stroke(lower, 0.018 * unit, LASH + 0.1, blur=0.004 * unit, opacity=0.35)
    canvas.stroke(
        lower + np.array([0, 0.022 * unit]),
        0.02 * unit,
        np.array([1.12, 1.08, 1.06]),
        blur=0.005 * unit,
        opacity=0.5,
        multiply=True,
    )
    if person.lash > 0.5:
        for i in range(2, len(upper) - 1, 2):
            out = side * (along[i] - 0.35) * 0.1
            way = np.array([out, -0.05 - 0.015 * along[i]]) * unit * person.lash
            hair = upper[i] + np.outer([0, 0.55, 1.0], way) + [(0, 0), (0, 0.008 * unit), (0, 0)]
            canvas.stroke(hair, np.array([0.014, 0.01, 0.003]) * unit, LASH, opacity=0.8)


def draw_catchlights(canvas: Canvas, head: Head) -> None:
    """Draw the light reflections in both eyes, after shading, which does not darken them."""
    light, unit = head.photo.light, head.unit
    for side, eye in ((-1, slice(36, 42)), (1, slice(42, 48))):
        points = head.landmarks[eye]
        opening = canvas.mask(
            np.concatenate([smooth(points[:4]), smooth(points[[3, 4, 5, 0]])[1:-1]])
        )
        spot = head.eyeball(side) + np.array([light[0] * 0.7, light[1] * 0.6]) * IRIS * 0.75 * unit
        canvas.fill(
            ellipse(spot, (0.018 * unit, 0.016 * unit)),
            (1, 1, 1),
            blur=0.004 * unit,
            opacity=0.9,
            clip=opening,
        )


def draw_brows(canvas: Canvas, head: Head) -> None:
    """Draw both brows: a soft band with hairs."""
    person, unit = head.person, head.unit
    rng = np.random.default_rng(person.detail_seed + 1)
    colour = np.array(person.hair) * (0.72, 0.62, 0.55)
    thickness = person.brow_thickness * 1.9 * unit
    for points in (head.landmarks[17:22], head.landmarks[22:27][::-1]):
        canvas.fill(brow_band(points, thickness), colour, blur=0.016 * unit, opacity=0.62)
        curve, toward = smooth(points), np.sign(points[0, 0] - points[-1, 0])
        place = rng.uniform(0.02, 0.98, 130)
        at = curve[(place * len(curve)).astype(int)]
        taper = np.interp(place, [0, 0.35, 0.8, 1], [0.25, 0.8, 1.0, 0.75])
        drop = rng.uniform(-0.15, 0.55, 130) * taper * thickness
        lean = np.interp(place, [0, 0.5, 1], [0.25, -0.3, -0.85])
        ways = np.stack([toward * (0.75 + 0.25 * lean), -0.2 + 0.55 * lean], axis=1) * 0.085 * unit
        start = at + np.stack([0 * drop, drop], axis=1)
        lines = np.stack([start, start + ways], axis=1)
        canvas.hairs(lines[::3], np.clip(colour * 1.2, 0, 1), opacity=0.4)
        canvas.hairs(lines[1::3], colour * 0.5, opacity=0.55)


def draw_glasses(canvas: Canvas, head: Head) -> None:
    """Draw glasses if the person wears any."""
    person, unit = head.person, head.unit
    if person.glasses == "none":
        return
    rng = np.random.default_rng(person.detail_seed + 3)
    colour = np.array([(0.08, 0.07, 0.07), (0.3, 0.18, 0.1), (0.55, 0.5, 0.42)][rng.integers(3)])
    thick = rng.uniform(0.03, 0.06) * unit
    turn = np.linspace(0, 2 * np.pi, 49)
    power = 1.0 if person.glasses == "round" else 0.55
    radii = (0.32, 0.29) if person.glasses == "round" else (0.35, 0.25)
    x = radii[0] * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** power
    y = 0.05 + radii[1] * np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** power
    centre = person.eye_spacing + 0.01
    for side in (-1, 1):
        flat = np.stack([x + side * centre, y, np.full_like(x, 0.78)], axis=1)
        rim = head.project(flat)
        lens = canvas.mask(rim)
        canvas.stroke(
            rim + np.array([0, 0.05 * unit]),
            thick * 1.3,
            (0.72, 0.66, 0.64),
            blur=0.025 * unit,
            opacity=0.5,
            multiply=True,
        )
        canvas.paint(lens, (1, 1, 1), opacity=0.04)
        glare = head.project(
            np.array([(side * centre - 0.2, -0.15, 0.78), (side * centre + 0.02, 0.25, 0.78)])
        )
        canvas.stroke(glare, 0.1 * unit, (1, 1, 1), blur=0.02 * unit, opacity=0.14, clip=lens)
        canvas.stroke(rim, thick, colour)
        temple = np.array(
            [(side * (centre + radii[0]), -0.02, 0.76), (side * person.width * 1.0, -0.06, 0.0)]
        )
        canvas.stroke(head.project(temple), thick * 0.9, colour)
    gap = centre - radii[0]
    bridge = np.array([(-gap, 0.02, 0.8), (0, -0.035, 0.86), (gap, 0.02, 0.8)])
    canvas.stroke(smooth(head.project(bridge)), thick, colour)
