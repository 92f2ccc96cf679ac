"""Objects in MuJoCo: dropped, rolled, thrown, hung, knocked over; and characters that push them."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import cos, pi, sin, sqrt
from typing import Any

import numpy as np
from jaxtyping import Float

from khayal.world.assets import cone
from khayal.world.bounces import GRAVITY, damping_ratio, measure_bounces
from khayal.world.motion import Motion, ease
from khayal.world.render import import_mujoco
from khayal.world.scene import Action, Actor, Scene
from khayal.world.vocabulary import SIZES

CONTACT_SECONDS = 0.03
STEPS_PER_SECOND = 1200
STEPS_PER_TICK = 4
DENSITY = 60.0
TOWER_DENSITY = 12.0  # light enough for a ball to run through
ROLLING_FRICTION = 0.010
ROPE_LENGTH = 1.45
REST_SPEED = 0.06


@dataclass
class Trajectory:
    """What the objects of a scene did, sampled at every tick.

    Attributes:
        ticks_per_frame: samples in one frame.
        places: for each actor number, its bodies' centres; turns: their rotations.
        speeds: velocity of each actor's centre of mass.
        contacts: for each frame, pairs of actor numbers that touched; −1 is the ground.
        bounces: (tick, actor, measured ratio of speeds) for every bounce on the ground.
        mass: kilograms of each object.
    """

    ticks_per_frame: int
    places: dict[int, Float[np.ndarray, "n b 3"]] = field(default_factory=dict)
    turns: dict[int, Float[np.ndarray, "n b 3 3"]] = field(default_factory=dict)
    speeds: dict[int, Float[np.ndarray, "n 3"]] = field(default_factory=dict)
    contacts: list[set[tuple[int, int]]] = field(default_factory=list)
    bounces: list[tuple[int, int, float]] = field(default_factory=list)
    mass: dict[int, float] = field(default_factory=dict)


def ticks(scene_fps: int) -> tuple[int, float]:
    """Ticks in a frame and the time step: whole steps in a tick, whole ticks in a frame."""
    per_frame = -(-STEPS_PER_SECOND // (scene_fps * STEPS_PER_TICK))
    return per_frame, 1.0 / (scene_fps * per_frame * STEPS_PER_TICK)


def _geom(actor: Actor) -> str:
    along, across, up = (side / 2 for side in actor.extent)
    if actor.kind == "ball":
        return f'type="sphere" size="{along}"'
    if actor.kind == "cube":
        return f'type="box" size="{along} {across} {up}"'
    if actor.kind == "tower":
        side = 0.3 * SIZES[actor.size]
        return f'type="box" size="{side} {side} {side}"'
    if actor.kind == "cylinder":
        return f'type="cylinder" size="{along} {up}"'
    if actor.kind == "ring":
        # A disc with the tube's width: it rolls and falls as the ring that is drawn does.
        return f'type="cylinder" size="{along} {across * 0.9}" euler="90 0 0"'
    return f'type="mesh" mesh="cone_{actor.size}"'


def _object_xml(scene: Scene, number: int) -> str:
    actor, restitution = scene.actors[number], scene.restitution[number]
    stiffness = (pi / CONTACT_SECONDS) ** 2
    damping = 2 * damping_ratio(restitution) * sqrt(stiffness)
    friction = sliding_friction(scene, number)
    condim = 6 if actor.kind in ("ball", "cylinder", "ring", "cone") else 3
    density = TOWER_DENSITY if actor.kind == "tower" else DENSITY
    contact = (
        f'contype="2" conaffinity="7" condim="{condim}" priority="1" density="{density}" '
        f'friction="{friction} 0.004 {ROLLING_FRICTION}" solref="-{stiffness} -{damping}" '
        'solimp="0.999 0.999 0.001"'
    )
    if actor.is_hung:
        top = ROPE_LENGTH * SIZES[actor.size] + actor.extent[2] / 2
        return (
            f'<body name="a{number}_0" pos="0 0 0"><joint type="hinge" axis="0 1 0"/>'
            f'<geom {_geom(actor)} pos="0 0 {-top}" {contact} mass="10"/></body>'
        )
    num_bodies = 3 if actor.kind == "tower" else 1
    return "".join(
        f'<body name="a{number}_{k}"><freejoint/><geom {_geom(actor)} {contact}/></body>'
        for k in range(num_bodies)
    )


def sliding_friction(scene: Scene, number: int) -> float:
    """Low enough for a slide to last as long as its action; otherwise that of rubber or wood."""
    for action in scene.actions_of(number):
        if action.motion == "slide" or (action.motion == "hit" and scene.actors[number].kind != "ball"):
            return 2 * action.distance / (action.end - action.start) ** 2 / GRAVITY
    if (
        any(a.motion == "hit" and a.target == number for a in scene.actions)
        and scene.actors[number].kind != "tower"
    ):
        return 0.12
    return 0.5 if scene.actors[number].kind == "tower" else 0.7


def _character_xml(actor: Actor, number: int) -> str:
    along, across, up = (side / 2 for side in actor.extent)
    return (
        f'<body name="a{number}_0" gravcomp="1"><freejoint/><geom type="box" size="{along} {across} {up}" '
        f'mass="5000" contype="4" conaffinity="0" condim="3" friction="0.1 0 0"/></body>'
    )


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{v:.5f}" for v in values.ravel())


def _model(scene: Scene) -> Any:
    mujoco = import_mujoco()
    points, _ = cone(16)
    meshes = "".join(
        f'<mesh name="cone_{name}" vertex="{_numbers(points * np.array([0.475, 0.475, 0.55]) * scale)}"/>'
        for name, scale in SIZES.items()
    )
    bodies = "".join(
        _object_xml(scene, k) if actor.is_object else _character_xml(actor, k)
        for k, actor in enumerate(scene.actors)
    )
    step = ticks(scene.fps)[1]
    return mujoco.MjModel.from_xml_string(
        f'<mujoco><option timestep="{step!r}" cone="elliptic" integrator="implicitfast" '
        f'gravity="0 0 -{GRAVITY}"/>'
        f'<asset>{meshes}</asset><worldbody><geom name="ground" type="plane" size="50 50 1" contype="1" '
        f'conaffinity="0" solimp="0.999 0.999 0.001"/>{bodies}</worldbody></mujoco>'
    )


def _quaternion(axis: int, angle: float) -> np.ndarray:
    quat = np.array([cos(angle / 2), 0.0, 0.0, 0.0])
    quat[1 + axis] = sin(angle / 2)
    return quat


def _multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    w, v = a[0] * b[0] - a[1:] @ b[1:], a[0] * b[1:] + b[0] * a[1:] + np.cross(a[1:], b[1:])
    return np.array([w, *v])


def starts_lying(scene: Scene, number: int) -> bool:
    """True for a cylinder that rolls: it lies on its side."""
    actor = scene.actors[number]
    return actor.kind == "cylinder" and any(a.motion == "roll" for a in scene.actions_of(number))


class Simulation:
    """One scene in MuJoCo, stepped tick by tick; characters are led along their animated path."""

    def __init__(self, scene: Scene, motions: dict[int, Motion]) -> None:
        mujoco = import_mujoco()
        self.mujoco, self.scene, self.motions = mujoco, scene, motions
        self.model = _model(scene)
        self.data = mujoco.MjData(self.model)
        self.per_frame, self.step = ticks(scene.fps)
        self.addresses: dict[tuple[int, int], tuple[int, int]] = {}
        self.owner = np.full(self.model.ngeom, -1)
        for number, actor in enumerate(scene.actors):
            for k in range(3 if actor.kind == "tower" else 1):
                body = self.model.body(f"a{number}_{k}")
                joint = int(body.jntadr[0])
                self.addresses[number, k] = (
                    int(self.model.jnt_qposadr[joint]),
                    int(self.model.jnt_dofadr[joint]),
                )
                self.owner[int(body.geomadr[0])] = number
        self.held: dict[int, np.ndarray] = {}
        for number, actor in enumerate(scene.actors):
            if actor.is_object:
                self._set_out(number)
        mujoco.mj_forward(self.model, self.data)

    def _set_out(self, number: int) -> None:
        actor = self.scene.actors[number]
        x, y = actor.place
        if actor.is_hung:
            self.data.qpos[self.addresses[number, 0][0]] = next(
                (a.distance for a in self.scene.actions_of(number) if a.motion == "swing"), 0.0
            )
            self.model.body(f"a{number}_0").pos = self.hook(number)
            return
        quat = _quaternion(2, actor.yaw)
        up = actor.extent[2] / 2
        if starts_lying(self.scene, number):
            quat, up = _multiply(quat, _quaternion(0, pi / 2)), actor.extent[0] / 2
        if any(a.motion == "fall" for a in self.scene.actions_of(number)):
            # A little tilt, so that a thing that falls also tumbles.
            quat = _multiply(quat, _quaternion(1, 0.25 if actor.look % 2 else -0.25))
        for k in range(3 if actor.kind == "tower" else 1):
            if actor.kind == "tower":
                up = 0.3 * SIZES[actor.size] * (2 * k + 1)
            address = self.addresses[number, k][0]
            self.data.qpos[address : address + 3] = (x, y, up + actor.height)
            self.data.qpos[address + 3 : address + 7] = quat

    def hook(self, number: int) -> np.ndarray:
        """Where a pendulum hangs from."""
        actor = self.scene.actors[number]
        reach = ROPE_LENGTH * SIZES[actor.size] + actor.extent[2] + 0.25
        return np.array([actor.place[0], actor.place[1], reach])

    def _velocity(self, number: int, linear: np.ndarray, angular: np.ndarray | None = None) -> None:
        """Set an object going; a tower as one rigid body that turns about its foot."""
        for k in range(3 if self.scene.actors[number].kind == "tower" else 1):
            address, dof = self.addresses[number, k]
            height = self.data.qpos[address + 2]
            scale = height if self.scene.actors[number].kind == "tower" else 1.0
            self.data.qvel[dof : dof + 3] = linear * scale
            if angular is not None:
                turn = np.zeros(9)
                self.mujoco.mju_quat2Mat(turn, self.data.qpos[address + 3 : address + 7])
                self.data.qvel[dof + 3 : dof + 6] = turn.reshape(3, 3).T @ angular

    def _begin(self, action: Action) -> None:
        """The impulse that starts a physical action."""
        number, actor = action.actor, self.scene.actors[action.actor]
        seconds = action.end - action.start
        direction = np.array([cos(action.heading), sin(action.heading), 0.0])
        sideways = np.array([-direction[1], direction[0], 0.0])
        rolls = action.motion == "roll" or (action.motion == "hit" and actor.kind == "ball")
        if rolls:
            radius = actor.extent[0] / 2
            slowing = GRAVITY * ROLLING_FRICTION / radius * 5 / 7
            speed = action.distance / seconds + slowing * seconds / 2
            if speed < slowing * seconds:
                speed = sqrt(2 * slowing * action.distance)
            self._velocity(number, direction * speed, sideways * speed / radius)
        elif action.motion in ("slide", "hit"):
            slowing = sliding_friction(self.scene, number) * GRAVITY
            self._velocity(number, direction * sqrt(2 * slowing * action.distance))
        elif action.motion == "throw":
            rise = 3.6
            forward = action.distance / (2 * rise / GRAVITY)
            self._velocity(number, direction * forward + np.array([0, 0, rise]), sideways * 2.0)
        elif action.motion == "bounce" and self.data.qpos[self.addresses[number, 0][0] + 2] < actor.extent[2]:
            self._velocity(number, np.array([0, 0, sqrt(2 * GRAVITY * action.distance)]))
        elif action.motion == "topple" and action.target is None:
            self._velocity(number, direction * 1.25, sideways * 1.25)

    def _lead(self, tick: int) -> None:
        """Put characters where their animation says, with the velocity that it has."""
        seconds = 1.0 / (self.scene.fps * self.per_frame)
        for number, motion in self.motions.items():
            address, dof = self.addresses[number, 0]
            middle = np.array([0, 0, self.scene.actors[number].extent[2] / 2])
            after = min(tick + 1, len(motion.yaw) - 1)
            self.data.qpos[address : address + 3] = motion.place[tick] + middle
            self.data.qpos[address + 3 : address + 7] = _quaternion(2, float(motion.yaw[tick]))
            self.data.qvel[dof : dof + 6] = 0.0
            self.data.qvel[dof : dof + 3] = (motion.place[after] - motion.place[tick]) / seconds

    def _hold(self, tick: int) -> None:
        """Things that wait in the air, and things that spin like a top, are held by an unseen hand."""
        now = tick / (self.scene.fps * self.per_frame)
        for action in self.scene.actions:
            number, actor = action.actor, self.scene.actors[action.actor]
            if not actor.is_object or actor.kind == "tower":
                continue
            address, dof = self.addresses[number, 0]
            waits = action.motion in ("bounce", "fall") and now < action.start and actor.height > 0
            spins = action.motion == "spin" and action.start <= now <= action.end
            if actor.is_hung and now < self.scene.actions_of(number)[0].start:
                self.data.qvel[dof] = 0.0
                self.data.qpos[address] = action.distance
            elif waits or spins:
                pose = self.held.setdefault(number, self.data.qpos[address : address + 7].copy())
                self.data.qpos[address : address + 7] = pose
                self.data.qvel[dof : dof + 6] = 0.0
                if spins:
                    u = np.array([(now - action.start) / (action.end - action.start)])
                    angle = float(ease(u, 0.1)[0]) * 2 * pi * action.turns
                    self.data.qpos[address + 3 : address + 7] = _multiply(_quaternion(2, angle), pose[3:])
                    self.data.qvel[dof + 5] = 2 * pi * action.turns / (action.end - action.start)
            elif number in self.held and action.motion == "spin" and now > action.end:
                del self.held[number]

    def run(self) -> Trajectory:
        """Simulate the whole scene."""
        scene, data, mujoco = self.scene, self.data, self.mujoco
        num_ticks = scene.num_frames * self.per_frame
        objects = [k for k, actor in enumerate(scene.actors) if actor.is_object]
        bodies = {
            k: [self.model.body(f"a{k}_{j}").id for j in range(3 if scene.actors[k].kind == "tower" else 1)]
            for k in objects
        }
        flat = [body for k in objects for body in bodies[k]]
        result = Trajectory(ticks_per_frame=self.per_frame, contacts=[set() for _ in range(scene.num_frames)])
        starts: dict[int, list[Action]] = {
            round(a.start * scene.fps * self.per_frame): [] for a in scene.actions
        }
        for action in scene.actions:
            if scene.actors[action.actor].is_object:
                starts[round(action.start * scene.fps * self.per_frame)].append(action)
        places = np.empty((num_ticks, len(flat), 3))
        turns = np.empty((num_ticks, len(flat), 9))
        for tick in range(num_ticks):
            for action in starts.get(tick, ()):
                self._begin(action)
            self._hold(tick)
            self._lead(tick)
            mujoco.mj_step(self.model, data, STEPS_PER_TICK)
            places[tick], turns[tick] = data.xipos[flat], data.xmat[flat]
            if data.ncon:
                owners = self.owner[data.contact.geom]
                touching = data.contact.dist <= 0.0
                result.contacts[tick // self.per_frame].update(
                    (int(min(pair)), int(max(pair)))
                    for pair, yes in zip(owners, touching, strict=True)
                    if yes and pair[0] != pair[1]
                )
        self._collect(result, objects, bodies, places, turns)
        return result

    def _collect(
        self,
        result: Trajectory,
        objects: list[int],
        bodies: dict[int, list[int]],
        places: np.ndarray,
        turns: np.ndarray,
    ) -> None:
        at = 0
        # Velocity is measured from the positions: cvel is that of the last step but one.
        seconds = 1.0 / (self.scene.fps * self.per_frame)
        for number in objects:
            count = len(bodies[number])
            result.places[number] = places[:, at : at + count]
            result.turns[number] = turns[:, at : at + count].reshape(len(turns), count, 3, 3)
            middle = result.places[number].mean(axis=1)
            result.speeds[number] = np.gradient(middle, seconds, axis=0)
            result.mass[number] = float(sum(self.model.body_mass[b] for b in bodies[number]))
            if self.scene.actors[number].kind == "ball" and not self.scene.actors[number].is_hung:
                radius = self.scene.actors[number].extent[2] / 2
                result.bounces += [(t, number, e) for t, e in measure_bounces(middle[:, 2], radius, seconds)]
            at += count
