"""The description of a scene before anything moves: who, where, when, under which camera."""

from __future__ import annotations

from dataclasses import dataclass, field

from khayal.world.vocabulary import KINDS, SIZES

Vector = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Actor:
    """One character or object, as it looks and where it starts.

    Attributes:
        place: where it stands on the ground: x to the viewer's right, y away from the viewer, metres.
        height: of its lowest point above the ground at the start, metres.
        yaw: which way it faces, radians from +x towards +y.
        look: chooses details that captions do not name (hair, trousers).
        is_hung: True for the bob of a pendulum.
    """

    kind: str
    colour: str
    size: str = "medium"
    material: str = "plain"
    place: tuple[float, float] = (0.0, 0.0)
    height: float = 0.0
    yaw: float = 0.0
    look: int = 0
    is_hung: bool = False

    @property
    def extent(self) -> Vector:
        """Full size in metres: along its heading, across it, and up."""
        scale = SIZES[self.size]
        along, across, up = KINDS[self.kind].size
        return along * scale, across * scale, up * scale

    @property
    def is_object(self) -> bool:
        """True where MuJoCo moves it."""
        return KINDS[self.kind].is_object


@dataclass(frozen=True, kw_only=True)
class Action:
    """What one actor does for a while.

    Attributes:
        actor: its number in the scene.
        start, end: seconds. A physical motion may come to rest before `end`.
        heading: direction of travel, radians from +x towards +y; unused where nothing travels.
        distance: metres travelled (or risen, for `float` up or down; or dropped, for `bounce` and `fall`).
        turns: revolutions of `spin`, `turn` and `circle`, signed; cycles of the rest.
        target: the actor that is hit, pushed, or hidden behind.
        event: "none", "enter", "leave" or "hide".
        lift: +1 rises, −1 sinks (`float` only).
    """

    actor: int
    motion: str
    start: float
    end: float
    heading: float = 0.0
    distance: float = 0.0
    turns: float = 0.0
    speed: str = "normal"
    target: int | None = None
    event: str = "none"
    lift: int = 0


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Where a camera stands before it is fitted to the action.

    Attributes:
        framing: "front", "wide", "close", "side" or "above".
        azimuth: radians; 0 looks along +y, positive swings the camera to the viewer's right.
        elevation: radians above the horizon.
        fov: vertical field of view, radians.
        margin: the share of the frame that what is watched may fill.
        subject: the actor in the middle of a close-up.
    """

    framing: str
    azimuth: float
    elevation: float
    fov: float
    margin: float = 0.88
    subject: int = 0


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A stretch of time seen through one set-up, in frames [start, end)."""

    setup: int
    start: int
    end: int
    move: str = "still"
    amount: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything that was drawn from the seed; simulation and camera fitting add nothing random to it.

    Attributes:
        restitution: the intended ratio of speeds after and before a bounce, for each actor.
        redraws: how many broken scenes were thrown away before this one.
        sun: how far the light is turned about the vertical, radians.
    """

    seed: int
    index: int
    dial: int
    split: str
    size: tuple[int, int]
    fps: int
    num_frames: int
    setting: str
    light: str
    play: str
    actors: tuple[Actor, ...]
    actions: tuple[Action, ...]
    setups: tuple[Setup, ...]
    shots: tuple[Shot, ...]
    restitution: tuple[float, ...] = ()
    redraws: int = 0
    sun: float = 0.0
    decor: int = field(default=0)

    @property
    def seconds(self) -> float:
        """Playing time."""
        return self.num_frames / self.fps

    def actions_of(self, actor: int) -> tuple[Action, ...]:
        """One actor's actions in the order of time."""
        return tuple(sorted((a for a in self.actions if a.actor == actor), key=lambda a: a.start))
