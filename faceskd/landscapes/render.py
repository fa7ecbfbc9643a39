"""Draw a landscape in a season, by day or by night."""

import cv2
import numpy as np

from faceskd.common.checks import check_choice
from faceskd.common.errors import ConfigError
from faceskd.landscapes import colours, plants
from faceskd.landscapes.colours import NIGHT_SKY, PALETTES, SNOW, Palette
from faceskd.landscapes.scene import SEASONS, Scene, Season, sample_scene

SMALLEST = 64
FINE = 2
"""Drawn at this multiple of the size and reduced, for smooth edges."""


def render_landscape(
    number: int, *, season: Season | None = None, night: bool = False, size: int = 256
) -> np.ndarray:
    """Draw one landscape. The same arguments give the same picture.

    Pictures with the same number show the same scene: mountains, trees, house and lake stand at the
    same places. So a translation between seasons can be compared with the truth.

    Args:
        number: number of the scene, 0 or more.
        season: one of `faceskd.landscapes.SEASONS`; None for the scene's own.
        night: at night: moon, stars and lit windows.
        size: side of the picture in pixels, at least 64.

    Returns:
        RGB, uint8, (size, size, 3).

    Raises:
        ConfigError: an argument is outside these ranges.

    Examples:
        >>> render_landscape(3, season="winter", size=64).shape
        (64, 64, 3)
    """
    if number < 0 or size < SMALLEST:
        raise ConfigError(
            f"expected a number of 0 or more and a size of at least {SMALLEST}, got {number} and "
            f"{size}"
        )
    check_choice((*SEASONS, None), season=season)
    scene = sample_scene(number)
    picture = _Picture(scene, PALETTES[season or scene.season], night, FINE * size)
    image = cv2.resize(picture.draw(), (size, size), interpolation=cv2.INTER_AREA)
    grain = np.random.default_rng((scene.seed, 1)).normal(0, 1 / 255, (size, size, 1))
    return np.round(255 * np.clip(image + grain, 0, 1)).astype(np.uint8)


def noise(rng: np.random.Generator, size: int, cells: int, octaves: int = 4) -> np.ndarray:
    """Smooth noise with mean about 0 and values of about -1 to 1, (size, size) float32.

    Random values on grids of `cells`, 2 `cells`, ... cells a side, enlarged and summed with
    weights 1, 1/2, ...
    """
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        grid = rng.uniform(-1, 1, (cells * 2**octave + 1,) * 2).astype(np.float32)
        total += cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC) / 2**octave
    return total


