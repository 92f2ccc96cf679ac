"""Bodies built from parts: bones that turn, shapes that hang on them, paint on the shapes.

Local axes: x forward, y to the left, z up. A character's origin is the ground between its feet; an object's
is its centre. Sizes are metres for an actor of medium size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt

import numpy as np
from jaxtyping import Float

Vector = tuple[float, float, float]
Matrices = Float[np.ndarray, "f 3 3"]

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Bone:
    """A frame that turns about (or, with axis "up", moves along) an axis by the angle in a pose channel."""

    parent: int
    pivot: Vector
    axis: str = ""
    channel: str = ""
    gain: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Part:
    """A painted shape on a bone. `size` is half extents, as MuJoCo counts them; `turn` is row-major."""

    bone: int
    shape: str
    size: Vector
    place: Vector
    turn: tuple[float, ...]
    paint: str


@dataclass
class Rig:
    """Bones and parts of one kind. Bone 0 is the actor's own frame."""

    bones: list[Bone] = field(default_factory=lambda: [Bone(parent=-1, pivot=(0.0, 0.0, 0.0))])
    parts: list[Part] = field(default_factory=list)

    def bone(
        self, pivot: Vector, axis: str = "", channel: str = "", parent: int = 0, gain: float = 1.0
    ) -> int:
        """Add a bone and return its number."""
        self.bones.append(Bone(parent=parent, pivot=pivot, axis=axis, channel=channel, gain=gain))
        return len(self.bones) - 1

    def add(
        self,
        shape: str,
        size: Vector | float,
        place: Vector,
        paint: str,
        *,
        on: int = 0,
        pitch: float = 0.0,
        roll: float = 0.0,
    ) -> None:
        """Add a shape; `pitch` turns it about y and `roll` about x, radians."""
        full = (size, size, size) if isinstance(size, float) else size
        turn = rotation("y", np.array([pitch]))[0] @ rotation("x", np.array([roll]))[0]
        values = tuple(float(v) for v in turn.ravel())
        self.parts.append(Part(bone=on, shape=shape, size=full, place=place, turn=values, paint=paint))

    def limb(self, start: Vector, end: Vector, radius: float, paint: str, *, on: int = 0) -> None:
        """Add a capsule between two points."""
        a, b = np.array(start), np.array(end)
        length = float(np.linalg.norm(b - a))
        up = (b - a) / length
        side = np.cross(up, (1.0, 0.0, 0.0) if abs(up[0]) < 0.9 else (0.0, 1.0, 0.0))
        side /= np.linalg.norm(side)
        turn = np.stack([np.cross(side, up), side, up], axis=1)
        turn[:, 0] = np.cross(turn[:, 1], turn[:, 2])
        middle = tuple(float(v) for v in (a + b) / 2)
        self.parts.append(
            Part(
                bone=on,
                shape="capsule",
                size=(radius, radius, length / 2),
                place=(middle[0], middle[1], middle[2]),
                turn=tuple(float(v) for v in turn.ravel()),
                paint=paint,
            )
        )


def rotation(axis: str, angle: Float[np.ndarray, "f"]) -> Matrices:
    """Rotation matrices about "x", "y" or "z" for angles in radians."""
    out = np.zeros((len(angle), 3, 3))
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    cosine, sine = np.cos(angle), np.sin(angle)
    fixed = 3 - first - second
    out[:, fixed, fixed] = 1.0
    out[:, first, first] = out[:, second, second] = cosine
    out[:, first, second], out[:, second, first] = -sine, sine
    return out


def solve(
    rig: Rig,
    place: Float[np.ndarray, "f 3"],
    turn: Matrices,
    channels: dict[str, np.ndarray],
    scale: float,
) -> tuple[Float[np.ndarray, "f p 3"], Float[np.ndarray, "f p 3 3"]]:
    """Where every part stands in every frame: centres, and axes as columns (rotation only)."""
    num_frames = len(place)
    origins, turns = [place], [turn]
    still = np.zeros(num_frames)
    for bone in rig.bones[1:]:
        value = channels.get(bone.channel, still) * bone.gain
        pivot = np.broadcast_to(np.array(bone.pivot) * scale, (num_frames, 3))
        if bone.axis == "up":
            pivot = pivot + np.stack([still, still, value * scale], axis=1)
        parent_turn = turns[bone.parent]
        origins.append(origins[bone.parent] + np.einsum("fij,fj->fi", parent_turn, pivot))
        turns.append(
            parent_turn @ rotation(bone.axis, value) if bone.axis in ("x", "y", "z") else parent_turn
        )
    centres = np.stack(
        [origins[p.bone] + turns[p.bone] @ (np.array(p.place) * scale) for p in rig.parts], axis=1
    )
    axes = np.stack([turns[p.bone] @ np.array(p.turn).reshape(3, 3) for p in rig.parts], axis=1)
    return centres, axes


def box_corners(extent: Vector, is_centred: bool) -> Float[np.ndarray, "8 3"]:
    """The corners of an actor's box in its own frame, metres."""
    low = -0.5 if is_centred else 0.0
    signs = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (low, low + 1.0)])
    return signs * np.array(extent)


GOLDEN = (1 + sqrt(5)) / 2
