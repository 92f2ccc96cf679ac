"""A scene played out: every actor's place, turn and shape in every frame, before any camera looks at it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from khayal.world import rigs
from khayal.world.bodies import BODIES
from khayal.world.looks import finish, plain
from khayal.world.motion import Motion, animate
from khayal.world.physics import REST_SPEED, ROPE_LENGTH, Simulation, Trajectory, ticks
from khayal.world.render import Cast, Piece
from khayal.world.scene import Action, Actor, Scene
from khayal.world.vocabulary import SIZES

PHYSICAL = ("bounce", "fall", "roll", "slide", "hit", "throw", "swing", "topple")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One actor in every frame.

    Attributes:
        place: metres; an object's centre of mass, a character's point on the ground below it.
        velocity: metres a second.
        yaw: radians from +x towards +y.
        corners: of the box around it, in the world.
    """

    place: Float[np.ndarray, "f 3"]
    velocity: Float[np.ndarray, "f 3"]
    yaw: Float[np.ndarray, "f"]
    corners: Float[np.ndarray, "f k 3"]


@dataclass(frozen=True, kw_only=True)
class Performance:
    """What happened.

    Attributes:
        scene: the scene, its actions cut to the time in which something really moved.
        contacts: for each frame, pairs of actor numbers that touch; −1 is the ground.
        bounces: (frame, actor, measured restitution).
        mass: kilograms of each object, by actor number.
    """

    scene: Scene
    figures: tuple[Figure, ...]
    cast: Cast
    contacts: tuple[tuple[tuple[int, int], ...], ...]
    bounces: tuple[tuple[int, int, float], ...]
    mass: dict[int, float]


