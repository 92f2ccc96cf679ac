"""A clip imagined anew: what of its layout is kept, and what of the prompt is followed, at each strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from khayal.clip import Clip
from khayal.evaluate.claims import from_json, fulfilled, to_json
from khayal.evaluate.imagined import Cast
from khayal.evaluate.labels import labels_of
from khayal.evaluate.measuring import Bench
from khayal.evaluate.performing import Performer
from khayal.evaluate.ratio import Ratio
from khayal.evaluate.reading import KEPT, Admitted, heard, presence, read
from khayal.evaluate.scenes import LANGUAGES, SEED_OF_REMIXES, Casting, Played, calm, played
from khayal.evaluate.store import Collected, Tensors, collect
from khayal.evaluate.tally import Tally
from khayal.model.probe import ProbeConfig
from khayal.tasks import STRENGTHS, RemixRequest

ASKED = ("kind", "colour", "pair", "motion", "setting")
SOURCE = "source"
"""The clip itself, read as if it were a remix: what is measured where nothing changes."""
_PER_FILE = 8


def measure(bench: Bench, casting: Casting, performer: Performer, count: int) -> Collected:
    """Remix so many clips at each strength; the prompt asks for other colours at another place."""
    casting = calm(casting, SEED_OF_REMIXES)
    into = Collected(bench.folder / "remix", per_file=_PER_FILE)
    numbers = [number for clips in into.missing(count) for number in clips]
    with closing(played(casting, numbers, bench.num_workers)) as stream:  # type: ignore[type-var]

        def make(clips: range) -> tuple[Tensors, list[dict[str, Any]]]:
            rows, lines = [], []
            for number in clips:
                row, line = _one(bench, performer, number, next(stream))
                rows.append(row)
                lines.append(line)
            return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}, lines

        collect(into, count, make, tell=lambda done: bench.show("remixes", done, count))
    return into


def _one(bench: Bench, performer: Performer, number: int, scene: Played) -> tuple[Tensors, dict[str, Any]]:
    dice = np.random.default_rng([SEED_OF_REMIXES, number, 1])
    actors, dial = scene.truth.actors, scene.truth.dial
    cast = Cast.draw(
        dice,
        dial,
        num_actors=len(actors),
        without_colours={actor.colour for actor in actors},
        without_setting=scene.truth.setting,
    )
    told = cast.tell(dice, dial, LANGUAGES[number % len(LANGUAGES)])
    clip = Clip.from_frames(scene.frames, fps=bench.maker.checkpoint.timeline.fps)
    labels = labels_of(scene.truth, bench.probe.config)
    row: Tensors = {"boxes": labels.boxes, "seen": labels.is_seen}
    for name in (SOURCE, *STRENGTHS):
        frames = scene.frames
        if name != SOURCE:
            request = RemixRequest(clip=clip, prompt=told.text, strength=name, seed=number)
            frames, _, _ = performer.perform(request)
        bench.picture(bench.folder, f"remix-{name}", number, torch.from_numpy(frames))
        reading = read(bench.probe, torch.from_numpy(frames)[None], bench.maker.fps)
        row |= {f"{name}_{key}": reading[key] for key in KEPT}
    return row, {"text": told.text, "claims": to_json(told.claims), "setting": scene.truth.setting}


def figures(
    measured: Tensors, lines: Sequence[Mapping[str, Any]], dial: int, config: ProbeConfig
) -> dict[str, Any]:
    """For the source and each strength: how far actors are from where they were, and what is as asked.

    `by_chance` is how far they are from where those of another clip were.
    """
    admitted = Admitted.at(dial, config)
    told: dict[str, Any] = {"clips": len(lines), "strengths": {}}
    for name in (SOURCE, *STRENGTHS):
        reading = {key: measured[f"{name}_{key}"] for key in KEPT}
        seen = heard(reading, dial, config)
        is_there = presence(reading["kinds"], admitted) > 0.5
        right = [fulfilled(from_json(line["claims"]), one) for line, one in zip(lines, seen, strict=True)]
        pairs = zip(seen, lines, strict=True)
        told["strengths"][name] = {
            "layout": _layouts(measured, reading, is_there, shift=0),
            "by_chance": _layouts(measured, reading, is_there, shift=1) if len(lines) > 1 else None,
            "setting_kept": Tally.of(one.setting == line["setting"] for one, line in pairs).to_json(),
            **{key: Tally.of(answer for one in right for answer in one[key]).to_json() for key in ASKED},
        }
    return told


def _layouts(measured: Tensors, reading: Tensors, is_there: Tensor, *, shift: int) -> dict[str, Any]:
    """Distances to the places of the true actors of the clip `shift` further on, in shares of the width."""
    boxes, seen = measured["boxes"].roll(-shift, 0), measured["seen"].roll(-shift, 0)
    found = [
        layout(boxes[clip], seen[clip], reading["boxes"][clip], reading["is_seen"][clip] > 0, is_there[clip])
        for clip in range(len(boxes))
    ]
    asked = sum(one.asked for one in found)
    count = sum(one.found for one in found)
    mean = Ratio.of([one.distance for one in found], [float(one.found) for one in found])
    return {"distance": mean.to_json(), "lost": round(1 - count / asked, 4) if asked else None}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Of one clip: the sum of distances over the moments at which an actor was found, and their numbers."""

    distance: float
    found: int
    asked: int


def layout(
    boxes: Float[Tensor, "n t 4"],
    is_seen: Bool[Tensor, "n t"],
    read_boxes: Float[Tensor, "n t 4"],
    is_read: Bool[Tensor, "n t"],
    is_there: Bool[Tensor, "n"],
) -> Layout:
    """How far the actors that are read are from the true ones, whatever their colours are now.

    Each true actor is paired with one that is read, so that all are as near as they can be.
    """
    true = is_seen.any(dim=1).nonzero()[:, 0].tolist()
    candidates = [*is_there.nonzero()[:, 0].tolist(), *[None] * len(true)]

    def compared(actor: int, other: int | None) -> tuple[float, int]:
        if other is None:
            return 0.0, 0
        both = is_seen[actor] & is_read[other]
        apart = (boxes[actor, :, :2] - read_boxes[other, :, :2]).norm(dim=-1)
        return float(apart[both].sum()), int(both.sum())

    def cost(pairing: tuple[int, ...]) -> float:
        pairs = [compared(actor, candidates[place]) for actor, place in zip(true, pairing, strict=True)]
        return sum(total / count if count else 1.0 for total, count in pairs)

    best = min(permutations(range(len(candidates)), len(true)), key=cost)
    pairs = [compared(actor, candidates[place]) for actor, place in zip(true, best, strict=True)]
    return Layout(
        distance=sum(total for total, _ in pairs),
        found=sum(count for _, count in pairs),
        asked=int(is_seen.sum()),
    )
