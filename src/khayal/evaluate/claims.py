"""What a prompt claims, and which of its claims a clip fulfils, as the probe reads it.

A prompt is asked for what it says and for nothing else: where it names no camera, the camera is not scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from khayal.world.captions import Claim

ATTRIBUTES = ("kind", "colour", "pair", "count", "motion", "direction", "setting", "light", "camera")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a prompt says of one actor; "" where it says nothing."""

    kind: str
    colour: str
    motion: str = ""
    direction: str = ""


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What a prompt says. `count` is None where it does not claim to name everybody."""

    actors: tuple[Asked, ...]
    setting: str = ""
    light: str = ""
    camera: str = ""
    count: int | None = None


@dataclass(frozen=True, kw_only=True)
class Actor:
    """An actor as the probe reads it; "" where it does nothing, or goes nowhere, in particular."""

    kind: str
    colour: str
    motion: str
    direction: str


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What the probe reads in a clip; the actors of which it is surest come first."""

    actors: tuple[Actor, ...]
    setting: str
    light: str
    camera: str
    is_cut: bool


def claims_of(stated: Iterable[Claim], *, num_actors: int, is_short: bool) -> Claims:
    """The claims of a caption in the form in which they are asked.

    Args:
        stated: as `khayal.world.captions` gives them.
        num_actors: how many actors the scene has. A caption that names all of them claims their number;
            one that is short names one actor only, and claims none.
    """
    said = list(stated)
    firsts: dict[str, Claim] = {claim[1]: claim for claim in said if claim[0] == "deed" and claim[2] == 0}
    actors = []
    for key in sorted(claim[1] for claim in said if claim[0] == "actor"):
        colour, _, kind = key.partition(" ")
        deed = firsts.get(key)
        motion, direction = (deed[3], deed[4] or "") if deed else ("", "")
        actors.append(Asked(kind=kind, colour=colour, motion=motion, direction=direction))
    views = [claim for claim in said if claim[0] == "view"]
    single = {claim[0]: claim[1] for claim in said if claim[0] in ("setting", "light")}
    return Claims(
        actors=tuple(actors),
        setting=single.get("setting", ""),
        light=single.get("light", ""),
        camera=(views[0][3] or "") if len(views) == 1 else "",
        count=num_actors if not is_short and len(actors) == num_actors else None,
    )


def fulfilled(claims: Claims, heard: Heard) -> dict[str, list[bool]]:
    """For each attribute, which of its claims are true of the clip; empty where none was made."""
    found: dict[str, list[bool]] = {name: [] for name in ATTRIBUTES}
    for asked, seen in zip(claims.actors, matched(claims.actors, heard.actors), strict=True):
        is_kind, is_colour = (
            seen is not None and seen.kind == asked.kind,
            seen is not None and seen.colour == asked.colour,
        )
        found["kind"].append(is_kind)
        found["colour"].append(is_colour)
        found["pair"].append(is_kind and is_colour)
        if asked.motion:
            found["motion"].append(seen is not None and seen.motion == asked.motion)
        if asked.direction:
            found["direction"].append(seen is not None and seen.direction == asked.direction)
    for name in ("setting", "light", "camera"):
        if getattr(claims, name):
            found[name].append(getattr(heard, name) == getattr(claims, name))
    if claims.count is not None:
        found["count"].append(len(heard.actors) == claims.count)
    return found


def matched(asked: Sequence[Asked], seen: Sequence[Actor]) -> list[Actor | None]:
    """For each actor of the prompt the one in the clip that it stands for, or None.

    All pairings are compared: a colour that is right counts twice as much as a kind that is, and where
    nothing tells, the surer actor comes first. An actor of the clip stands for one of the prompt at most.
    """
    choices: list[Actor | None] = [*seen, *[None] * len(asked)]

    def worth(pairing: tuple[int, ...]) -> tuple[int, ...]:
        pairs = [(one, choices[place]) for one, place in zip(asked, pairing, strict=True)]
        score = sum(
            1 + 4 * (other.colour == one.colour) + 2 * (other.kind == one.kind)
            for one, other in pairs
            if other is not None
        )
        return score, *(-place for place in pairing)

    best = max(permutations(range(len(choices)), len(asked)), key=worth)
    return [choices[place] for place in best]


def to_json(claims: Claims) -> dict[str, Any]:
    """Its fields."""
    return {
        "actors": [[a.kind, a.colour, a.motion, a.direction] for a in claims.actors],
        "setting": claims.setting,
        "light": claims.light,
        "camera": claims.camera,
        "count": claims.count,
    }


def from_json(data: dict[str, Any]) -> Claims:
    """What `to_json` wrote."""
    actors = tuple(Asked(kind=a[0], colour=a[1], motion=a[2], direction=a[3]) for a in data["actors"])
    return Claims(**{**data, "actors": actors})
