"""What stands around a scene: skies, hills, the sea, house fronts, curtains; a picture for each light.

A horizon is painted once for a third of the circle and repeats three times. Row 0 is the top. For an open
setting the rows run from the zenith to a little below the horizon, squeezed so that the low sky has most of
them (see `assets.dome`); for an enclosed one they run from the top of the wall to the floor.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from khayal.world.textures import Colour, Field, Image, blend, noise, tint

Skyline = Float[np.ndarray, "1 w"]

WIDTH, HEIGHT = 768, 256
BELOW = 0.06  # the share of rows under the horizon of an open setting

# top of the sky, low sky, light of the haze on far things
SKIES: dict[str, tuple[Colour, Colour]] = {
    "day": ((0.18, 0.45, 0.88), (0.74, 0.87, 0.97)),
    "morning": ((0.45, 0.66, 0.92), (0.99, 0.90, 0.76)),
    "sunset": ((0.45, 0.32, 0.62), (1.0, 0.62, 0.28)),
    "night": ((0.01, 0.02, 0.08), (0.07, 0.10, 0.24)),
}
SHADE: dict[str, Colour] = {
    "day": (1.0, 1.0, 1.0),
    "morning": (1.0, 0.93, 0.82),
    "sunset": (0.86, 0.62, 0.50),
    "night": (0.13, 0.16, 0.30),
    "lamp": (0.85, 0.66, 0.42),
    "spotlight": (0.42, 0.36, 0.36),
}


def _coordinates() -> tuple[Field, Field]:
    """Height above the horizon in 0…1 (negative below), and the share of the picture's width."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return (1 - BELOW) - (y + 0.5) / HEIGHT, x / WIDTH


def sky(rng: np.random.Generator, light: str) -> Image:
    """A gradient with clouds by day, the sun low at sunset, stars and a moon at night."""
    up, x = _coordinates()
    high, low = SKIES[light]
    amount = np.clip(up, 0, 1) ** (1.0 if light == "sunset" else 0.75)
    image = blend(tint(low, np.ones_like(up)), tint(high, np.ones_like(up)), amount)
    if light == "night":
        stars = rng.random(up.shape) > 0.9982
        image = np.where((stars & (up > 0.1))[..., None], np.array((0.95, 0.95, 1.0)), image)
        moon = ((x - 0.3) * 3 * 1.15) ** 2 + (up - 0.55) ** 2 < 0.055**2
        return np.where(moon[..., None], np.array((0.97, 0.96, 0.86)), image)
    clouds = noise(rng, HEIGHT, WIDTH, 1.7, stretch=0.35)
    bright = {"day": (1.0, 1.0, 1.0), "morning": (1.0, 0.96, 0.93), "sunset": (1.0, 0.62, 0.50)}[light]
    image = blend(
        image, tint(bright, np.ones_like(up)), (clouds - 0.15) * 1.3 * (up > 0) * np.clip(up * 6, 0, 0.9)
    )
    if light == "sunset":
        distance = np.sqrt(((x - 0.42) * 3 * 1.15) ** 2 + (up - 0.10) ** 2)
        image = blend(image, tint((1.0, 0.86, 0.45), np.ones_like(up)), np.exp(-((distance / 0.16) ** 2)))
        image = np.where((distance < 0.075)[..., None], np.array((1.0, 0.95, 0.72)), image)
    return image


def _ridge(rng: np.random.Generator, level: float, rough: float, slope: float = 1.6) -> Skyline:
    """A tileable skyline: heights for each column."""
    return level + rough * noise(rng, 8, WIDTH, slope)[:1, :]


def _range(
    image: Image, up: Field, ridge: Skyline, colour: Colour, light: str, shade: Field | None = None
) -> Image:
    """Paint everything under a skyline."""
    lit = tuple(c * s for c, s in zip(colour, SHADE[light], strict=True))
    body = tint((lit[0], lit[1], lit[2]), np.ones_like(up) if shade is None else shade)
    return blend(image, body, (ridge - up) * 110)


def meadow(rng: np.random.Generator, light: str) -> Image:
    up, _ = _coordinates()
    image = sky(rng, light)
    image = _range(image, up, _ridge(rng, 0.16, 0.07), (0.42, 0.60, 0.52), light)
    image = _range(image, up, _ridge(rng, 0.09, 0.04), (0.33, 0.56, 0.27), light)
    leaf = 1 + 0.35 * noise(rng, HEIGHT, WIDTH, 0.9)
    bumps = _ridge(rng, 0.035, 0.035, 0.7)
    image = _range(image, up, bumps, (0.16, 0.36, 0.12), light, leaf)
    return _range(image, up, _ridge(rng, 0.01, 0.0), (0.30, 0.55, 0.18), light)


