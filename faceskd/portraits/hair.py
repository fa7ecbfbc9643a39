"""Draw hair.

Hair fills the patch between the hairline (t = 0) and the outer contour (t = 1). The coordinate s
goes from the left end over the top to the right end. Strands are curves in the patch.
"""

import itertools
from dataclasses import dataclass

import cv2
import numpy as np

from faceskd.portraits.canvas import Canvas, smooth
from faceskd.portraits.geometry import Head

_TONES = 7
_SHIFT = 4
_GROUND = 105


@dataclass(frozen=True)
class Style:
    """A hairstyle, in head units: end of the sides, distance from the head, hairline."""

    end: float
    side: float
    top: float
    line: float
    flow: str  # "back" from the hairline, "part" to both sides, "coils"
    wave: float = 0.0
    back: float | None = None  # how far down hair falls behind the neck
    density: float = 0.96


STYLES = {
    "buzz": Style(0.0, 0.03, 0.04, -0.98, "back", density=0.72),
    "crew": Style(0.08, 0.06, 0.2, -0.93, "back"),
    "side_part": Style(0.1, 0.09, 0.22, -0.86, "part"),
    "receding": Style(0.05, 0.05, 0.08, -1.2, "back", density=0.85),
    "short_curls": Style(0.05, 0.12, 0.28, -0.85, "coils", wave=0.05),
    "afro": Style(0.3, 0.4, 0.42, -0.85, "coils", wave=0.035),
    "bun": Style(0.02, 0.05, 0.1, -0.92, "back"),
    "bob": Style(1.1, 0.2, 0.2, -0.5, "part", back=1.2),
    "long": Style(2.4, 0.16, 0.18, -0.9, "part", back=2.4),
    "wavy": Style(2.2, 0.26, 0.24, -0.88, "part", wave=0.05, back=2.2),
    "curly": Style(1.2, 0.34, 0.32, -0.84, "coils", wave=0.06, back=1.4),
}


