"""What a clip shows, exactly: a versioned record of numbers and names, with no time, host or path in it.

The JSON is the dataclasses below, field by field; `frames` holds columns (one list for each quantity, one
entry for each frame). Reading is strict: an unknown or missing field is an error. Needs no MuJoCo.

Coordinates: metres; x to the right of a viewer who stands in front, y away from that viewer, z up. Screen
boxes: left, top, right, bottom as shares of the frame, not clipped. Frame intervals are half-open.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass
from typing import Any

from khayal.errors import InputError

SCHEMA = "khayal.world/1"


@dataclass(frozen=True, kw_only=True)
class ActorTruth:
    """Who: `mass` (kg) and `restitution` (intended) are null for characters."""

    id: str
    kind: str
    colour: str
    size: str
    material: str
    extent: tuple[float, ...]
    mass: float | None
    restitution: float | None
    is_hung: bool
    is_heldout: bool


@dataclass(frozen=True, kw_only=True)
class ActionTruth:
    """What one actor does in frames [start, end); `heading` in radians from +x towards +y."""

    actor: int
    motion: str
    start: int
    end: int
    heading: float
    distance: float
    turns: float
    speed: str
    target: int | None
    event: str
    lift: int


@dataclass(frozen=True, kw_only=True)
class ShotTruth:
    """One stretch between cuts, frames [start, end); `subject` is the actor of a close-up or a follow."""

    start: int
    end: int
    setup: int
    framing: str
    move: str
    subject: int


@dataclass(frozen=True, kw_only=True)
class BounceTruth:
    """A bounce on the ground: the ratio of speeds, as measured from the trajectory."""

    frame: int
    actor: int
    restitution: float


@dataclass(frozen=True, kw_only=True)
class Track:
    """One actor in every frame. `pixels` counts those that show it in a picture of `pixels_size`."""

    position: list[list[float]]
    velocity: list[list[float]]
    yaw: list[float]
    box: list[list[float]]
    depth: list[float]
    pixels: list[int] | None


@dataclass(frozen=True, kw_only=True)
class CameraTrack:
    """The camera in every frame: `fov` is vertical, in radians."""

    eye: list[list[float]]
    forward: list[list[float]]
    up: list[list[float]]
    fov: list[float]


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Columns over frames. `contacts` lists pairs of actor numbers; −1 is the ground."""

    actors: list[Track]
    camera: CameraTrack
    contacts: list[list[list[int]]]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Everything that is known about a clip."""

    schema: str
    seed: int
    index: int
    dial: int
    split: str
    size: tuple[int, ...]
    fps: int
    num_frames: int
    setting: str
    light: str
    sun: float
    play: str
    actors: list[ActorTruth]
    actions: list[ActionTruth]
    shots: list[ShotTruth]
    bounces: list[BounceTruth]
    rejected: dict[str, int]
    pixels_size: tuple[int, ...] | None
    frames: Frames

    def to_json(self) -> dict[str, Any]:
        """Plain lists and dictionaries."""
        plain = json.loads(json.dumps(dataclasses.asdict(self)))
        assert isinstance(plain, dict)
        return plain

    def cut(self, start: int, end: int) -> Truth:
        """The truth of frames [start, end) alone, counted from zero."""
        inside = [a for a in self.actions if a.start < end and a.end > start]
        shots = [s for s in self.shots if s.start < end and s.end > start]

        def span(item: Any) -> dict[str, Any]:
            return {"start": max(item.start, start) - start, "end": min(item.end, end) - start}

        def columns(track: Any) -> Any:
            names = [f.name for f in dataclasses.fields(track) if getattr(track, f.name) is not None]
            return dataclasses.replace(track, **{name: getattr(track, name)[start:end] for name in names})

        return dataclasses.replace(
            self,
            num_frames=end - start,
            actions=[dataclasses.replace(a, **span(a)) for a in inside],
            shots=[dataclasses.replace(s, **span(s)) for s in shots],
            bounces=[
                dataclasses.replace(b, frame=b.frame - start) for b in self.bounces if start <= b.frame < end
            ],
            frames=Frames(
                actors=[columns(track) for track in self.frames.actors],
                camera=columns(self.frames.camera),
                contacts=self.frames.contacts[start:end],
            ),
        )

    @staticmethod
    def from_json(data: dict[str, Any]) -> Truth:
        """Read what `to_json` wrote.

        Raises:
            InputError: another schema, or a field that is missing or unknown.
        """
        if data.get("schema") != SCHEMA:
            raise InputError(
                "The truth of this clip cannot be read",
                why=f"its schema is {data.get('schema')!r}, this khayal reads {SCHEMA!r}",
                fix="render the clip again with this version",
            )
        truth = _read(Truth, data, "truth")
        assert isinstance(truth, Truth)
        return truth


def _read(kind: Any, data: Any, where: str) -> Any:
    """Build `kind` from JSON, checking names and types on the way down."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if data is None:
            return None
        return _read(next(a for a in arguments if a is not type(None)), data, where)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        if not isinstance(data, dict) or set(data) != set(hints):
            odd = sorted(set(hints) ^ set(data)) if isinstance(data, dict) else [type(data).__name__]
            raise InputError(
                f"The truth of this clip cannot be read: {where}", why=f"unexpected {', '.join(odd)}"
            )
        return kind(**{name: _read(hint, data[name], f"{where}.{name}") for name, hint in hints.items()})
    if origin in (list, tuple):
        return origin(_read(arguments[0], item, where) for item in data)
    if origin is dict:
        return dict(data)
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind):
        raise InputError(
            f"The truth of this clip cannot be read: {where}", why=f"{data!r} is not a {kind.__name__}"
        )
    return data