def snow(rng: np.random.Generator, light: str) -> Image:
    up, _ = _coordinates()
    image = sky(rng, light)
    peaks = 0.15 + 0.11 * np.abs(noise(rng, 8, WIDTH, 1.3))[:1, :]
    image = _range(image, up, peaks, (0.62, 0.70, 0.83), light, 1 + 0.18 * noise(rng, HEIGHT, WIDTH, 1.1))
    image = _pines(rng, image, up, light, 0.10)
    return _range(image, up, _ridge(rng, 0.03, 0.012), (0.88, 0.92, 0.98), light)


def _pines(rng: np.random.Generator, image: Image, up: Field, light: str, height: float) -> Image:
    columns = np.arange(WIDTH)[None, :]
    skyline = np.full((1, WIDTH), -1.0)
    for centre in np.arange(0, WIDTH, 17) + rng.integers(-5, 6, len(np.arange(0, WIDTH, 17))):
        tall, half = height * rng.uniform(0.6, 1.25), rng.uniform(8, 14)
        offset = np.abs((columns - centre + WIDTH // 2) % WIDTH - WIDTH // 2)
        skyline = np.maximum(skyline, tall * (1 - offset / half) + 0.02 * (offset < half))
    leaf = 1 + 0.4 * noise(rng, HEIGHT, WIDTH, 0.6)
    return _range(image, up, skyline, (0.10, 0.24, 0.15), light, leaf)


def beach(rng: np.random.Generator, light: str) -> Image:
    up, x = _coordinates()
    image = sky(rng, light)
    waves = 1 + 0.22 * noise(rng, HEIGHT, WIDTH, 0.7, stretch=0.12)
    image = _range(image, up, np.full((1, WIDTH), 0.085), (0.06, 0.38, 0.60), light, waves)
    image = _range(image, up, np.full((1, WIDTH), 0.03), (0.16, 0.60, 0.70), light, waves)
    foam = 0.004 + 0.003 * np.sin(2 * np.pi * 5 * x[:1, :])
    image = _range(image, up, foam + 0.008, (0.96, 0.98, 0.98), light)
    return _range(image, up, foam - 0.006, (0.88, 0.75, 0.52), light)


def desert(rng: np.random.Generator, light: str) -> Image:
    up, _ = _coordinates()
    image = sky(rng, light)
    for level, rough, colour in ((0.15, 0.08, (0.72, 0.42, 0.30)), (0.08, 0.05, (0.80, 0.50, 0.28))):
        image = _range(image, up, _ridge(rng, level, rough, 2.0), colour, light)
    return _range(image, up, _ridge(rng, 0.02, 0.012, 2.0), (0.84, 0.53, 0.27), light)


def street(rng: np.random.Generator, light: str) -> Image:
    up, _ = _coordinates()
    image = sky(rng, light)
    columns = np.arange(WIDTH)
    left = 0
    while left < WIDTH:
        width = min(int(rng.integers(70, 120)), WIDTH - left)
        width = WIDTH - left if WIDTH - left - width < 50 else width
        tall = rng.uniform(0.34, 0.66)
        wall = ((0.66, 0.45, 0.37), (0.60, 0.60, 0.62), (0.72, 0.63, 0.48), (0.45, 0.50, 0.60))[
            rng.integers(4)
        ]
        inside = ((columns >= left) & (columns < left + width - 2))[None, :]
        image = _range(image, up, np.where(inside, tall, -1.0), wall, light)
        across, down = ((columns - left) / 17.0)[None, :], up * 20
        pane = (across % 1 > 0.28) & (across % 1 < 0.78) & (down % 1 > 0.3) & (down % 1 < 0.82)
        window = pane & inside & (up < tall - 0.03) & (up > 0.06)
        is_lit = (
            rng.random((40, 12))[np.clip(down.astype(int), 0, 39), np.clip(across.astype(int), 0, 11)] < 0.5
        )
        dark = np.array((0.20, 0.28, 0.36)) * np.array(SHADE[light])
        glow = np.array((1.0, 0.82, 0.42)) if light != "day" else np.array((0.55, 0.70, 0.80))
        image = np.where(window[..., None], np.where(is_lit[..., None], glow, dark), image)
        left += width
    return _range(image, up, np.full((1, WIDTH), 0.012), (0.45, 0.45, 0.46), light)


def forest(rng: np.random.Generator, light: str) -> Image:
    up, _ = _coordinates()
    image = sky(rng, light)
    image = _pines(rng, image, up, light, 0.62)
    columns = np.arange(WIDTH)[None, :]
    for centre in rng.integers(0, WIDTH, 16):
        half = rng.integers(4, 9)
        trunk = np.abs((columns - centre + WIDTH // 2) % WIDTH - WIDTH // 2) < half
        image = _range(image, up, np.where(trunk, 0.8, -1.0), (0.30, 0.20, 0.13), light)
    leaf = 1 + 0.45 * noise(rng, HEIGHT, WIDTH, 0.9)
    return _range(image, up, _ridge(rng, 0.06, 0.03, 1.0), (0.18, 0.34, 0.12), light, leaf)


def playground(rng: np.random.Generator, light: str) -> Image:
    up, x = _coordinates()
    image = sky(rng, light)
    leaf = 1 + 0.35 * noise(rng, HEIGHT, WIDTH, 0.9)
    image = _range(image, up, _ridge(rng, 0.20, 0.07, 1.0), (0.22, 0.48, 0.16), light, leaf)
    slat = (x * 48) % 1
    fence = np.where(slat[:1, :] < 0.6, 0.10 - 0.02 * np.abs(slat[:1, :] - 0.3) / 0.3, -1.0)
    colours = ((0.90, 0.25, 0.20), (0.98, 0.80, 0.15), (0.20, 0.45, 0.85))
    for k, colour in enumerate(colours):
        mine = np.floor(x[:1, :] * 48) % 3 == k
        image = _range(image, up, np.where(mine, fence, -1.0), colour, light)
    return _range(image, up, np.full((1, WIDTH), 0.008), (0.55, 0.50, 0.50), light)


def courtyard(rng: np.random.Generator, light: str) -> Image:
    """A wall of dressed stone with arches; above it, sky."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    up, across = 1 - (y + 0.5) / HEIGHT, x / WIDTH
    row = np.floor(up * 16).astype(int)
    column = across * 24 + 0.5 * (row % 2)
    tone = rng.uniform(0.82, 1.12, (17, 26))[row, np.floor(column).astype(int) % 24]
    seam = (np.minimum(up * 16 % 1, 1 - up * 16 % 1) < 0.06) | (
        np.minimum(column % 1, 1 - column % 1) < 0.025
    )
    tone = tone * (1 + 0.08 * noise(rng, HEIGHT, WIDTH, 0.8)) * np.where(seam, 0.72, 1.0)
    shade = SHADE[light]
    image = tint((0.76 * shade[0], 0.67 * shade[1], 0.53 * shade[2]), tone)
    offset = np.abs(across * 4 % 1 - 0.5) * 2
    is_arch = (offset < 0.5) & (up < 0.36 + 0.16 * np.sqrt(np.clip(1 - (offset / 0.5) ** 2, 0, 1)))
    image = np.where(is_arch[..., None], np.array((0.20, 0.15, 0.13)) * np.array(shade), image)
    high = np.array(SKIES[light][0]) * 0.5 + np.array(SKIES[light][1]) * 0.5
    return np.where((up > 0.82)[..., None], high, image)


def room(rng: np.random.Generator, light: str) -> Image:
    """Papered walls with a skirting board, pictures and windows."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    up, across = 1 - (y + 0.5) / HEIGHT, x / WIDTH
    paper = 0.97 + 0.03 * np.sign(np.sin(2 * np.pi * 36 * across))
    shade = np.array(SHADE[light])
    image = tint((0.93, 0.85, 0.70), paper) * shade
    image = np.where((up < 0.07)[..., None], np.array((0.97, 0.95, 0.92)) * shade, image)
    for centre, is_window in ((0.16, True), (0.5, False), (0.83, True)):
        half = 0.075 if is_window else 0.055
        frame = (np.abs(across - centre) < half) & (up > 0.30) & (up < 0.80)
        inner = (np.abs(across - centre) < half - 0.012) & (up > 0.33) & (up < 0.77)
        view = {"day": (0.62, 0.83, 0.98), "lamp": (0.05, 0.07, 0.18)}[light]
        image = np.where(frame[..., None], np.array((0.45, 0.28, 0.16)) * shade, image)
        colour = np.array(view) if is_window else np.array((0.35, 0.55, 0.55)) * shade
        bar = is_window & ((np.abs(across - centre) < 0.004) | (np.abs(up - 0.55) < 0.012))
        image = np.where((inner & ~bar)[..., None], colour, image)
    return image


def stage(rng: np.random.Generator, light: str) -> Image:
    """Red curtains in folds, gathered darkness above."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    up, across = 1 - (y + 0.5) / HEIGHT, x / WIDTH
    fold = np.sin(2 * np.pi * (22 * across + 0.25 * noise(rng, HEIGHT, WIDTH, 2.0, stretch=3.0)))
    image = tint((0.62, 0.05, 0.09), 0.62 + 0.36 * fold)
    hem = (up < 0.055) & (up > 0.025)
    image = np.where(hem[..., None], np.array((0.85, 0.65, 0.20)) * (0.7 + 0.3 * fold)[..., None], image)
    return image * np.clip(1.15 - 0.9 * up, 0.15, 1)[..., None]


PAINTERS = {
    "meadow": meadow,
    "snow": snow,
    "beach": beach,
    "desert": desert,
    "street": street,
    "forest": forest,
    "playground": playground,
    "courtyard": courtyard,
    "room": room,
    "stage": stage,
}
ENCLOSED = ("courtyard", "room", "stage")
