"""Animated motion: where a character is at any time, which way it faces, and how its limbs hang.

A character's actions follow each other; each moves the state (place, yaw) that the next one starts from.
Pose channels are angles in radians (or metres, for "bob") that the bones of its rig listen to.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from khayal.world.scene import Action, Actor

Times = Float[np.ndarray, "n"]
Tail = Float[np.ndarray, "m"]  # the samples from an action's start on

RAMP_SECONDS = 0.25
WHEEL_RADIUS = {"car": 0.24, "bus": 0.22}
STRIDE = {"man": 1.0, "woman": 0.95, "robot": 0.8, "dog": 0.8, "cat": 0.65}
HOP_HEIGHT = {
    "man": 0.35,
    "woman": 0.35,
    "dog": 0.35,
    "cat": 0.4,
    "rabbit": 0.42,
    "snowman": 0.3,
    "bird": 0.22,
}
FLIGHT_HEIGHT = {"bird": 0.75, "plane": 0.8}
BIPEDS = ("man", "woman", "robot", "snowman")
QUADRUPEDS = ("dog", "cat", "rabbit")


@dataclass
class Motion:
    """One character over time: ground point, yaw, pose, and whether something holds it up.

    Attributes:
        place: metres; yaw: radians.
        is_grounded: True where it touches the ground.
    """

    place: Float[np.ndarray, "n 3"]
    yaw: Times
    is_grounded: np.ndarray
    channels: dict[str, np.ndarray] = field(default_factory=dict)


def ease(u: Times, ramp: float = 0.12) -> Times:
    """0 to 1 at a steady speed, with short parabolic starts and stops."""
    u = np.clip(u, 0.0, 1.0)
    scale = 1.0 / (1.0 - ramp)
    middle = scale * (u - ramp / 2)
    return np.where(
        u < ramp,
        scale * u * u / (2 * ramp),
        np.where(u > 1 - ramp, 1 - scale * (1 - u) ** 2 / (2 * ramp), middle),
    )


def _weight(times: Times, action: Action) -> Times:
    """How much of an action's pose is seen: fades in and out at its ends."""
    inside = np.minimum(times - action.start, action.end - times) / RAMP_SECONDS
    return np.clip(inside, 0.0, 1.0)


def _shortest(angle: float) -> float:
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


def animate(actor: Actor, actions: tuple[Action, ...], times: Times) -> Motion:
    """The whole motion of a character, sampled at `times`."""
    num = len(times)
    motion = Motion(
        place=np.tile(np.array([actor.place[0], actor.place[1], actor.height]), (num, 1)),
        yaw=np.full(num, actor.yaw),
        is_grounded=np.full(num, actor.height == 0.0),
    )
    names = ("bob", "lean", "nod", "tail", "sway", "wheel", "bank", "propeller", "wing_l", "wing_r")
    limbs = [f"{part}_{side}" for part in ("leg", "arm", "lift") for side in ("l", "r")]
    corners = [f"leg_{end}{side}" for end in "fb" for side in "lr"]
    motion.channels = {name: np.zeros(num) for name in (*names, *limbs, *corners)}
    _idle(actor, motion, times)
    for action in actions:
        _act(actor, action, motion, times)
    if actor.kind in FLIGHT_HEIGHT:
        _fly_pose(actor, motion, times)
    return motion


def _idle(actor: Actor, motion: Motion, times: Times) -> None:
    """Nobody stands like a statue: tails wag, heads nod, balloons rock."""
    beat = 2 * np.pi * (times + 0.37 * (actor.look % 7))
    channels = motion.channels
    channels["tail"] += (0.45 if actor.kind == "dog" else 0.25) * np.sin(1.6 * beat)
    channels["nod"] += 0.06 * np.sin(0.5 * beat)
    if actor.kind == "balloon":
        channels["sway"] += 0.07 * np.sin(0.4 * beat)
    if actor.kind in BIPEDS and actor.kind != "snowman":
        channels["lift_l"] += 0.10 + 0.03 * np.sin(0.4 * beat)
        channels["lift_r"] += 0.10 + 0.03 * np.sin(0.4 * beat)