def perform(scene: Scene) -> Performance:
    """Animate and simulate a scene."""
    per_frame, _ = ticks(scene.fps)
    times = (np.arange(scene.num_frames * per_frame) + 1) / (scene.fps * per_frame)
    motions = {
        k: animate(actor, scene.actions_of(k), times)
        for k, actor in enumerate(scene.actors)
        if not actor.is_object
    }
    has_objects = any(actor.is_object for actor in scene.actors)
    trajectory = Simulation(scene, motions).run() if has_objects else Trajectory(ticks_per_frame=per_frame)
    if not has_objects:
        trajectory.contacts = [set() for _ in range(scene.num_frames)]
    frames = np.arange(scene.num_frames) * per_frame
    figures, pieces, centres, axes = [], [], [], []
    for number, actor in enumerate(scene.actors):
        if actor.is_object:
            figure, parts = _object(actor, number, trajectory, frames)
        else:
            figure, parts = _character(actor, number, motions[number], frames, scene.fps * per_frame)
        figures.append(figure)
        pieces += parts[0]
        centres.append(parts[1])
        axes.append(parts[2])
    decor = decorate(scene)
    pieces += decor[0]
    centres.append(np.broadcast_to(decor[1], (scene.num_frames, *decor[1].shape)))
    axes.append(np.broadcast_to(decor[2], (scene.num_frames, *decor[2].shape)))
    for number, motion in motions.items():
        for frame in np.flatnonzero(motion.is_grounded[frames]):
            trajectory.contacts[int(frame)].add((-1, number))
    return Performance(
        scene=replace(scene, actions=_really_moving(scene, trajectory)),
        figures=tuple(figures),
        cast=Cast(
            pieces=tuple(pieces), centres=np.concatenate(centres, axis=1), axes=np.concatenate(axes, axis=1)
        ),
        contacts=tuple(tuple(sorted(pairs)) for pairs in trajectory.contacts),
        bounces=tuple((t // per_frame, actor, e) for t, actor, e in trajectory.bounces),
        mass=trajectory.mass,
    )


Parts = tuple[list[Piece], np.ndarray, np.ndarray]


def _dress(actor: Actor, number: int, rig: rigs.Rig) -> list[Piece]:
    scale = SIZES[actor.size]
    return [
        Piece(
            shape=part.shape,
            size=(part.size[0] * scale, part.size[1] * scale, part.size[2] * scale),
            paint=part.paint,
            finish=finish(actor, part.paint),
            owner=number,
        )
        for part in rig.parts
    ]


def _character(
    actor: Actor, number: int, motion: Motion, frames: np.ndarray, rate: int
) -> tuple[Figure, Parts]:
    rig = BODIES[actor.kind]()
    place, yaw = motion.place[frames], motion.yaw[frames]
    turn = rigs.rotation("z", yaw)
    channels = {name: values[frames] for name, values in motion.channels.items()}
    centres, axes = rigs.solve(rig, place, turn, channels, SIZES[actor.size])
    box = rigs.box_corners(actor.extent, is_centred=False)
    figure = Figure(
        place=place,
        velocity=np.gradient(motion.place, 1.0 / rate, axis=0)[frames],
        yaw=yaw,
        corners=place[:, None] + np.einsum("fij,kj->fki", turn, box),
    )
    return figure, (_dress(actor, number, rig), centres, axes)


def _object(actor: Actor, number: int, trajectory: Trajectory, frames: np.ndarray) -> tuple[Figure, Parts]:
    places, turns = trajectory.places[number][frames], trajectory.turns[number][frames]
    scale = SIZES[actor.size]
    pieces, centres, axes, corners = [], [], [], []
    extent = (0.6 * scale,) * 3 if actor.kind == "tower" else actor.extent
    middle = rigs.box_corners(extent, is_centred=True)
    for body in range(places.shape[1]):
        rig = BODIES[actor.kind]()
        if actor.is_hung:
            length = ROPE_LENGTH
            top = actor.extent[2] / 2 / scale
            rig.limb((0, 0, top), (0, 0, top + length), 0.03, "rope")
        turn = turns[:, body]
        place = places[:, body] + (turn @ np.array([0, 0, _centre_offset(actor)]))
        c, a = rigs.solve(rig, place, turn, {}, scale)
        if actor.kind == "tower" and body == 1:
            # The middle block is a shade darker: a tower should not look like a pillar.
            rig.parts[0] = replace(rig.parts[0], paint="shaded")
        pieces += _dress(actor, number, rig)
        centres.append(c)
        axes.append(a)
        corners.append(place[:, None] + np.einsum("fij,kj->fki", turn, middle))
    heading = turns[:, 0, :2, 0]
    figure = Figure(
        place=places.mean(axis=1),
        velocity=trajectory.speeds[number][frames],
        yaw=np.arctan2(heading[:, 1], heading[:, 0]),
        corners=np.concatenate(corners, axis=1),
    )
    return figure, (pieces, np.concatenate(centres, axis=1), np.concatenate(axes, axis=1))


def _centre_offset(actor: Actor) -> float:
    """From the centre of mass to the middle of the box, along the object's own z."""
    return 0.25 * actor.extent[2] if actor.kind == "cone" else 0.0


def _really_moving(scene: Scene, trajectory: Trajectory) -> tuple[Action, ...]:
    """Cut each physical action at the moment when its object comes to rest."""
    rate = scene.fps * trajectory.ticks_per_frame
    actions = []
    for action in scene.actions:
        if action.actor in trajectory.speeds and action.motion in PHYSICAL:
            first, last = round(action.start * rate), round(action.end * rate)
            speed = np.abs(np.gradient(trajectory.places[action.actor][first:last], 1 / rate, axis=0)).max(
                axis=(1, 2)
            )
            moving = np.flatnonzero(speed > REST_SPEED)
            end = (first + int(moving[-1]) + 1) / rate if len(moving) else action.start
            action = replace(action, end=max(min(action.end, end), action.start + 2 / scene.fps))
        actions.append(action)
    return tuple(actions)


def decorate(scene: Scene) -> tuple[list[Piece], np.ndarray, np.ndarray]:
    """Pieces that belong to nobody: the frame of a pendulum, and a few things that stand behind a scene."""
    rig = rigs.Rig()
    for number, actor in enumerate(scene.actors):
        if actor.is_hung:
            _gallows(rig, scene, number)
    _surround(rig, scene)
    pieces = [
        Piece(shape=p.shape, size=p.size, paint=p.paint, finish=plain(p.paint), owner=-1) for p in rig.parts
    ]
    if not pieces:
        return [], np.empty((0, 3)), np.empty((0, 3, 3))
    centres = np.array([p.place for p in rig.parts], dtype=float)
    axes = np.array([p.turn for p in rig.parts]).reshape(-1, 3, 3)
    return pieces, centres, axes


def gallows_corners(scene: Scene, number: int) -> Float[np.ndarray, "4 3"]:
    """The ends of the posts that hold a pendulum's beam, wide enough for its swing."""
    actor = scene.actors[number]
    x, y = actor.place
    swing = max((abs(a.distance) for a in scene.actions_of(number)), default=0.0)
    radius = actor.extent[2] / 2
    reach = (ROPE_LENGTH * SIZES[actor.size] + 2 * radius) * np.sin(swing) + 1.3 * radius + 0.15
    high = ROPE_LENGTH * SIZES[actor.size] + actor.extent[2] + 0.3
    return np.array([[x + side, y, z] for side in (-reach, reach) for z in (0.0, high)])


def _gallows(rig: rigs.Rig, scene: Scene, number: int) -> None:
    foot, head, other, _ = gallows_corners(scene, number)
    high, half, middle = head[2] - 0.05, (other[0] - foot[0]) / 2, (other[0] + foot[0]) / 2
    for x in (foot[0], other[0]):
        rig.add("box", (0.06, 0.06, high / 2), (float(x), float(foot[1]), high / 2), "wood")
    rig.add("box", (half + 0.06, 0.07, 0.07), (middle, float(foot[1]), high), "wood")


def _surround(rig: rigs.Rig, scene: Scene) -> None:
    """A few things in the distance, so that depth and camera movement can be seen."""
    rng = np.random.default_rng([scene.decor, 7])
    spots = [
        (float(x), float(y)) for x, y in zip(rng.uniform(-5.5, 5.5, 4), rng.uniform(4.5, 7.0, 4), strict=True)
    ]
    for x, y in spots:
        if scene.setting in ("meadow", "playground"):
            rig.add("ellipsoid", (0.6, 0.5, 0.42), (x, y, 0.3), "leaf")
        elif scene.setting in ("forest", "snow"):
            rig.limb((x, y, 0.0), (x, y, 0.7), 0.13, "bark")
            rig.add("cone", (0.75, 0.75, 0.9), (x, y, 1.4), "leaf" if scene.setting == "forest" else "snow")
        elif scene.setting in ("desert", "beach"):
            rig.add("ellipsoid", (0.5, 0.4, 0.28), (x, y, 0.12), "stone")
        elif scene.setting == "street":
            rig.limb((x, y, 0.0), (x, y, 2.6), 0.05, "pole")
            rig.add("sphere", 0.17, (x, y, 2.75), "lamp")
