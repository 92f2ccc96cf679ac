"""Plays: who does what, and where, so that everything can be seen. Each writes a draft of a scene.

The stage is a strip in front of the viewer, x to the right, y away. Actors that have nothing to do with each
other stand in lanes of different depth; those that meet share one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import pi, sqrt

import numpy as np

from khayal.world import vocabulary as v
from khayal.world.scene import Action, Actor

# Metres a second at normal speed.
PACE = {
    "walk": 0.60,
    "run": 1.35,
    "hop": 0.60,
    "fly": 0.85,
    "drive": 1.0,
    "push": 0.55,
    "roll": 0.85,
    "slide": 0.85,
    "float": 0.38,
}
LEFT, RIGHT, TOWARD, AWAY = pi, 0.0, -pi / 2, pi / 2
BOUNCY, DULL = (0.70, 0.86), (0.15, 0.35)


@dataclass
class Draft:
    """A scene while it is being written."""

    rng: np.random.Generator
    dial: int
    seconds: float
    aspect: float
    is_enclosed: bool
    actors: list[Actor] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    restitution: list[float] = field(default_factory=list)
    may_cut: bool = True
    wants_follow: bool = False

    def chance(self, share: float) -> bool:
        """True with a probability."""
        return bool(self.rng.random() < share)

    def pick(self, names: tuple[str, ...] | list[str]) -> str:
        """One of several names."""
        return str(self.rng.choice(list(names)))

    def uniform(self, low: float, high: float) -> float:
        """A number between two."""
        return float(self.rng.uniform(low, high))

    def cast(self, kind: str, *, is_bouncy: bool = False, may_vary: bool = True) -> int:
        """Add an actor of a kind, in a colour that nobody of this kind has yet; returns its number."""
        taken = {a.colour for a in self.actors}
        colours = [c for c in v.admitted(v.COLOUR_LEVELS, self.dial) if c not in taken]
        if kind == "tree":
            colours = [
                c for c in colours if c in ("green", "yellow", "orange", "red", "pink", "white", "purple")
            ]
        size, material = "medium", "plain"
        if self.dial >= 2 and may_vary and self.chance(0.35):
            size = self.pick(("small", "large"))
        if v.KINDS[kind].is_object and kind != "tower":
            materials = v.admitted(v.MATERIALS, self.dial)
            material = self.pick(materials) if self.chance(0.65) else "plain"
        self.actors.append(
            Actor(
                kind=kind,
                colour=self.pick(colours),
                size=size,
                material=material,
                look=int(self.rng.integers(36)),
            )
        )
        self.restitution.append(round(self.uniform(*(BOUNCY if is_bouncy else DULL)), 3))
        return len(self.actors) - 1

    def put(self, number: int, **changes: object) -> Actor:
        """Change where an actor starts."""
        self.actors[number] = replace(self.actors[number], **changes)  # type: ignore[arg-type]
        return self.actors[number]

    def speed(self) -> str:
        """A named speed."""
        return self.pick(("slow", "fast")) if self.dial >= 2 and self.chance(0.45) else "normal"

    def room(self, actor: Actor) -> float:
        """Metres that an actor may travel while it still fills a fifth of the frame's height."""
        wide = 0.9 * actor.extent[2] / 0.24 * self.aspect
        return float(np.clip(wide - actor.extent[0], 0.9, 3.4))


def _travel_time(motion: str, speed: str, distance: float) -> float:
    return distance / (PACE[motion] * v.SPEEDS[speed])


def _lanes(draft: Draft, count: int) -> list[float]:
    gaps = {1: [0.0], 2: [-0.7, 0.9], 3: [-1.1, 0.4, 1.8], 4: [-1.5, -0.1, 1.2, 2.5]}[count]
    order = draft.rng.permutation(count)
    return [gaps[k] for k in order]


def _independent(draft: Draft, number: int, lane: float, x: float, *, room: float, alone: bool) -> None:
    """Fill an actor's time with motions that keep it near (x, lane)."""
    actor = draft.put(number, place=(x, lane))
    if actor.is_object:
        _object_acts(draft, number, room, alone)
    else:
        _character_acts(draft, number, room, alone)


def _headings(draft: Draft, alone: bool) -> float:
    if alone and draft.chance(0.2):
        return TOWARD if draft.chance(0.5) else AWAY
    return RIGHT if draft.chance(0.5) else LEFT


