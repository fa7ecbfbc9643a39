"""Draw head, ears, neck, skin details and clothes."""

import numpy as np

from faceskd.portraits.canvas import Canvas, ellipse, ribbon, smooth
from faceskd.portraits.geometry import CRANIUM_SQUARE, MIRROR, Head

BLOOD = np.array([1.0, 0.8, 0.76])  # factor of skin colour where it is flushed
CREASE = np.array([0.66, 0.56, 0.52])


def outline(head: Head, grow: float = 0.0) -> np.ndarray:
    """The outline of the head without hair, in pixels: jaw and cranium."""
    person = head.person
    turn = np.linspace(0, np.pi, 40)[1:-1]
    radius = 2 / CRANIUM_SQUARE
    x = person.width * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** (2 / person.jaw_roundness)
    y = -person.cranium * np.sin(turn) ** radius
    cranium = head.place(np.stack([x, y], axis=1) * (1 + grow))
    return np.concatenate([smooth(head.place(head.jaw * (1 + grow))), cranium])


def draw_neck(canvas: Canvas, head: Head) -> None:
    """Draw the neck with the shadow of the chin, and the shoulders with clothes."""
    person, unit = head.person, head.unit
    neck = 0.62 * person.width + 0.06 * person.masculine
    chin = head.place([0.0, person.chin])
    lean = head.place([[0.0, 0.6]])[0] * 0.5 + chin * 0.5
    bottom = canvas.size * 1.25
    x, y = (head.origin[0] + lean[0]) / 2, chin[1]
    side = np.array(
        [(-neck, -0.75), (-neck, 0.0), (-neck * 1.1, 0.34), (-1.25, 0.62), (-2.4, 0.86)]
    )
    points = np.concatenate([smooth(side[::-1]), smooth(side * MIRROR)]) * unit + (x, y)
    corners = [(canvas.size * 1.6, bottom), (-canvas.size * 0.6, bottom)]
    shape = np.concatenate([points, corners])
    skin = np.array(person.skin)
    mask = canvas.mask(shape)
    canvas.build(mask, skin * 0.93)
    canvas.glow(
        (x, y - 0.2 * unit),
        (0.62 * unit, 0.3 * unit),
        CREASE * 0.85,
        multiply=True,
        opacity=0.9,
        clip=mask,
    )
    _shade_neck(canvas, head, neck, np.array([x, y]), mask)
    _draw_clothes(canvas, head, np.array([x, y]))


def _shade_neck(
    canvas: Canvas, head: Head, neck: float, chin: np.ndarray, mask: np.ndarray
) -> None:
    unit, shade = head.unit, np.array([0.55, 0.5, 0.5])
    edge = np.array([(-neck * 1.02, -0.75), (-neck * 1.02, 0.0), (-neck * 1.1, 0.3)])
    for flip in (1.0, -1.0):
        lit = 0.85 if flip * head.photo.light[0] > 0 else 0.4
        line = smooth(edge * (flip, 1)) * unit + chin
        canvas.stroke(
            line, 0.34 * unit, shade, blur=0.09 * unit, opacity=lit * 0.7, clip=mask, multiply=True
        )
        tendon = smooth(np.array([(-0.34, 0.1), (-0.22, 0.4), (-0.08, 0.62)]) * (flip, 1))
        canvas.stroke(
            tendon * unit + chin,
            0.06 * unit,
            shade,
            blur=0.03 * unit,
            opacity=0.25,
            multiply=True,
        )


def _draw_clothes(canvas: Canvas, head: Head, chin: np.ndarray) -> None:
    unit, colour = head.unit, np.array(head.photo.clothes)
    rng = np.random.default_rng(head.photo.texture_seed)
    depth = rng.uniform(0.5, 0.75)
    side = np.array(
        [(0.0, depth), (-0.45, depth * 0.85), (-0.76, 0.24), (-1.3, 0.53), (-2.6, 0.82)]
    )
    collar = np.concatenate([smooth(side[::-1]), smooth(side * MIRROR)[1:]]) * unit + chin
    bottom = canvas.size * 1.3
    shape = np.concatenate([collar, [(canvas.size * 1.7, bottom), (-canvas.size * 0.7, bottom)]])
    mask = canvas.mask(shape)
    canvas.build(mask, colour)
    hem = np.concatenate([smooth(side[2::-1]), smooth((side * MIRROR)[:3])[1:]]) * unit + chin
    canvas.stroke(
        hem + np.array([0, 0.05 * unit]),
        0.09 * unit,
        (0.75, 0.75, 0.77),
        blur=0.008 * unit,
        clip=mask,
        multiply=True,
    )


def draw_ears(canvas: Canvas, head: Head) -> None:
    """Draw both ears; a head that is turned hides one of them."""
    person, unit, skin = head.person, head.unit, np.array(head.person.skin)
    for side in (-1.0, 1.0):
        rim = np.array(
            [(0.92, -0.2), (1.07, -0.27), (1.16, -0.1), (1.11, 0.25), (1.0, 0.52), (0.92, 0.5)]
        )
        rim = rim * (side * person.width, 1.0)
        placed = head.project(np.concatenate([smooth(rim), np.full((41, 1), -0.12)], axis=1))
        ear = canvas.mask(placed)
        canvas.build(ear, skin * (1.0, 0.93, 0.92))
        inner = (rim - (1.02 * side * person.width, 0.1)) * 0.62 + (
            side * person.width * 1.02,
            0.08,
        )
        fold = head.project(np.concatenate([smooth(inner[1:5]), np.full((25, 1), -0.12)], axis=1))
        canvas.stroke(
            fold, 0.06 * unit, CREASE, blur=0.015 * unit, opacity=0.7, clip=ear, multiply=True
        )