class _Picture:
    """A picture in progress: RGB float32 (size, size, 3) in [0, 1]."""

    def __init__(self, scene: Scene, palette: Palette, night: bool, size: int) -> None:
        self.scene, self.palette, self.night, self.size = scene, palette, night, size
        self.image = np.zeros((size, size, 3), np.float32)
        self.y = ((np.arange(size, dtype=np.float32) + 0.5) / size)[:, None]
        self.x = ((np.arange(size, dtype=np.float32) + 0.5) / size)[None]

    def draw(self) -> np.ndarray:
        self._sky()
        self._mountains()
        self._meadow()
        if self.scene.lake:
            self._lake(*self.scene.lake)
        house = self.scene.house
        for tree in self.scene.trees:
            if house and tree.y > house[1]:
                self._house(*house)
                house = None
            plants.draw_tree(self.image, tree, self.palette, self.light)
        if house:
            self._house(*house)
        return self.image

    @property
    def light(self) -> np.ndarray:
        """Factor of all colours but those of sky and lamps, (3,)."""
        return self.scene.tint * (colours.MOONLIGHT if self.night else 1)

    def rng(self, part: int) -> np.random.Generator:
        """The random numbers of a part of the picture, the same in every season."""
        return np.random.default_rng((self.scene.seed, part))

    def paint(self, share: np.ndarray, colour: np.ndarray) -> None:
        """Lay a colour (3,) or (H, W, 3) over the picture, with a share (H, W) of each pixel."""
        self.image += (colour - self.image) * share[..., None]

    def _sky(self) -> None:
        scene, rng = self.scene, self.rng(2)
        top, bottom = NIGHT_SKY if self.night else self.palette.sky * scene.tint
        fall = np.clip(self.y / scene.horizon, 0, 1)[..., None]
        self.image[:] = top + (bottom - top) * fall
        away = np.hypot(self.x - scene.sun[0], self.y - scene.sun[1])
        if self.night:
            for x, y, bright in rng.uniform(0, 1, (90, 3)):
                spot = round(x * self.size), round(y * scene.horizon * self.size)
                cv2.circle(self.image, spot, 1, (0.5 + 0.5 * bright,) * 3, -1)
        disc, glow = colours.MOON if self.night else colours.SUN
        self.paint(0.6 * np.exp(-((away / 0.11) ** 2)), glow)
        self.paint(np.clip((0.04 - away) * self.size, 0, 1), disc)
        cover = noise(self.rng(3), self.size, 3) * (1 - 0.5 * self.y / scene.horizon)
        share = np.clip(1.6 * (cover - 0.9 + 1.4 * scene.clouds), 0, 0.85)
        self.paint(share, colours.NIGHT_CLOUD if self.night else colours.CLOUD)

    def _mountains(self) -> None:
        horizon, rough = self.scene.horizon, noise(self.rng(4), self.size, 12)
        count = len(self.scene.ridges)
        for index, (height, (frequency, phase)) in enumerate(self.scene.ridges):
            weights = 0.6 ** np.arange(len(phase))
            angles = 2 * np.pi * frequency[:, None] * self.x * 0.7 + phase[:, None]
            waves = (weights[:, None] * np.sin(angles)).sum(0) / weights.sum()
            tall = np.float32(height) * (0.65 + 0.6 * waves.astype(np.float32))
            above = horizon - self.y
            share = np.clip((tall - above) * self.size, 0, 1) * (above > 0)
            line = self.palette.snow_line * height
            white = np.clip((above - line + 0.03 * rough) * 60, 0, 1)[..., None]
            far = 0.6 - 0.35 * index / max(count - 1, 1)
            rock = colours.ROCK * (0.85 + 0.2 * rough[..., None])
            colour = (rock + (SNOW - rock) * white) * self.light
            haze = NIGHT_SKY[1] if self.night else self.palette.sky[1]
            self.paint(share, colour + (haze - colour) * np.float32(far))

    def _meadow(self) -> None:
        horizon, rng = self.scene.horizon, self.rng(5)
        hills = noise(rng, self.size, 3, 2)[:1] * 0.015
        share = np.clip((self.y - horizon - hills) * self.size, 0, 1)
        patches, blades = noise(rng, self.size, 5), noise(rng, self.size, 60, 2)
        mix = np.clip(0.5 + 0.5 * patches, 0, 1)[..., None]
        dark, bright = self.palette.grass
        colour = dark + (bright - dark) * mix
        colour = colour * (0.95 + 0.12 * blades[..., None])
        lying = np.clip(self.palette.snow + 0.35 * (patches - 0.2) * (self.palette.snow > 0), 0, 1)
        snow = SNOW * (0.97 + 0.04 * patches[..., None])
        colour = colour + (snow - colour) * lying[..., None]
        self.paint(share, colour.astype(np.float32) * self.light)
        self._flowers(rng)

    def _flowers(self, rng: np.random.Generator) -> None:
        places = rng.uniform(0, 1, (220, 3))
        if self.palette.flowers is None:
            return
        for x, depth, kind in places:
            y = self.scene.horizon + 0.03 + (0.97 - self.scene.horizon) * depth
            colour = self.palette.flowers[int(kind * len(self.palette.flowers))] * self.light
            radius = max(round((0.002 + 0.005 * depth) * self.size), 1)
            spot = round(x * self.size), round(y * self.size)
            cv2.circle(self.image, spot, radius, colour.tolist(), -1)

    def _lake(self, x: float, y: float, across: float, down: float) -> None:
        edge = 0.1 * noise(self.rng(6), self.size, 6)
        inside = 1 - np.hypot((self.x - x) / across, (self.y - y) / down) + edge
        share = np.clip(inside * down * self.size, 0, 1)
        sky = (NIGHT_SKY if self.night else self.palette.sky * self.scene.tint).mean(0)
        water = sky * 0.8 if self.palette.snow == 0 else 0.5 * sky + 0.45 * SNOW * self.light
        ripples = 0.05 * noise(self.rng(7), self.size, 8)
        self.paint(share, (water * (1 + ripples[..., None])).astype(np.float32))

    def _house(self, x: float, y: float, width: float) -> None:
        left, right, top = x - width / 2, x + width / 2, y - 0.6 * width
        ridge = top - 0.45 * width
        self._polygon([(left, y), (right, y), (right, top), (left, top)], colours.WALL)
        roof = [(left - 0.08 * width, top), (right + 0.08 * width, top), (x, ridge)]
        white = self.palette.snow > 0
        self._polygon(roof, SNOW if white else colours.ROOF)
        for side in (-0.22, 0.22):
            a, b = x + (side - 0.1) * width, x + (side + 0.1) * width
            pane = [(a, y - 0.45 * width), (b, y - 0.45 * width)]
            pane += [(b, y - 0.2 * width), (a, y - 0.2 * width)]
            self._polygon(pane, colours.LAMP if self.night else colours.GLASS, lit=self.night)
        if self.night:
            away = np.hypot(self.x - x, self.y - y + 0.3 * width) / width
            self.image += (0.25 * np.exp(-(away**2) * 2))[..., None] * colours.LAMP

    def _polygon(
        self, points: list[tuple[float, float]], colour: np.ndarray, *, lit: bool = False
    ) -> None:
        """Fill a polygon; `lit`: it shines, whatever the light."""
        corners = np.round(np.array(points) * self.size).astype(np.int32)
        cv2.fillPoly(self.image, [corners], (colour * (1 if lit else self.light)).tolist())