def _object_acts(draft: Draft, number: int, room: float, alone: bool) -> None:
    actor = draft.actors[number]
    options = [m for m in v.motions_of(actor.kind, draft.dial) if m not in ("hit", "swing", "topple")]
    motion = draft.pick(options)
    x, y = actor.place
    start = draft.uniform(0.1, 0.5)
    if motion == "bounce":
        draft.restitution[number] = round(draft.uniform(*BOUNCY), 3)
        drop = draft.uniform(0.9, 1.5) * sqrt(actor.extent[2])
        draft.put(number, height=drop)
        draft.actions.append(
            Action(actor=number, motion=motion, start=start, end=draft.seconds, distance=drop)
        )
    elif motion == "fall":
        drop = draft.uniform(0.8, 1.3)
        draft.put(number, height=drop, yaw=draft.uniform(-0.4, 0.4))
        draft.actions.append(
            Action(actor=number, motion=motion, start=start, end=draft.seconds, distance=drop)
        )
    elif motion == "spin":
        _spins(draft, number)
    else:
        heading, speed = _headings(draft, alone), draft.speed()
        distance = min(room, draft.uniform(1.3, 2.6))
        end = min(draft.seconds, start + _travel_time(motion if motion in PACE else "roll", speed, distance))
        if motion == "throw":
            speed, distance, end = "normal", min(distance, 1.8), draft.seconds
            heading = heading if abs(np.cos(heading)) > 0.5 else RIGHT
        distance = (
            min(distance, (end - start) * PACE.get(motion, 0.85) * v.SPEEDS[speed])
            if motion != "throw"
            else distance
        )
        _step_back(draft, number, heading, distance)
        draft.put(
            number,
            yaw=heading
            if actor.kind in ("ring", "cylinder")
            else draft.uniform(-0.5, 0.5) * (motion != "slide"),
        )
        draft.actions.append(
            Action(
                actor=number,
                motion=motion,
                start=start,
                end=end,
                heading=heading,
                distance=distance,
                speed=speed,
            )
        )
    _carry_on_object(draft, number, room)


def _carry_on_object(draft: Draft, number: int, room: float) -> None:
    """In a long scene an object that can is set going again, back and forth."""
    actor = draft.actors[number]
    last = max(a.end for a in draft.actions if a.actor == number)
    first = next(a for a in draft.actions if a.actor == number)
    heading = first.heading
    if first.motion not in ("roll", "slide", "bounce") or actor.kind == "ring":
        return
    if first.motion == "bounce" and draft.seconds > 8:
        draft.actions[draft.actions.index(first)] = replace(first, end=6.5)
        last = 6.5
    while draft.seconds - last > 3.5:
        start = last + draft.uniform(0.8, 1.6)
        heading = heading + pi
        speed = draft.speed()
        if first.motion == "bounce":
            action = Action(
                actor=number, motion="bounce", start=start, end=min(start + 5.0, draft.seconds), distance=1.0
            )
        else:
            distance = first.distance
            end = min(draft.seconds, start + _travel_time(first.motion, speed, distance))
            action = Action(
                actor=number,
                motion=first.motion,
                start=start,
                end=end,
                heading=heading,
                distance=distance,
                speed=speed,
            )
        draft.actions.append(action)
        last = action.end


def _spins(draft: Draft, number: int, start: float | None = None) -> float:
    """Spin in place; returns when it ends."""
    speed = draft.speed()
    begin = draft.uniform(0.0, 0.4) if start is None else start
    end = min(draft.seconds, begin + draft.uniform(2.5, 4.0))
    turns = (end - begin) * 0.5 * v.SPEEDS[speed] * (1 if draft.chance(0.5) else -1)
    draft.actions.append(Action(actor=number, motion="spin", start=begin, end=end, turns=turns, speed=speed))
    return end


def _step_back(draft: Draft, number: int, heading: float, distance: float) -> None:
    """Start half of the way before the actor's spot, so that its path is centred there."""
    x, y = draft.actors[number].place
    draft.put(number, place=(x - np.cos(heading) * distance / 2, y - np.sin(heading) * distance / 2))


