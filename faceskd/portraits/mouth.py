"""Draw nose and mouth, as curves through their landmarks."""

import numpy as np

from faceskd.portraits.body import BLOOD, CREASE
from faceskd.portraits.canvas import Canvas, ellipse, smooth
from faceskd.portraits.geometry import Head


def draw_nose(canvas: Canvas, head: Head) -> None:
    """Draw nostrils, sides of the nose, and the shadow below. Lighting shapes the ridge."""
    unit, points = head.unit, head.landmarks
    tip, base = points[30], points[31:36]
    axis = (base[4] - base[0]) / np.linalg.norm(base[4] - base[0])
    down = np.array([-axis[1], axis[0]])
    width = np.linalg.norm(base[4] - base[0])
    canvas.glow(
        base[2] + 0.02 * unit * down,
        (0.2 * unit, 0.045 * unit),
        CREASE,
        angle=np.arctan2(axis[1], axis[0]),
        opacity=0.4,
        multiply=True,
    )
    for corner, under, flip in ((base[0], base[1], -1.0), (base[4], base[3], 1.0)):
        wing = np.array(
            [
                corner - 0.17 * unit * down + flip * 0.0 * axis,
                corner - 0.1 * unit * down + flip * 0.16 * width * axis,
                corner + flip * 0.1 * width * axis,
                0.55 * corner + 0.45 * under + 0.01 * unit * down,
            ]
        )
        curve = smooth(wing)
        taper = np.interp(np.linspace(0, 1, len(curve)), [0, 0.3, 0.8, 1], [0.1, 0.9, 1, 0.5])
        canvas.stroke(
            curve, taper * 0.035 * unit, CREASE, blur=0.011 * unit, opacity=0.65, multiply=True
        )
        hole = 0.25 * corner + 0.75 * under - 0.035 * unit * down
        canvas.fill(
            ellipse(hole, (0.068 * unit, 0.032 * unit), np.arctan2(axis[1], axis[0]) + flip * 0.3),
            np.array([0.28, 0.17, 0.15]),
            blur=0.012 * unit,
            opacity=0.9,
            multiply=True,
        )
    canvas.stroke(
        smooth(base[1:4]), 0.022 * unit, CREASE, blur=0.008 * unit, opacity=0.75, multiply=True
    )
    canvas.glow(tip, (0.11 * unit, 0.1 * unit), BLOOD, opacity=0.25, multiply=True)


def draw_mouth(canvas: Canvas, head: Head) -> None:
    """Draw lips through the outer and inner landmarks, and teeth and tongue if they are open."""
    person, photo, unit = head.person, head.photo, head.unit
    outer, inner = head.landmarks[48:60], head.landmarks[60:68]
    skin = np.array(person.skin)
    lips = (
        skin * (0.84, 0.6, 0.63) * (1 - person.lip_paint)
        + np.array([0.66, 0.2, 0.24]) * person.lip_paint
    )
    top, low = smooth(outer[:7]), smooth(outer[[6, 7, 8, 9, 10, 11, 0]])
    inner_top, inner_low = smooth(inner[:5]), smooth(inner[[4, 5, 6, 7, 0]])
    canvas.glow(
        outer[9] + (0, 0.09 * unit), (0.2 * unit, 0.05 * unit), CREASE, opacity=0.55, multiply=True
    )
    for x, y in (outer[0], outer[6]):
        canvas.glow((x, y), (0.05 * unit, 0.04 * unit), CREASE, opacity=0.6, multiply=True)
    _draw_lips(canvas, head, lips, (top, inner_top), (low, inner_low))
    if photo.mouth_open > 0:
        _draw_cavity(canvas, head, inner_top, inner_low)
    line = np.concatenate([outer[:1], inner_top, outer[6:7]])
    taper = np.sin(np.linspace(0.2, np.pi - 0.2, len(line)))
    canvas.stroke(
        line,
        (0.012 + 0.012 * taper) * unit,
        lips * (0.35, 0.25, 0.25),
        blur=0.005 * unit,
        opacity=0.85,
    )


def _draw_lips(
    canvas: Canvas,
    head: Head,
    colour: np.ndarray,
    upper: tuple[np.ndarray, np.ndarray],
    lower: tuple[np.ndarray, np.ndarray],
) -> None:
    (top, inner_top), (low, inner_low), unit = upper, lower, head.unit
    upper_lip = np.concatenate([top, inner_top[::-1]])
    lower_lip = np.concatenate([low, inner_low[::-1]])
    whole = canvas.mask(np.concatenate([top, low[1:-1]]), blur=0.008 * unit)
    canvas.paint(whole, colour)
    canvas.fill(upper_lip, (0.84, 0.8, 0.82), blur=0.006 * unit, clip=whole, multiply=True)
    canvas.glow(
        low[len(low) // 2] * 0.6 + inner_low[len(inner_low) // 2] * 0.4,
        (0.15 * unit, 0.03 * unit),
        (1.16, 1.18, 1.18),
        clip=whole,
        multiply=True,
    )
    rng = np.random.default_rng(head.person.detail_seed + 2)
    place = rng.uniform(0.12, 0.88, 26)
    start, end = inner_low[(place * 32).astype(int)], low[(place * 48).astype(int)]
    canvas.hairs(
        np.stack([start, end * 0.85 + start * 0.15], axis=1),
        (0.84, 0.78, 0.78),
        opacity=0.7,
        clip=canvas.mask(lower_lip),
        multiply=True,
    )


def _draw_cavity(canvas: Canvas, head: Head, top: np.ndarray, low: np.ndarray) -> None:
    unit, gap = head.unit, head.photo.mouth_open
    cavity = canvas.mask(np.concatenate([top, low[1:-1]]))
    canvas.paint(cavity, (0.16, 0.05, 0.05))
    middle = (top[16] + low[16]) / 2
    canvas.glow(
        middle + np.array([0, 0.35 * gap * unit]),
        (0.14 * unit, 0.06 * unit),
        (0.6, 0.27, 0.26),
        clip=cavity,
    )
    _draw_teeth(canvas, head, top, low, cavity)
    edge_shade: dict = {"opacity": 0.7, "clip": cavity, "multiply": True}
    canvas.stroke(top, 0.07 * unit, (0.4, 0.32, 0.32), blur=0.02 * unit, **edge_shade)
    for corner in (top[0], top[-1]):
        canvas.glow(corner, (0.09 * unit, 0.09 * unit), (0.1, 0.0, 0.0), **edge_shade)


def _draw_teeth(
    canvas: Canvas, head: Head, top: np.ndarray, low: np.ndarray, cavity: np.ndarray
) -> None:
    unit, middle = head.unit, (top[16] + low[16]) / 2
    length = min(0.13, 0.75 * head.photo.mouth_open) * unit
    down = low[16] - top[16]
    down = down / max(np.linalg.norm(down), 1e-6)
    edge = top[3:-3]
    bow = np.sin(np.linspace(0, np.pi, len(edge)))[:, None]
    teeth = np.concatenate([edge, (edge + down * length * (0.65 + 0.35 * bow))[::-1]])
    canvas.fill(teeth, (0.93, 0.91, 0.87), blur=0.006 * unit, clip=cavity)
    across = top[-1] - top[0]
    steps = np.arange(-4, 5)[:, None]
    gaps = middle + across * 0.098 * steps * (1 - 0.025 * abs(steps))
    reach = down * 0.2 * unit
    canvas.hairs(
        np.stack([gaps - reach, gaps + reach], axis=1),
        (0.72, 0.66, 0.62),
        opacity=0.7,
        clip=canvas.mask(teeth) * cavity,
        multiply=True,
    )