def draw_skin(canvas: Canvas, head: Head, mask: np.ndarray) -> None:
    """Draw the skin of the head: base colour, flushed cheeks, wrinkles, freckles, moles."""
    person, unit = head.person, head.unit
    canvas.build(mask, person.skin)
    flush = 0.5 * (1 - 0.5 * person.tone)
    for x, y, spread, amount in (
        (-0.55, 0.5, 0.24, 1),
        (0.55, 0.5, 0.24, 1),
        (0, person.nose_length - 0.1, 0.17, 0.8),
        (0, person.chin - 0.2, 0.16, 0.4),
    ):
        canvas.glow(
            head.place([x, y]),
            (spread * unit, 0.8 * spread * unit),
            BLOOD,
            opacity=flush * amount,
            clip=mask,
            multiply=True,
        )
    _draw_wrinkles(canvas, head, mask)
    _draw_spots(canvas, head, mask)


def _draw_wrinkles(canvas: Canvas, head: Head, mask: np.ndarray) -> None:
    person, photo, unit = head.person, head.photo, head.unit
    old = (person.age - 18) / 62
    corner_x, nose, mouth = person.mouth_width, person.nose_length, person.mouth_y
    spacing = person.eye_spacing
    lines = [  # points of the right side, width, opacity
        (
            [(0.27, nose - 0.12), (0.4, nose + 0.08), (corner_x + 0.12, mouth - 0.02)],
            0.05,
            0.2 + 0.45 * old + 0.3 * max(photo.smile, 0),
        ),
        ([(spacing - 0.2, 0.15), (spacing, 0.21), (spacing + 0.2, 0.16)], 0.05, 0.2 + 0.4 * old),
        ([(corner_x + 0.06, mouth + 0.1), (corner_x + 0.07, mouth + 0.26)], 0.03, 0.5 * old),
    ]
    for spread in (-0.05, 0.02, 0.09):
        crow = [(spacing + 0.26, spread), (spacing + 0.38, 1.8 * spread - 0.01)]
        lines.append((crow, 0.014, 0.6 * max(old - 0.2, 0) * (0.5 + 0.5 * max(photo.smile, 0))))
    for points, width, opacity in lines:
        for flip in (1.0, -1.0):
            curve = head.place(smooth(np.array(points) * (flip, 1)))
            taper = np.sin(np.linspace(0.15, np.pi - 0.15, len(curve))) * width * unit
            canvas.stroke(
                curve,
                taper,
                CREASE,
                blur=0.35 * width * unit,
                opacity=min(opacity, 1),
                clip=mask,
                multiply=True,
            )
    _draw_forehead_lines(canvas, head, 0.65 * max(old - 0.25, 0), mask)


def _draw_forehead_lines(canvas: Canvas, head: Head, opacity: float, mask: np.ndarray) -> None:
    person, unit = head.person, head.unit
    for step in range(3):
        y = -person.brow_height - 0.22 - 0.13 * step
        bend = np.array([(-0.5, y + 0.03), (-0.2, y), (0.05, y + 0.02), (0.3, y), (0.52, y + 0.04)])
        curve = head.place(smooth(bend))
        canvas.stroke(
            curve,
            np.sin(np.linspace(0.1, 3.04, len(curve))) * 0.022 * unit,
            CREASE,
            blur=0.01 * unit,
            opacity=opacity,
            clip=mask,
            multiply=True,
        )


def _draw_spots(canvas: Canvas, head: Head, mask: np.ndarray) -> None:
    rng = np.random.default_rng(head.person.detail_seed)
    unit = head.unit
    places = rng.normal((0, 0.35), (0.42, 0.22), (head.person.freckles, 2))
    sizes = rng.uniform(0.006, 0.013, len(places)) * unit
    for place, radius in zip(head.place(places), sizes, strict=True):
        canvas.glow(
            place, (radius, radius), (0.78, 0.64, 0.52), opacity=0.8, clip=mask, multiply=True
        )
    for place in head.place(rng.uniform((-0.8, -0.8), (0.8, 1.3), (int(rng.integers(5)) // 2, 2))):
        radius = rng.uniform(0.012, 0.02) * unit
        canvas.fill(
            ellipse(place, (radius, radius)),
            (0.42, 0.34, 0.32),
            blur=0.5,
            opacity=0.85,
            clip=mask,
            multiply=True,
        )


def brow_band(points: np.ndarray, thickness: float) -> np.ndarray:
    """The outline of a brow around its five landmarks, in pixels."""
    curve = smooth(points)
    taper = np.interp(np.linspace(0, 1, len(curve)), [0, 0.35, 0.8, 1], [0.25, 0.8, 1.0, 0.75])
    return ribbon(curve, taper * thickness)
