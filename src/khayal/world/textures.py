"""Ground, patterns and horizons, painted by arithmetic: arrays of float RGB in [0, 1] that tile."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8

Image = Float[np.ndarray, "h w 3"]
Field = Float[np.ndarray, "h w"]
Colour = tuple[float, float, float]


def noise(rng: np.random.Generator, height: int, width: int, slope: float, stretch: float = 1.0) -> Field:
    """Tileable noise with a 1/f^slope spectrum, scaled to about −1…1; `stretch` > 1 elongates it along x."""
    fy = np.fft.fftfreq(height)[:, None] * height
    fx = np.fft.fftfreq(width)[None, :] * width * stretch
    radius = np.sqrt(fx * fx + fy * fy)
    radius[0, 0] = 1.0
    spectrum = np.fft.fft2(rng.standard_normal((height, width))) / radius**slope
    spectrum[0, 0] = 0.0
    field = np.real(np.fft.ifft2(spectrum))
    return np.clip(field / (2.0 * field.std()), -1.0, 1.0)


def tint(colour: Colour, shade: Field) -> Image:
    """A colour times a field of brightness around 1."""
    return np.clip(np.array(colour) * shade[..., None], 0.0, 1.0)


def blend(below: Image, above: Image, amount: Field) -> Image:
    """`above` over `below` with opacity `amount`."""
    return below + (above - below) * np.clip(amount, 0.0, 1.0)[..., None]


def _grid(height: int, width: int) -> tuple[Field, Field]:
    y, x = np.mgrid[0:height, 0:width]
    return y / height, x / width


def grass(rng: np.random.Generator, side: int) -> Image:
    blades = noise(rng, side, side, 0.7)
    patches = noise(rng, side, side, 1.6)
    image = tint((0.30, 0.56, 0.17), 1 + 0.28 * blades + 0.22 * patches)
    flowers = noise(rng, side, side, 0.35) > 0.985
    return np.where(flowers[..., None], np.array((0.95, 0.93, 0.6)), image)


def sand(rng: np.random.Generator, side: int) -> Image:
    y, _ = _grid(side, side)
    ripples = np.sin(2 * np.pi * (12 * y + 0.9 * noise(rng, side, side, 1.8)))
    return tint((0.88, 0.75, 0.52), 1 + 0.06 * ripples + 0.08 * noise(rng, side, side, 0.5))


def dunes(rng: np.random.Generator, side: int) -> Image:
    y, _ = _grid(side, side)
    ripples = np.sin(2 * np.pi * (14 * y + 1.4 * noise(rng, side, side, 1.8)))
    return tint((0.84, 0.53, 0.27), 1 + 0.13 * ripples + 0.07 * noise(rng, side, side, 0.6))


def snow(rng: np.random.Generator, side: int) -> Image:
    drift = noise(rng, side, side, 1.9)
    return tint((0.86, 0.90, 0.97), 0.98 + 0.07 * drift + 0.04 * noise(rng, side, side, 0.4))


def cobbles(rng: np.random.Generator, side: int) -> Image:
    y, x = _grid(side, side)
    row = np.floor(y * 8)
    column = x * 8 + 0.5 * (row % 2)
    edge = np.minimum(np.minimum(y * 8 % 1, 1 - y * 8 % 1), np.minimum(column % 1, 1 - column % 1))
    tone = rng.uniform(0.75, 1.1, (8, 9))[row.astype(int), np.floor(column).astype(int) % 8]
    stone = tint((0.62, 0.59, 0.54), tone * (1 + 0.10 * noise(rng, side, side, 0.8)))
    return blend(tint((0.30, 0.28, 0.26), np.ones((side, side))), stone, (edge - 0.03) * 18)


def planks(
    rng: np.random.Generator, side: int, colour: Colour = (0.66, 0.42, 0.22), boards: int = 8
) -> Image:
    y, x = _grid(side, side)
    row = np.floor(y * boards).astype(int)
    offset = rng.uniform(0, 1, boards)[row]
    tone = rng.uniform(0.8, 1.15, (boards, 2))[row, ((x + offset) % 1 > 0.5).astype(int)]
    grain = noise(rng, side, side, 0.9, stretch=0.06)
    joint = np.minimum(y * boards % 1, 1 - y * boards % 1) < 0.035
    butt = np.abs(((x + offset) * 2) % 1 - 0.5) < 0.006
    return tint(colour, tone * (1 + 0.13 * grain) * np.where(joint | butt, 0.45, 1.0))


def boards(rng: np.random.Generator, side: int) -> Image:
    return planks(rng, side, (0.34, 0.19, 0.13), 10)


def asphalt(rng: np.random.Generator, side: int) -> Image:
    """One tile is eight metres deep: a lane between two dashed lines."""
    y, x = _grid(side, side)
    image = tint(
        (0.25, 0.25, 0.27), 1 + 0.16 * noise(rng, side, side, 0.3) + 0.12 * noise(rng, side, side, 1.5)
    )
    dash = (np.abs(y - 0.3) < 0.014) & (x * 4 % 1 < 0.55)
    return np.where(dash[..., None], np.array((0.9, 0.88, 0.8)), image)


def forest_floor(rng: np.random.Generator, side: int) -> Image:
    moss = noise(rng, side, side, 1.3)
    earth = tint((0.36, 0.26, 0.15), 1 + 0.3 * noise(rng, side, side, 0.6))
    return blend(earth, tint((0.25, 0.38, 0.12), 1 + 0.3 * noise(rng, side, side, 0.5)), moss * 1.5 + 0.4)


def rubber_tiles(rng: np.random.Generator, side: int) -> Image:
    y, x = _grid(side, side)
    odd = ((np.floor(x * 4) + np.floor(y * 4)) % 2)[..., None]
    image = np.where(odd > 0, np.array((0.80, 0.42, 0.36)), np.array((0.45, 0.62, 0.72)))
    return np.clip(image * (1 + 0.10 * noise(rng, side, side, 0.3))[..., None], 0, 1)


GROUNDS: dict[str, Callable[[np.random.Generator, int], Image]] = {
    "meadow": grass,
    "beach": sand,
    "snow": snow,
    "desert": dunes,
    "street": asphalt,
    "courtyard": cobbles,
    "room": planks,
    "stage": boards,
    "forest": forest_floor,
    "playground": rubber_tiles,
}


def stripes(first: Colour, second: Colour, side: int = 64) -> list[Image]:
    """Six faces of a cube map with four stripes that run across the poles."""
    y, x = _grid(side, side)
    across = np.where((x * 4 % 1 < 0.5)[..., None], np.array(first), np.array(second))
    down = np.where((y * 4 % 1 < 0.5)[..., None], np.array(first), np.array(second))
    return [down, down, across, across, across, across]


def spots(first: Colour, second: Colour, side: int = 64) -> list[Image]:
    """Six faces of a cube map with five discs."""
    y, x = _grid(side, side)
    is_spot = np.zeros((side, side), dtype=bool)
    for cy, cx in ((0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75), (0.5, 0.5)):
        is_spot |= (y - cy) ** 2 + (x - cx) ** 2 < 0.115**2
    face = np.where(is_spot[..., None], np.array(second), np.array(first))
    return [face] * 6


def grain(rng: np.random.Generator, side: int = 64) -> list[Image]:
    """Six faces of wood grain, pale, to be multiplied by the actor's colour."""
    _, x = _grid(side, side)
    rings = np.sin(2 * np.pi * (5 * x + 0.35 * noise(rng, side, side, 1.4, stretch=3.0)))
    face = tint((1.0, 0.93, 0.82), 0.88 + 0.11 * rings + 0.06 * noise(rng, side, side, 0.6, stretch=3.0))
    return [face] * 6


def to_bytes(image: Image) -> UInt8[np.ndarray, "h w 3"]:
    """Rounded to eight bits."""
    return (np.clip(image, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)
