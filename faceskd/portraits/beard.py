"""Draw beards: stubble, moustache, goatee, full beard."""

import numpy as np

from faceskd.portraits.canvas import Canvas, smooth
from faceskd.portraits.geometry import Head


def draw_beard(canvas: Canvas, head: Head, skin: np.ndarray) -> None:
    """Draw stubble, moustache, goatee or full beard. The lips are drawn later, on top."""
    kind, person, unit = head.person.beard, head.person, head.unit
    if kind == "none":
        return
    rng = np.random.default_rng(person.detail_seed + 4)
    colour = np.array(person.hair) * 0.85
    region = _beard_region(canvas, head, kind) * skin
    dense = {"stubble": 0.28, "full": 0.8}.get(kind, 0.75)
    canvas.paint(region, colour, opacity=dense)
    ys, xs = np.nonzero(region > 0.3)
    if not len(xs):
        return
    count = 1500 if kind in ("full", "stubble") else 500
    chosen = rng.integers(0, len(xs), count)
    start = np.stack([xs[chosen], ys[chosen]], axis=1) + rng.uniform(-0.5, 0.5, (count, 2))
    away = start - head.landmarks[33]
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1)
    length = unit * (0.02 if kind == "stubble" else 0.08) * rng.uniform(0.5, 1.2, (count, 1))
    end = start + (away * (1, 0.6) + (0, 0.6) + rng.normal(0, 0.25, (count, 2))) * length
    lines = np.stack([start, end], axis=1)
    for half, grey in ((slice(0, None, 2), 0.55), (slice(1, None, 2), 1.25)):
        canvas.hairs(lines[half], np.clip(colour * grey, 0, 1), opacity=0.55)


def _beard_region(canvas: Canvas, head: Head, kind: str) -> np.ndarray:
    person, unit, mouth = head.person, head.unit, head.person.mouth_y
    half, nose = person.mouth_width, person.nose_length
    lip = [
        (-half - 0.06, mouth + 0.06),
        (-half * 0.8, mouth - 0.12),
        (-0.12, nose + 0.12),
        (0.12, nose + 0.12),
        (half * 0.8, mouth - 0.12),
        (half + 0.06, mouth + 0.06),
    ]
    moustache = [*lip, (half * 0.5, mouth + 0.02), (-half * 0.5, mouth + 0.02)]
    if kind == "moustache":
        return canvas.mask(head.place(np.array(moustache), 0.03), blur=0.02 * unit)
    if kind == "goatee":
        edge = np.array(
            [
                (half + 0.06, mouth),
                (half + 0.1, mouth + 0.25),
                (0.3, person.chin - 0.03),
                (0, person.chin + 0.04),
            ]
        )
        shape = np.concatenate([np.array(lip), smooth(edge), smooth((edge * (-1, 1))[::-1])])
        return canvas.mask(head.place(shape, 0.03), blur=0.025 * unit)
    cheek = np.array([(0.99, 0.05), (0.9, 0.3), (0.78, 0.62), (half + 0.16, mouth - 0.12)])
    jaw = head.jaw[1:16] * (1.02, 1.03)
    upper = np.concatenate(
        [smooth(cheek * (-person.width, 1)), lip[1:5], smooth((cheek * (person.width, 1))[::-1])]
    )
    shape = np.concatenate([head.place(upper), head.place(jaw[::-1])])
    return canvas.mask(shape, blur=0.035 * unit)