def _act(actor: Actor, action: Action, motion: Motion, times: Times) -> None:
    """Write one action over the samples from its start to the end of time."""
    after = times >= action.start
    first = int(np.argmax(after)) if after.any() else len(times)
    if first == len(times):
        return
    u = np.clip((times - action.start) / (action.end - action.start), 0.0, 1.0)
    origin, yaw = motion.place[max(first - 1, 0)].copy(), float(motion.yaw[max(first - 1, 0)])
    if action.motion in ("walk", "run", "hop", "fly", "drive", "push", "float"):
        _travel(actor, action, motion, times, u, first, origin, yaw)
    elif action.motion == "circle":
        _circle(actor, action, motion, times, u, first, origin, yaw)
    elif action.motion in ("turn", "spin"):
        swing = ease(u[first:], 0.15) * 2 * np.pi * action.turns
        motion.yaw[first:] = yaw + swing
        _gait(actor, action, motion, times, np.abs(swing) * 0.25, first, reach=0.5)
    elif action.motion == "wave":
        _wave(actor, action, motion, times)
    elif action.motion == "sway":
        motion.channels["sway"] += (
            0.17 * _weight(times, action) * np.sin(2 * np.pi * 0.55 * (times - action.start))
        )


def _travel(
    actor: Actor,
    action: Action,
    motion: Motion,
    times: Times,
    u: Times,
    first: int,
    origin: np.ndarray,
    yaw: float,
) -> None:
    goes = action.distance > 0
    along = ease(u[first:]) * action.distance
    if action.motion == "float":
        _float(action, motion, u, first, origin)
        return
    if goes:
        turn = _shortest(action.heading - yaw)
        seconds = times[first:] - action.start
        quick = np.clip(seconds / (0.12 + 0.22 * abs(turn)), 0, 1)
        motion.yaw[first:] = yaw + turn * quick * quick * (3 - 2 * quick)
    if action.motion == "hop":
        # A hopper moves while it is in the air, so steps come in whole hops.
        hops = max(1.0, abs(action.turns))
        beat = u[first:] * hops
        flight = np.clip((beat % 1.0 - 0.15) / 0.7, 0.0, 1.0)
        along = (
            (np.floor(np.minimum(beat, hops - 1e-9)) + np.where(u[first:] >= 1, 1.0, flight))
            / hops
            * action.distance
        )
        _hop_pose(actor, motion, flight * (u[first:] < 1), first)
    direction = np.array([np.cos(action.heading), np.sin(action.heading), 0.0])
    height = motion.place[first:, 2].copy()
    motion.place[first:] = origin + along[:, None] * direction
    motion.place[first:, 2] = height if action.motion == "hop" else origin[2]
    if action.motion != "hop":
        _gait(actor, action, motion, times, along, first)


def _float(action: Action, motion: Motion, u: Times, first: int, origin: np.ndarray) -> None:
    along = ease(u[first:], 0.25) * action.distance
    motion.place[first:] = origin
    if action.lift:
        motion.place[first:, 2] += action.lift * along
    else:
        motion.place[first:, 0] += along * np.cos(action.heading)
        motion.place[first:, 1] += along * np.sin(action.heading)


def _circle(
    actor: Actor,
    action: Action,
    motion: Motion,
    times: Times,
    u: Times,
    first: int,
    origin: np.ndarray,
    yaw: float,
) -> None:
    radius, side = action.distance, np.sign(action.turns)
    angle = ease(u[first:], 0.1) * 2 * np.pi * action.turns
    centre = origin[:2] + radius * side * np.array([-np.sin(yaw), np.cos(yaw)])
    start = origin[:2] - centre
    cosine, sine = np.cos(angle), np.sin(angle)
    motion.place[first:, 0] = centre[0] + cosine * start[0] - sine * start[1]
    motion.place[first:, 1] = centre[1] + sine * start[0] + cosine * start[1]
    motion.place[first:, 2] = origin[2]
    motion.yaw[first:] = yaw + angle
    _gait(actor, action, motion, times, np.abs(angle) * radius, first)
    if actor.kind in FLIGHT_HEIGHT:
        motion.channels["bank"] += -0.35 * side * _weight(times, action)


