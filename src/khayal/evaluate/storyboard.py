"""Several shots with the same cast: whether everybody keeps kind and colour, and the place stays the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from khayal.evaluate.claims import Claims, Heard, from_json, fulfilled, matched, to_json
from khayal.evaluate.imagined import Cast, Told
from khayal.evaluate.measuring import Bench
from khayal.evaluate.performing import Performer
from khayal.evaluate.reading import KEPT, heard, read
from khayal.evaluate.scenes import LANGUAGES, SEED_OF_STORIES
from khayal.evaluate.store import Collected, Tensors, collect
from khayal.evaluate.tally import Tally
from khayal.evaluate.tasks import known
from khayal.model.probe import ProbeConfig
from khayal.tasks import Shot, StoryboardRequest

NUM_SHOTS = 4
SHIP, GOAL = 0.80, 0.95
"""Shares of actors that keep kind and colour through all shots."""
_PER_FILE = 4


def story(number: int, dial: int) -> list[Told]:
    """The prompts of one storyboard: the same cast does something else in each shot, at the same place."""
    dice = np.random.default_rng([SEED_OF_STORIES, number, dial])
    cast, language = Cast.draw(dice, dial), LANGUAGES[number % len(LANGUAGES)]
    return [cast.tell(dice, dial, language) for _ in range(NUM_SHOTS)]


def measure(bench: Bench, dials: Sequence[int], performer: Performer, count: int) -> Collected:
    """Make so many storyboards; keep what the probe reads in each shot."""
    into = Collected(bench.folder / "storyboard", per_file=_PER_FILE)

    def make(clips: range) -> tuple[Tensors, list[dict[str, Any]]]:
        rows, lines = [], []
        for number in clips:
            told = story(number, dials[number % len(dials)])
            rows.append(_one(bench, performer, number, told))
            lines.append(
                {"texts": [one.text for one in told], "claims": [to_json(one.claims) for one in told]}
            )
        return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}, lines

    collect(into, count, make, tell=lambda done: bench.show("storyboards", done, count))
    return into


def _one(bench: Bench, performer: Performer, number: int, told: Sequence[Told]) -> Tensors:
    """One row for each shot, in a row for the storyboard."""
    request = StoryboardRequest(shots=[Shot(prompt=one.text) for one in told], seed=number)
    frames, borders, kept = performer.perform(request)
    edges = [*borders.shots, len(frames)]
    shots = [torch.from_numpy(frames[a:b]) for a, b in pairwise(edges)]
    assert len(shots) == len(told), "a shot for each prompt"
    readings = [read(bench.probe, shot[None], bench.maker.fps) for shot in shots]
    for place, shot in enumerate(shots):
        bench.picture(bench.folder, f"storyboard-shot{place + 1}", number, shot)
    row = {key: torch.stack([reading[key] for reading in readings], dim=1) for key in KEPT}
    return row | {"made_known": kept.to_row()[None]}


def figures(
    measured: Tensors, lines: Sequence[Mapping[str, Any]], dial: int, config: ProbeConfig
) -> dict[str, Any]:
    """Who is the same in all shots, and who is as the prompts say.

    `identity` asks of each actor that the prompts name whether all shots show it with one kind and one
    colour, whatever these are; `as_told` whether they are also those of the prompts; `next` compares each
    later shot with the first.
    """
    flat = heard({key: measured[key].flatten(0, 1) for key in KEPT}, dial, config)
    same: dict[str, list[bool]] = {"identity": [], "as_told": [], "next": [], "setting": []}
    asked: dict[str, list[bool]] = {name: [] for name in ("kind", "colour", "pair", "motion", "setting")}
    for number, line in enumerate(lines):
        shots = flat[number * NUM_SHOTS : (number + 1) * NUM_SHOTS]
        claims = [from_json(one) for one in line["claims"]]
        for name, answers in _through(claims, shots).items():
            same[name] += answers
        for one, seen in zip(claims, shots, strict=True):
            right = fulfilled(one, seen)
            for name, answers in asked.items():
                answers += right[name]
    return {
        "storyboards": len(lines),
        "shots": NUM_SHOTS,
        "known": known(measured, ("made",))["made"],
        **{name: Tally.of(answers).to_json() for name, answers in same.items()},
        "asked": {name: Tally.of(answers).to_json() for name, answers in asked.items()},
    }


def _through(claims: Sequence[Claims], shots: Sequence[Heard]) -> dict[str, list[bool]]:
    """Of one storyboard: for each actor, and for the place, whether they stay the same."""
    found: dict[str, list[bool]] = {"identity": [], "as_told": [], "next": []}
    by_shot = []
    for one, seen in zip(claims, shots, strict=True):
        pairs = zip(one.actors, matched(one.actors, seen.actors), strict=True)
        by_shot.append(
            {
                (asked.kind, asked.colour): (actor.kind, actor.colour) if actor else None
                for asked, actor in pairs
            }
        )
    for who, first in by_shot[0].items():
        rest = [shot.get(who) for shot in by_shot[1:]]
        found["next"] += [first is not None and other == first for other in rest]
        found["identity"].append(first is not None and all(other == first for other in rest))
        found["as_told"].append(first == who and all(other == who for other in rest))
    return found | {"setting": [shot.setting == shots[0].setting for shot in shots[1:]]}
