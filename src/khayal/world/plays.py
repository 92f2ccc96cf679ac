"""Plays: who does what, and where, so that everything can be seen. Each writes a draft of a scene.

The stage is a strip in front of the viewer, x to the right, y away. Actors that have nothing to do with each
other stand in lanes of different depth; those that meet share one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np

from khayal.world import vocabulary as v
from khayal.world.acts import (
    LEFT,
    PACE,
    RIGHT,
    TOWARD,
    Draft,
    character_acts_later,
    facing,
    independent,
    lanes,
)
from khayal.world.scene import Action


def solo(draft: Draft) -> None:
    """One actor, alone."""
    # Objects are fewer kinds than characters, and are seen as often.
    wants_object = draft.chance(0.5)
    kinds = [k for k in v.kinds_at(draft.dial) if k != "tower"]
    chosen = [k for k in kinds if v.KINDS[k].is_object == wants_object] or kinds
    number = draft.cast(draft.pick(chosen))
    independent(draft, number, 0.0, 0.0, room=draft.room(draft.actors[number]), alone=True)


def company(draft: Draft) -> None:
    """Two to four actors, each with its own business."""
    count = int(draft.rng.integers(2, v.MAX_ACTORS[draft.dial] + 1))
    kinds = [k for k in v.kinds_at(draft.dial) if k != "tower"]
    chosen = [draft.pick(kinds) for _ in range(count)]
    spots = (
        draft.rng.permutation(np.linspace(-0.5, 0.5, count)) * (0.75 + 0.5 * count) * min(1.0, draft.aspect)
    )
    for lane, kind, x in zip(lanes(draft, count), chosen, spots, strict=True):
        number = draft.cast(kind)
        if number == 0 and draft.actors[0].size == "small":
            draft.put(0, size="medium")
        if number and draft.chance(0.3) and kind != "balloon":
            draft.put(number, place=(float(x), lane), yaw=facing(draft, "stand"))
            if kind == "plane":
                draft.put(number, height=0.8)
            continue
        room = min(draft.room(draft.actors[number]), 1.3)
        independent(draft, number, lane, float(x), room=room, alone=False)


def collide(draft: Draft) -> None:
    """One object runs into another."""
    mover = draft.cast(draft.pick(("ball", "cube")))
    other = draft.cast(
        draft.pick([k for k in ("ball", "cube", "cylinder") if v.KINDS[k].level <= draft.dial])
    )
    sign = 1.0 if draft.chance(0.5) else -1.0
    gap = draft.uniform(1.2, 1.7) * min(1.0, draft.aspect)
    reach = (draft.actors[mover].extent[0] + draft.actors[other].extent[0]) / 2
    draft.put(mover, place=(-sign * (gap + reach) / 2 - 0.3 * sign, 0.0))
    draft.put(other, place=(sign * (gap + reach) / 2 - 0.3 * sign, 0.0))
    for number in (mover, other):
        draft.restitution[number] = round(draft.uniform(0.35, 0.75), 3)
    start = draft.uniform(0.1, 0.5)
    distance = (gap + 1.3) if draft.actors[mover].kind == "ball" else gap * 2.2
    seconds = distance / draft.uniform(2.0, 2.8)
    draft.actions.append(
        Action(
            actor=mover,
            motion="hit",
            start=start,
            end=min(draft.seconds, start + seconds * 1.6),
            target=other,
            heading=RIGHT if sign > 0 else LEFT,
            distance=distance,
        )
    )


def push(draft: Draft) -> None:
    """Somebody pushes something along."""
    agent = draft.cast(
        draft.pick([k for k in v.kinds_at(draft.dial) if "push" in v.KINDS[k].motions]), may_vary=False
    )
    thing = draft.cast(draft.pick(("ball", "cube")))
    sign = 1.0 if draft.chance(0.5) else -1.0
    heading = RIGHT if sign > 0 else LEFT
    reach = (draft.actors[agent].extent[0] + draft.actors[thing].extent[0]) / 2
    way = min(2.4 * min(1.0, draft.aspect), 0.75 * draft.seconds)
    draft.put(agent, place=(-sign * way / 2 - sign * 0.3, 0.0), yaw=heading)
    draft.put(thing, place=(-sign * way / 2 - sign * 0.3 + sign * (reach + 0.12), 0.0))
    draft.restitution[thing] = 0.15
    seconds = way / PACE["push"] / 1.25
    draft.actions.append(
        Action(
            actor=agent,
            motion="push",
            start=0.1,
            end=min(draft.seconds, 0.1 + seconds),
            heading=heading,
            distance=way,
            target=thing,
        )
    )
    if draft.seconds - seconds > 2.0:
        character_acts_later(draft, agent, seconds + 0.3)


def topple(draft: Draft) -> None:
    """A tower of blocks falls, by itself or because a ball runs into it."""
    tower = draft.cast("tower", may_vary=False)
    sign = 1.0 if draft.chance(0.5) else -1.0
    heading = RIGHT if sign > 0 else LEFT
    draft.restitution[tower] = 0.15
    if draft.chance(0.4):
        draft.actions.append(
            Action(
                actor=tower,
                motion="topple",
                start=draft.uniform(0.4, 0.9),
                end=draft.seconds,
                heading=heading,
            )
        )
        return
    ball = draft.cast("ball")
    draft.put(ball, place=(-sign * 1.6, 0.0))
    gap = 1.3 - draft.actors[ball].extent[0] / 2
    start = draft.uniform(0.1, 0.4)
    pace = draft.uniform(3.6, 4.4) / sqrt(v.SIZES[draft.actors[ball].size])
    draft.actions.append(
        Action(
            actor=ball,
            motion="hit",
            start=start,
            end=min(draft.seconds, start + 4 / pace),
            heading=heading,
            distance=4.0,
            target=tower,
        )
    )
    draft.actions.append(
        Action(
            actor=tower,
            motion="topple",
            start=start + gap / pace,
            end=draft.seconds,
            heading=heading,
            target=ball,
        )
    )


def hide(draft: Draft) -> None:
    """Somebody goes behind something large and comes out on the other side."""
    kinds = v.kinds_at(draft.dial)
    cover = draft.cast(draft.pick([k for k in ("bus", "cube", "cylinder") if k in kinds]), may_vary=False)
    mover = draft.cast(
        draft.pick([k for k in ("dog", "cat", "rabbit", "man", "robot", "woman", "snowman") if k in kinds]),
        may_vary=False,
    )
    draft.put(mover, size="small")
    draft.put(cover, size="large", yaw=RIGHT if draft.chance(0.5) else LEFT)
    motion = draft.pick(
        [m for m in ("walk", "run", "hop") if m in v.motions_of(draft.actors[mover].kind, draft.dial)]
    )
    sign = 1.0 if draft.chance(0.5) else -1.0
    half = draft.actors[cover].extent[0] / 2 + draft.actors[mover].extent[0] / 2 + 0.5
    depth = draft.actors[cover].extent[1] / 2 + draft.actors[mover].extent[1] / 2 + 0.25
    heading = RIGHT if sign > 0 else LEFT
    draft.put(mover, place=(-sign * half, depth), yaw=heading)
    end = min(draft.seconds, max(3.2, 2 * half / PACE[motion]))
    draft.actions.append(
        Action(
            actor=mover,
            motion=motion,
            start=0.15,
            end=end,
            heading=heading,
            distance=2 * half,
            target=cover,
            event="hide",
            turns=float(max(1, round(end / 0.62))) if motion == "hop" else 0.0,
        )
    )
    draft.may_cut = False
    character_acts_later(draft, mover, end + 0.3)


def _passage(draft: Draft, event: str) -> None:
    kinds = [
        k
        for k in v.kinds_at(draft.dial)
        if any(m in ("walk", "run", "drive", "fly", "hop") for m in v.KINDS[k].motions)
    ]
    mover = draft.cast(draft.pick(kinds))
    actor = draft.actors[mover]
    motions = [m for m in ("walk", "run", "drive", "fly", "hop") if m in v.motions_of(actor.kind, draft.dial)]
    if actor.kind == "bird":
        motions = ["fly"]
    motion = draft.pick(motions)
    sign = 1.0 if draft.chance(0.5) else -1.0
    heading = RIGHT if sign > 0 else LEFT
    distance = actor.extent[0] + 1.35 * actor.extent[2] * max(1.0, draft.aspect) + 1.3
    if actor.kind in ("bird", "plane"):
        draft.put(mover, height=draft.uniform(0.6, 0.9))
    seconds = draft.uniform(2.0, 2.6)
    hops = float(round(seconds / 0.5)) if motion == "hop" else 0.0
    if event == "enter":
        start = draft.uniform(0.0, 0.2)
        draft.put(mover, place=(-sign * distance, 0.0), yaw=heading)
        draft.actions.append(
            Action(
                actor=mover,
                motion=motion,
                start=start,
                end=start + seconds,
                heading=heading,
                distance=distance,
                event="enter",
                turns=hops,
            )
        )
        character_acts_later(draft, mover, start + seconds + 0.2)
    else:
        start = max(0.6, draft.seconds - seconds * 0.75)
        draft.put(mover, place=(0.0, 0.0), yaw=heading if draft.chance(0.5) else facing(draft, "stand"))
        draft.actions.append(
            Action(
                actor=mover,
                motion=motion,
                start=start,
                end=start + seconds,
                heading=heading,
                distance=distance,
                event="leave",
                turns=hops,
            )
        )
    if draft.chance(0.35):
        other = draft.cast(
            draft.pick(
                [k for k in ("ball", "cube", "cone", "tree", "snowman") if k in v.kinds_at(draft.dial)]
            )
        )
        gap = (actor.extent[1] + draft.actors[other].extent[1]) / 2 + 0.3
        draft.put(other, place=(sign * 0.3, gap), yaw=TOWARD)
    draft.may_cut = False


def enter(draft: Draft) -> None:
    """Somebody comes into the frame."""
    _passage(draft, "enter")


def leave(draft: Draft) -> None:
    """Somebody goes out of the frame."""
    _passage(draft, "leave")


def swing(draft: Draft) -> None:
    """A ball or a cube swings on a rope."""
    bob = draft.cast(draft.pick(("ball", "cube")), may_vary=False)
    draft.put(bob, is_hung=True, size="medium", yaw=0.0)
    widest = 0.72 if draft.aspect >= 1 else 0.36
    angle = draft.uniform(0.62 * widest, widest) * (1 if draft.chance(0.5) else -1)
    draft.actions.append(Action(actor=bob, motion="swing", start=0.1, end=draft.seconds, distance=angle))
    draft.may_cut = False


def chase(draft: Draft) -> None:
    """Somebody goes a long way, and the camera goes with it."""
    kinds = [
        k
        for k in v.kinds_at(draft.dial)
        if any(m in ("run", "walk", "drive", "fly") for m in v.KINDS[k].motions)
    ]
    mover = draft.cast(draft.pick(kinds))
    actor = draft.actors[mover]
    motion = draft.pick(
        [m for m in ("run", "walk", "drive", "fly") if m in v.motions_of(actor.kind, draft.dial)]
    )
    heading = RIGHT if draft.chance(0.5) else LEFT
    speed = draft.speed() if motion in v.HAS_SPEED else "normal"
    limit = 8.0 if draft.is_enclosed else 200.0
    distance = min(limit, PACE[motion] * v.SPEEDS[speed] * 1.3 * draft.seconds)
    end = min(draft.seconds, distance / (PACE[motion] * v.SPEEDS[speed] * 1.3))
    height = draft.uniform(0.6, 0.9) if motion == "fly" else 0.0
    draft.put(
        mover, place=(-float(np.cos(heading)) * min(distance / 2, 4.0), 0.0), yaw=heading, height=height
    )
    draft.actions.append(
        Action(
            actor=mover, motion=motion, start=0.0, end=end, heading=heading, distance=distance, speed=speed
        )
    )
    draft.wants_follow, draft.may_cut = True, False


@dataclass(frozen=True, kw_only=True)
class Play:
    """How a play is written, from which dial setting, how often it is given, and whether it is soon over."""

    write: Callable[[Draft], None]
    level: int
    weight: float
    is_brief: bool = False


PLAYS: dict[str, Play] = {
    "solo": Play(write=solo, level=1, weight=4.0),
    "company": Play(write=company, level=2, weight=3.0),
    "collide": Play(write=collide, level=2, weight=1.0, is_brief=True),
    "push": Play(write=push, level=3, weight=1.0),
    "topple": Play(write=topple, level=4, weight=0.7, is_brief=True),
    "hide": Play(write=hide, level=4, weight=0.8, is_brief=True),
    "enter": Play(write=enter, level=4, weight=0.7),
    "leave": Play(write=leave, level=4, weight=0.7),
    "swing": Play(write=swing, level=4, weight=0.6),
    "chase": Play(write=chase, level=4, weight=0.9),
}