def _gait(
    actor: Actor, action: Action, motion: Motion, times: Times, along: Tail, first: int, reach: float = 1.0
) -> None:
    """Legs that keep up with the ground, wheels that roll on it."""
    weight = reach * _weight(times, action)[first:]
    channels = motion.channels
    if actor.kind in WHEEL_RADIUS:
        channels["wheel"][first:] += along / (WHEEL_RADIUS[actor.kind] * _scale(actor))
        channels["bob"][first:] += 0.012 * weight * np.sin(14 * along)
        return
    if actor.kind in FLIGHT_HEIGHT or actor.kind not in STRIDE:
        return
    runs = action.motion == "run"
    stride = STRIDE[actor.kind] * _scale(actor) * (1.5 if runs else 1.0)
    phase = 2 * np.pi * along / stride
    wave = weight * np.sin(phase)
    if actor.kind in QUADRUPEDS:
        shift = 0.5 if runs else np.pi
        reach_legs = 0.75 if runs else 0.5
        for name, lag in (
            ("leg_fl", 0.0),
            ("leg_br", shift),
            ("leg_fr", np.pi if not runs else 0.6),
            ("leg_bl", np.pi + shift),
        ):
            lag = (
                lag
                if not runs
                else {"leg_fl": 0.0, "leg_fr": 0.5, "leg_bl": np.pi, "leg_br": np.pi + 0.5}[name]
            )
            channels[name][first:] += reach_legs * weight * np.sin(phase + lag)
        channels["bob"][first:] += weight * (0.07 if runs else 0.025) * np.abs(np.sin(phase))
        channels["lean"][first:] += weight * (0.10 if runs else 0.0) * np.cos(phase)
        return
    swing = 0.85 if runs else 0.5
    channels["leg_l"][first:] += swing * wave
    channels["leg_r"][first:] -= swing * wave
    if action.motion == "push":
        for name in ("arm_l", "arm_r"):
            channels[name][first:] -= 1.35 * weight
        channels["lean"][first:] += 0.2 * weight
    else:
        channels["arm_l"][first:] -= (1.1 if runs else 0.55) * wave
        channels["arm_r"][first:] += (1.1 if runs else 0.55) * wave
        channels["lean"][first:] += (0.22 if runs else 0.03) * weight
    channels["bob"][first:] += (0.08 if runs else 0.03) * weight * np.abs(np.cos(phase))


def _hop_pose(actor: Actor, motion: Motion, flight: Tail, first: int) -> None:
    arc = 4 * flight * (1 - flight)
    height = HOP_HEIGHT.get(actor.kind, 0.35) * _scale(actor)
    motion.place[first:, 2] = height * arc
    motion.is_grounded[first:] = arc < 0.05
    channels = motion.channels
    if actor.kind in BIPEDS:
        channels["lift_l"][first:] += 1.1 * arc
        channels["lift_r"][first:] += 1.1 * arc
        channels["leg_l"][first:] -= 0.35 * arc
        channels["leg_r"][first:] += 0.25 * arc
    elif actor.kind in QUADRUPEDS:
        channels["lean"][first:] -= 0.28 * np.sin(2 * np.pi * flight + np.pi / 2) * (arc > 0)
        for name in ("leg_fl", "leg_fr"):
            channels[name][first:] -= 0.6 * arc
        for name in ("leg_bl", "leg_br"):
            channels[name][first:] += 0.6 * arc
    else:
        channels["wing_l"][first:] += 0.9 * arc
        channels["wing_r"][first:] += 0.9 * arc


def _wave(actor: Actor, action: Action, motion: Motion, times: Times) -> None:
    weight = _weight(times, action)
    beat = np.sin(2 * np.pi * 1.6 * (times - action.start))
    rest = 0.35 if actor.kind == "snowman" else 2.35
    motion.channels["lift_r"] += weight * (rest + 0.4 * beat)
    motion.channels["lift_l"] += weight * (0.35 * beat if actor.kind == "snowman" else 0.0)


def _fly_pose(actor: Actor, motion: Motion, times: Times) -> None:
    """Wings beat in the air and are folded on the ground; propellers turn."""
    is_up = motion.place[:, 2] > 0.4
    motion.is_grounded = motion.place[:, 2] < 0.03
    if actor.kind == "plane":
        motion.channels["propeller"] += 2 * np.pi * 3.7 * times
        motion.channels["bob"] += 0.03 * np.sin(2 * np.pi * 0.6 * times)
        return
    beat = np.sin(2 * np.pi * 2.3 * times)
    for name in ("wing_l", "wing_r"):
        motion.channels[name] += np.where(is_up, 0.15 + 0.65 * beat, -1.25)
    motion.channels["bob"] += np.where(is_up, -0.05 * beat, 0.0)


def _scale(actor: Actor) -> float:
    from khayal.world.vocabulary import SIZES

    return SIZES[actor.size]