def _character_acts(draft: Draft, number: int, room: float, alone: bool, start: float = 0.0) -> None:
    actor = draft.actors[number]
    flies = actor.kind == "plane" or (actor.kind == "bird" and draft.chance(0.7))
    options = [m for m in v.motions_of(actor.kind, draft.dial) if m != "push"]
    if actor.kind == "bird":
        options = [m for m in options if (m == "hop") != flies]
    if actor.kind == "circle" or (draft.is_enclosed and actor.kind in ("car", "plane")):
        options = [m for m in options if m != "circle"] or options
    if not alone:
        options = [m for m in options if m != "circle"] or options
    home_x, home_y = actor.place
    if flies or actor.kind == "balloon":
        draft.put(number, height=draft.uniform(0.6, 1.0))
    offset, yaw, now, is_first = 0.0, None, start, True
    along_y = alone and draft.chance(0.2)
    while draft.seconds - now > 1.0 or is_first:
        left = draft.seconds - now
        motion = draft.pick(options)
        span = (
            min(left, draft.uniform(2.0, 4.0))
            if left > 2.6 and draft.chance(0.45)
            else min(left, draft.uniform(3.2, 4.5))
        )
        if left - span < 1.0 and left < 5.0:
            span = left
        if motion in ("walk", "run", "hop", "fly", "drive") or motion == "float":
            if is_first:
                sign = 1.0 if draft.chance(0.5) else -1.0
                offset = -sign * room / 2
            else:
                sign = -1.0 if offset > 0 else 1.0
            end, offset, yaw = _one_trip(draft, number, motion, (now, span), (sign, offset, room), along_y)
            if is_first:
                shift = -sign * room / 2
                where = (home_x, home_y + shift) if along_y else (home_x + shift, home_y)
                draft.put(number, place=where, yaw=yaw)
        else:
            if is_first:
                draft.put(number, yaw=_facing(draft, motion))
            end = _in_place(draft, number, motion, now, span)
            if motion == "circle":
                radius = next(a.distance for a in reversed(draft.actions) if a.actor == number)
                if is_first:
                    draft.put(number, place=(home_x - radius, home_y), yaw=-pi / 2)
                offset = float(np.clip(offset, -room / 2, room / 2))
        now, is_first = end + (draft.uniform(0.1, 0.5) if draft.chance(0.4) else 0.0), False


def _facing(draft: Draft, motion: str) -> float:
    """Someone who stays where it is mostly faces the viewer, a little aside."""
    return TOWARD + draft.uniform(-0.8, 0.8) if motion != "turn" else TOWARD + draft.uniform(-0.5, 0.5)


def _one_trip(
    draft: Draft,
    number: int,
    motion: str,
    when: tuple[float, float],
    where: tuple[float, float, float],
    along_y: bool,
) -> tuple[float, float, float]:
    """One stretch of travel; returns its end, the new offset from home, and the heading."""
    (now, span), (sign, offset, room) = when, where
    speed = draft.speed() if motion in v.HAS_SPEED else "normal"
    if motion == "float" and draft.chance(0.5):
        lift = 1 if draft.actors[number].height < 0.8 or draft.chance(0.6) else -1
        distance = min(PACE["float"] * v.SPEEDS[speed] * span, 0.55 if lift < 0 else 1.0)
        draft.actions.append(
            Action(
                actor=number,
                motion=motion,
                start=now,
                end=now + span,
                distance=distance,
                speed=speed,
                lift=lift,
            )
        )
        return now + span, offset, draft.actors[number].yaw
    reach = max(0.4, room / 2 - sign * offset)
    distance = min(reach, PACE[motion] * v.SPEEDS[speed] * span)
    end = now + _travel_time(motion, speed, distance)
    heading = (RIGHT if sign > 0 else LEFT) if not along_y else (AWAY if sign > 0 else TOWARD)
    hops = max(1, round((end - now) / 0.62)) if motion == "hop" else 0
    draft.actions.append(
        Action(
            actor=number,
            motion=motion,
            start=now,
            end=end,
            heading=heading,
            distance=distance,
            speed=speed,
            turns=float(hops),
        )
    )
    return end, offset + sign * distance, heading


def _in_place(draft: Draft, number: int, motion: str, now: float, span: float) -> float:
    """A motion that goes nowhere; returns its end."""
    sign = 1.0 if draft.chance(0.5) else -1.0
    if motion == "spin":
        return _spins(draft, number, now)
    if motion == "turn":
        end = now + min(span, draft.uniform(1.2, 1.8))
        draft.actions.append(Action(actor=number, motion=motion, start=now, end=end, turns=0.5 * sign))
        return end
    if motion == "circle":
        radius = 0.65 * max(1.0, draft.actors[number].extent[0] / 1.2)
        speed = draft.speed()
        pace = PACE["fly" if draft.actors[number].height > 0 else "walk"] * v.SPEEDS[speed] * 1.5
        turns = max(0.5, min(2.0, pace * span / (2 * pi * radius)))
        draft.actions.append(
            Action(
                actor=number,
                motion=motion,
                start=now,
                end=now + span,
                distance=radius,
                turns=sign * turns,
                speed=speed,
            )
        )
        return now + span
    draft.actions.append(Action(actor=number, motion=motion, start=now, end=now + span))
    return now + span


