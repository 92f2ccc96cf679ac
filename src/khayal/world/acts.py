"""A scene while it is written, and how one actor fills its time.

The stage is a strip in front of the viewer, x to the right, y away. Actors that have nothing to do with each
other stand in lanes of different depth; those that meet share one.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    is_dark: bool = False
    actors: list[Actor] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    restitution: list[float] = field(default_factory=list)
    may_cut: bool = True
    wants_follow: bool = False

    def chance(self, share: float) -> bool:
        """True with a probability."""
        return bool(self.rng.random() < share)

    def pick(self, names: Sequence[str]) -> str:
        """One of several names."""
        return str(self.rng.choice(list(names)))

    def uniform(self, low: float, high: float) -> float:
        """A number between two."""
        return float(self.rng.uniform(low, high))

    def cast(self, kind: str, *, is_bouncy: bool = False, may_vary: bool = True) -> int:
        """Add an actor of a kind, in a colour that nobody of this kind has yet; returns its number."""
        taken = {a.colour for a in self.actors}
        colours = [c for c in v.admitted(v.COLOUR_LEVELS, self.dial) if c not in taken]
        if self.is_dark:
            # Black on black tells nobody anything.
            colours = [c for c in colours if c not in ("black", "brown")]
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
        return float(np.clip(wide - actor.extent[0], 0.7, 3.4))


def _travel_time(motion: str, speed: str, distance: float) -> float:
    return distance / (PACE[motion] * v.SPEEDS[speed])


def lanes(draft: Draft, count: int) -> list[float]:
    """Depths for several actors; the first one stands in front of most others."""
    gaps = {1: [0.0], 2: [-0.6, 0.75], 3: [-0.9, 0.3, 1.4], 4: [-1.2, -0.1, 0.9, 1.9]}[count]
    first = int(draft.rng.integers(2)) if count > 1 else 0
    rest = [k for k in range(count) if k != first]
    return [gaps[k] for k in (first, *draft.rng.permutation(rest))]


def independent(draft: Draft, number: int, lane: float, x: float, *, room: float, alone: bool) -> None:
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
    if draft.seconds > 8:
        # What falls or is thrown does so once; a long scene needs what goes on.
        options = [m for m in options if m not in ("fall", "throw") and (m != "roll" or actor.kind != "ring")]
    motion = draft.pick(options)
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
    last = max(a.end for a in draft.actions if a.actor == number)
    first = next(a for a in draft.actions if a.actor == number)
    heading = first.heading
    if first.motion not in ("roll", "slide", "bounce", "spin"):
        return
    if first.motion == "bounce" and draft.seconds > 8:
        draft.actions[draft.actions.index(first)] = replace(first, end=6.5)
        last = 6.5
    while draft.seconds - last > 3.5:
        start = last + draft.uniform(0.8, 1.6)
        heading = heading + pi
        speed = draft.speed()
        if first.motion == "spin":
            last = _spins(draft, number, start)
            continue
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
                draft.put(number, yaw=facing(draft, motion))
            end = _in_place(draft, number, motion, now, span)
            if motion == "circle":
                radius = next(a.distance for a in reversed(draft.actions) if a.actor == number)
                if is_first:
                    draft.put(number, place=(home_x - radius, home_y), yaw=-pi / 2)
                offset = float(np.clip(offset, -room / 2, room / 2))
        now, is_first = end + (draft.uniform(0.1, 0.5) if draft.chance(0.4) else 0.0), False


def facing(draft: Draft, motion: str) -> float:
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


def character_acts_later(draft: Draft, number: int, start: float) -> None:
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