class Hair:
    """The hair of one head. Draw the back before the neck, and the front after the face."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self.style = STYLES[head.person.hairstyle]
        self.rng = np.random.default_rng([head.person.detail_seed, head.photo.texture_seed])
        self.inner, self.outer = self._contours(self.style)

    def _contours(self, style: Style) -> tuple[np.ndarray, np.ndarray]:
        person = self.head.person
        rng = np.random.default_rng(person.detail_seed + 5)
        low = np.linspace(style.end, -0.1, 6)
        turn = np.linspace(0.12, np.pi - 0.12, 15)
        reach = person.width + style.side
        inward = np.clip(low - 0.3, 0, None) * 0.12
        left_in = np.stack([-person.width * 0.97 + inward * (style.end > 0.5), low], axis=1)
        flare = np.clip(low - 0.1, 0, 1.2) * style.side * 0.6
        if style.end < 0.5 or style.flow == "coils":  # comes back to the head at its end
            flare = style.side * (np.sqrt(np.linspace(0, 1, 6)) - 1)
        left_out = np.stack([-reach - flare, low], axis=1)
        temple = -0.3
        sharp = rng.uniform(0.45, 0.7)
        line = temple + (style.line - temple) * np.sin(turn) ** sharp
        line += 0.07 * (person.part - 0.5) * np.cos(turn)
        in_top = np.stack([-0.93 * person.width * np.cos(turn), line], axis=1)
        out_x = -reach * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** 0.92
        out_y = -0.1 - (person.cranium + style.top - 0.1) * np.sin(turn) ** 0.9
        out_top = np.stack([out_x, out_y], axis=1)
        if style.wave:
            out_top *= 1 + rng.normal(0, 0.35 * style.wave, (len(turn), 1))
        inner = np.concatenate([left_in, in_top, left_in[::-1] * (-1, 1)])
        outer = np.concatenate([left_out, out_top, left_out[::-1] * (-1, 1)])
        return self._lift(inner, 0.05), self._lift(outer, -0.05)

    def _lift(self, points: np.ndarray, lift: float) -> np.ndarray:
        depth = self.head.depth(points) + lift
        return np.concatenate([points, depth[:, None]], axis=1)

    def patch(self, s: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Patch coordinates s and t, each (...,) -> pixels (..., 2)."""
        inner, outer = smooth(self.inner, 4), smooth(self.outer, 4)
        at = s * (len(inner) - 1)
        index = np.arange(len(inner))
        mixed = [
            np.interp(at, index, inner[:, axis]) * (1 - t)
            + np.interp(at, index, outer[:, axis]) * t
            for axis in range(3)
        ]
        return self.head.project(np.stack(mixed, axis=-1))

    def _outline(self) -> np.ndarray:
        s = np.linspace(0, 1, 120)
        return np.concatenate([self.patch(s, np.zeros(120)), self.patch(s[::-1], np.ones(120))])

    def draw_back(self, canvas: Canvas) -> None:
        """Draw the hair behind ears and neck: the back of long hair, or a bun."""
        style, person, unit = self.style, self.head.person, self.head.unit
        if person.hairstyle == "bun":
            knot = self.head.project(np.array([0.1, -person.cranium - 0.22, -0.4]))
            turn = np.linspace(0, 2 * np.pi, 40)
            shape = knot + np.stack([0.4 * np.cos(turn), 0.33 * np.sin(turn)], 1) * unit
            arcs = [
                knot
                + np.stack([r * np.cos(turn[:24] + a), 0.8 * r * np.sin(turn[:24] + a)], 1) * unit
                for r, a in self.rng.uniform((0.1, 0), (0.38, 6.3), (90, 2))
            ]
            self._strands(canvas, canvas.mask(shape), arcs, 0.8)
        if style.back is None:
            return
        reach = person.width + style.side
        x, down = np.meshgrid(np.linspace(-1, 1, 90), np.linspace(0, 1, 14), indexing="ij")
        bottom = style.back + 0.22 * np.sqrt(np.maximum(1 - x**2, 0)) * (style.back < 2)
        y = -0.9 + (bottom + 0.9) * down
        broad = reach * (0.72 + 0.28 * np.sin(np.minimum(down * 2.4, 1) * np.pi / 2))
        broad = broad + 0.35 * style.side * np.maximum(down - 0.5, 0)
        lines = self.head.project(np.stack([x * broad, y, np.full_like(x, -0.35)], axis=-1))
        shape = np.concatenate([lines[0], lines[:, -1], lines[::-1][0][::-1]])
        coiled = style.flow == "coils"
        drawn = self._coil(lines.reshape(-1, 2)) if coiled else self._jitter([*lines] * 3)
        self._strands(canvas, canvas.mask(shape, blur=1), drawn, 0.6)

    def _jitter(self, lines: list[np.ndarray]) -> list[np.ndarray]:
        wave = self.style.wave * self.head.unit
        result = []
        for line in lines:
            phase = self.rng.uniform(0, 6.3)
            sway = wave * 0.7 * np.sin(np.linspace(0, 9, len(line)) + phase)
            shift = self.rng.normal(0, 0.02 * self.head.unit)
            result.append(line + np.stack([sway + shift, 0 * sway], axis=1))
        return result

    def draw_front(self, canvas: Canvas, skin: np.ndarray) -> None:
        """Draw the hair around the face, with its shadow on the forehead."""
        unit, light_x = self.head.unit, self.head.photo.light[0]
        mask = canvas.mask(self._outline(), blur=0.02 * unit)
        shadow = np.roll(mask, (int(0.05 * unit), int(-0.04 * unit * light_x)), axis=(0, 1))
        shadow = cv2.GaussianBlur(shadow, (0, 0), 0.035 * unit)
        canvas.paint(
            shadow, (0.62, 0.54, 0.5), opacity=0.55 * self.style.density, clip=skin, multiply=True
        )
        self._strands(canvas, mask * self.style.density, self._front_lines(), 1.0)

    def _front_lines(self) -> list[np.ndarray]:
        rng, style, part = self.rng, self.style, self.head.person.part
        if style.flow == "coils":
            return self._coils(1100 if style.end < 1 else 1500)
        count = 520
        along = np.linspace(0, 1, 16)[None]
        noise = rng.normal(0, 0.01, (count, 1))
        if style.flow == "back":
            start = rng.uniform(0, 1, (count, 1))
            t = rng.uniform(-0.04, 0.5, (count, 1)) + along * rng.uniform(0.25, 0.6, (count, 1))
            s = start + 0.03 * (part - 0.5) * along + noise * along
            return list(self.patch(np.clip(s, 0, 1), np.clip(t, -0.05, 1.02)))
        ends = rng.integers(0, 2, (count, 1)).astype(float)
        middle = 0.35 + 0.3 * part
        first, last = np.sort(rng.uniform(0, 1.15, (2, count, 1)), axis=0)
        first, last = np.maximum(first - 0.3, 0), np.minimum(last + 0.15, 1)
        s = middle + (ends - middle) * (first + (last - first) * along)
        spread = rng.uniform(-0.02, 1.02, (count, 1)) + rng.normal(0, 0.1, (count, 1)) * along
        wave = style.wave * 1.6 * np.sin(along * 22 + rng.uniform(0, 6.3, (count, 1)) * 0.25)
        t = spread + noise * 3 * along + wave * along
        return list(self.patch(s, np.clip(t, -0.06, 1.06)))

    def _coils(self, count: int) -> list[np.ndarray]:
        rng = self.rng
        return self._coil(self.patch(rng.uniform(0, 1, count), rng.uniform(-0.04, 1.05, count)))

    def _coil(self, centres: np.ndarray) -> list[np.ndarray]:
        rng, count = self.rng, len(centres)
        turn = np.linspace(0, 1, 9)[None] * rng.uniform(2.5, 5.5, (count, 1))
        turn = turn + rng.uniform(0, 6.3, (count, 1))
        size = self.style.wave * rng.uniform(0.5, 1.4, (count, 1)) * self.head.unit
        arcs = np.stack([np.cos(turn) * size, np.sin(turn) * size * 0.8], axis=-1)
        return list(centres[:, None] + arcs)

    def _strands(self, canvas: Canvas, mask: np.ndarray, lines: list, shade: float) -> None:
        """Draw hair in `mask`, and strands along `lines` (N, 2) slightly beyond its edge."""
        tone = np.full(mask.shape, _GROUND, np.uint8)
        fixed = [np.round(line * 2**_SHIFT).astype(np.int32) for line in lines]
        edges = np.linspace(0, len(fixed), 5 * _TONES + 1).astype(int)
        for first, last in itertools.pairwise(edges.tolist()):
            grey = int(self.rng.integers(62, 175))
            cv2.polylines(tone, fixed[first:last], False, grey, 1, cv2.LINE_AA, _SHIFT)
        level = tone.astype(np.float32)
        alpha = np.maximum(mask, np.minimum(np.abs(level - _GROUND) / 40, 0.6))
        factor = level[None] / 118 * shade
        colour = np.array(self.head.person.hair, np.float32)[:, None, None]
        canvas.build(alpha, np.clip(colour * factor + 0.03 * (factor - 1), 0, 1))