def solo(draft: Draft) -> None:
    """One actor, alone."""
    kinds = [k for k in v.kinds_at(draft.dial) if k != "tower"]
    number = draft.cast(draft.pick(kinds))
    _independent(draft, number, 0.0, 0.0, room=draft.room(draft.actors[number]), alone=True)


def company(draft: Draft) -> None:
    """Two to four actors, each with its own business."""
    count = int(draft.rng.integers(2, v.MAX_ACTORS[draft.dial] + 1))
    kinds = [k for k in v.kinds_at(draft.dial) if k != "tower"]
    chosen = [draft.pick(kinds) for _ in range(count)]
    spots = (
        draft.rng.permutation(np.linspace(-0.5, 0.5, count)) * (0.75 + 0.5 * count) * min(1.0, draft.aspect)
    )
    for lane, kind, x in zip(_lanes(draft, count), chosen, spots, strict=True):
        number = draft.cast(kind)
        if number and draft.chance(0.3) and kind != "balloon":
            draft.put(number, place=(float(x), lane), yaw=_facing(draft, "stand"))
            if kind == "plane":
                draft.put(number, height=0.8)
            continue
        room = min(draft.room(draft.actors[number]), 1.3)
        _independent(draft, number, lane, float(x), room=room, alone=False)


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
    seconds = distance / draft.uniform(1.5, 2.3)
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
        _character_later(draft, agent, seconds + 0.3)


def _character_later(draft: Draft, number: int, start: float) -> None:
    """After its part in a play an actor does things that need no room."""
    options = [m for m in ("turn", "wave", "hop") if m in v.motions_of(draft.actors[number].kind, draft.dial)]
    now = start
    while options and draft.seconds - now > 1.2:
        motion = draft.pick(options)
        span = min(draft.seconds - now, draft.uniform(1.5, 3.0))
        if motion == "hop":
            hops = float(max(1, round(span / 0.62)))
            draft.actions.append(Action(actor=number, motion="hop", start=now, end=now + span, turns=hops))
            now += span
        else:
            now = _in_place(draft, number, motion, now, span)
        now += draft.uniform(0.2, 0.9)


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
    draft.put(ball, place=(-sign * 1.9, 0.0))
    gap = 1.6 - draft.actors[ball].extent[0] / 2
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
    cover = draft.cast(
        draft.pick([k for k in ("bus", "tree", "cube", "car", "cylinder") if k in kinds]), may_vary=False
    )
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
    half = draft.actors[cover].extent[0] / 2 + draft.actors[mover].extent[0] / 2 + 0.35
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
    _character_later(draft, mover, end + 0.3)


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
    extra = {"turns": float(round(seconds / 0.5))} if motion == "hop" else {}
    if event == "enter":
        start = draft.uniform(0.2, 0.5)
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
                **extra,
            )
        )
        _character_later(draft, mover, start + seconds + 0.2)
    else:
        start = max(0.6, draft.seconds - seconds - draft.uniform(0.1, 0.5))
        draft.put(mover, place=(0.0, 0.0), yaw=heading if draft.chance(0.5) else _facing(draft, "stand"))
        draft.actions.append(
            Action(
                actor=mover,
                motion=motion,
                start=start,
                end=start + seconds,
                heading=heading,
                distance=distance,
                event="leave",
                **extra,
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
    angle = draft.uniform(0.45, 0.72) * (1 if draft.chance(0.5) else -1)
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
    """How a play is written, from which dial setting, and how often it is given."""

    write: Callable[[Draft], None]
    level: int
    weight: float


PLAYS: dict[str, Play] = {
    "solo": Play(write=solo, level=1, weight=4.0),
    "company": Play(write=company, level=2, weight=3.0),
    "collide": Play(write=collide, level=2, weight=1.0),
    "push": Play(write=push, level=3, weight=1.0),
    "topple": Play(write=topple, level=4, weight=0.7),
    "hide": Play(write=hide, level=4, weight=0.8),
    "enter": Play(write=enter, level=4, weight=0.7),
    "leave": Play(write=leave, level=4, weight=0.7),
    "swing": Play(write=swing, level=4, weight=0.6),
    "chase": Play(write=chase, level=4, weight=0.9),
}
