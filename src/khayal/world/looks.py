"""Paint and light: what colour each part has, and how each setting is lit."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin

from khayal.world.scene import Actor, Vector
from khayal.world.vocabulary import COLOURS

SKINS = ((0.94, 0.74, 0.60), (0.76, 0.53, 0.38), (0.48, 0.31, 0.21))
HAIRS = ((0.16, 0.10, 0.07), (0.42, 0.25, 0.10), (0.85, 0.66, 0.28), (0.07, 0.07, 0.08))
TROUSERS = ((0.16, 0.20, 0.36), (0.30, 0.30, 0.32), (0.40, 0.29, 0.18))

# What a part is painted with when its paint is not the actor's own colour.
FIXED: dict[str, Vector] = {
    "eye": (0.04, 0.04, 0.05),
    "nose": (0.92, 0.55, 0.58),
    "shoe": (0.15, 0.11, 0.09),
    "white": (0.95, 0.95, 0.94),
    "snow": (0.93, 0.95, 0.99),
    "metal": (0.70, 0.72, 0.75),
    "glass": (0.30, 0.45, 0.58),
    "tyre": (0.09, 0.09, 0.10),
    "beak": (0.98, 0.62, 0.10),
    "carrot": (0.98, 0.45, 0.05),
    "bark": (0.36, 0.22, 0.12),
    "screen": (0.45, 0.95, 0.85),
    "lamp": (1.0, 0.95, 0.62),
    "tail_lamp": (0.9, 0.1, 0.08),
    "wood": (0.62, 0.42, 0.24),
    "rope": (0.85, 0.78, 0.62),
    "stone": (0.62, 0.60, 0.57),
    "leaf": (0.20, 0.42, 0.14),
    "pole": (0.24, 0.25, 0.28),
}
GLOWING = {"screen": 0.7, "lamp": 0.8, "tail_lamp": 0.4}
SHINY = ("metal", "glass", "tail_lamp")


@dataclass(frozen=True, kw_only=True)
class Finish:
    """How one part takes light. `material` names a texture of the wardrobe, or is empty."""

    rgb: Vector
    material: str = ""
    emission: float = 0.0
    specular: float = 0.15
    shininess: float = 0.3


def finish(actor: Actor, paint: str) -> Finish:
    """The finish of a part of `actor` that is painted with `paint`."""
    own = COLOURS[actor.colour]
    if paint == "body":
        if actor.material in ("striped", "spotted"):
            return Finish(rgb=(1.0, 1.0, 1.0), material=f"{actor.material}/{actor.colour}")
        if actor.material == "wooden":
            return Finish(rgb=own, material="wooden", specular=0.1)
        if actor.material == "shiny":
            return Finish(rgb=own, specular=1.0, shininess=0.85)
        return Finish(rgb=own)
    if paint in ("main", "leaves"):
        return Finish(rgb=own, specular=0.5 if actor.kind in ("car", "bus", "balloon", "plane") else 0.12)
    if paint == "shaded":
        return Finish(rgb=(own[0] * 0.72, own[1] * 0.72, own[2] * 0.72))
    if paint == "dark":
        return Finish(rgb=(own[0] * 0.55, own[1] * 0.55, own[2] * 0.55))
    if paint == "light":
        return Finish(rgb=(0.55 + 0.45 * own[0], 0.55 + 0.45 * own[1], 0.55 + 0.45 * own[2]))
    if paint == "skin":
        return Finish(rgb=SKINS[actor.look % 3])
    if paint == "hair":
        return Finish(rgb=HAIRS[actor.look // 3 % 4])
    if paint == "trousers":
        return Finish(rgb=TROUSERS[actor.look // 12 % 3])
    return plain(paint)


def plain(paint: str) -> Finish:
    """The finish of a paint that does not depend on an actor."""
    if paint in SHINY:
        return Finish(rgb=FIXED[paint], specular=0.8, shininess=0.7)
    return Finish(rgb=FIXED[paint], emission=GLOWING.get(paint, 0.0))


@dataclass(frozen=True, kw_only=True)
class Lighting:
    """One light that casts shadows, one that does not, and light from everywhere.

    Attributes:
        elevation: of the key light, degrees.
        azimuth: where it comes from, degrees; 0 is behind the viewer's right shoulder.
        key, fill, ambient: red, green, blue.
        ground: a factor on the ground's texture, red, green, blue.
    """

    elevation: float
    azimuth: float
    key: Vector
    fill: Vector
    ambient: Vector


LIGHTING: dict[str, Lighting] = {
    "day": Lighting(
        elevation=58, azimuth=20, key=(0.72, 0.70, 0.66), fill=(0.16, 0.17, 0.19), ambient=(0.34, 0.36, 0.40)
    ),
    "morning": Lighting(
        elevation=34, azimuth=40, key=(0.80, 0.70, 0.52), fill=(0.12, 0.14, 0.18), ambient=(0.32, 0.34, 0.40)
    ),
    "sunset": Lighting(
        elevation=25, azimuth=55, key=(0.84, 0.60, 0.38), fill=(0.13, 0.10, 0.12), ambient=(0.32, 0.29, 0.33)
    ),
    "night": Lighting(
        elevation=62, azimuth=30, key=(0.45, 0.46, 0.58), fill=(0.12, 0.13, 0.17), ambient=(0.26, 0.27, 0.36)
    ),
    "lamp": Lighting(
        elevation=72, azimuth=-25, key=(0.74, 0.55, 0.30), fill=(0.12, 0.09, 0.06), ambient=(0.30, 0.24, 0.18)
    ),
    "spotlight": Lighting(
        elevation=66, azimuth=-20, key=(0.85, 0.80, 0.70), fill=(0.10, 0.09, 0.12), ambient=(0.26, 0.23, 0.26)
    ),
}
STREET_NIGHT = Lighting(
    elevation=66, azimuth=-35, key=(0.86, 0.70, 0.44), fill=(0.12, 0.14, 0.20), ambient=(0.28, 0.28, 0.38)
)


def lighting(setting: str, light: str) -> Lighting:
    """How a setting is lit; a street at night stands under a lamp."""
    return STREET_NIGHT if (setting, light) == ("street", "night") else LIGHTING[light]


def light_direction(lit: Lighting, sun: float) -> Vector:
    """The way that the key light travels, for a sun turned by `sun` radians."""
    azimuth, elevation = radians(lit.azimuth) + sun, radians(lit.elevation)
    return (-sin(azimuth) * cos(elevation), cos(azimuth) * cos(elevation), -sin(elevation))
