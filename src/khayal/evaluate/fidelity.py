"""Prompt fidelity and consistency: what prompts claim, against what the probe reads in clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from khayal.evaluate.claims import ATTRIBUTES, Claims, Heard, from_json, fulfilled, matched
from khayal.evaluate.reading import Admitted, best, heard, presence
from khayal.evaluate.tally import Tally
from khayal.model.probe import ProbeConfig

Lines = Sequence[Mapping[str, Any]]
Tensors = Mapping[str, Tensor]

NUM_TURNS = 16
"""Orders of the clips from which chance is estimated."""

GROUPS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "all": lambda line: True,
    "en": lambda line: line["language"] == "en",
    "ar": lambda line: line["language"] == "ar",
    "1 actor": lambda line: len(line["claims"]["actors"]) == 1,
    "2 actors": lambda line: len(line["claims"]["actors"]) == 2,
    "3 actors or more": lambda line: len(line["claims"]["actors"]) > 2,
}


def table(lines: Lines, made: Tensors, real: Tensors, dial: int, config: ProbeConfig) -> dict[str, Any]:
    """For each group of prompts and each attribute: how often the model is right, and how often the probe.

    Beside them stands chance: how often a clip is right about the prompts of others. It is high where
    prompts are much alike, and a share that is not above it says nothing. So is told how many different
    casts (kinds and colours) the prompts name. Of prompts that name several kinds it is told whose kind an
    actor has: a model that knows what is there may not know which of them is what.

    Args:
        made: what the probe reads in the model's clips.
        real: what it reads in the rendered clips of the same scenes: the ceiling.
    """
    claims = [from_json(line["claims"]) for line in lines]
    casts = [frozenset((actor.kind, actor.colour) for actor in asked.actors) for asked in claims]
    in_made, in_real = (heard(dict(reading), dial, config) for reading in (made, real))
    found: dict[str, Any] = {}
    for group, belongs in GROUPS.items():
        rows = [number for number, line in enumerate(lines) if belongs(line)]
        if not rows:
            continue
        asked = [claims[row] for row in rows]
        own, true = ([clips[row] for row in rows] for clips in (in_made, in_real))
        answers, ceiling = _tallies(asked, [own]), _tallies(asked, [true])
        chance = _tallies(asked, [[*own[turn:], *own[:turn]] for turn in _turns(len(rows))])
        entry: dict[str, Any] = {"prompts": len(rows), "casts": len({casts[row] for row in rows})}
        for name, tally in answers.items():
            if not tally.asked:
                continue
            top, by_chance = ceiling[name], chance[name].share
            entry[name] = tally.to_json() | {
                "ceiling": top.to_json(),
                "ratio": round(tally.share / top.share, 4) if tally.share and top.share else 0.0,
                "chance": None if by_chance is None else round(by_chance, 4),
            }
        whose = {"made": whose_kind(asked, own), "real": whose_kind(asked, true)}
        if any(whose["made"].values()):
            entry["whose_kind"] = whose
        found[group] = entry
    return found


def whose_kind(claims: Sequence[Claims], clips: Sequence[Heard]) -> dict[str, int]:
    """Of actors that are named beside others of other kinds: how many have their own kind, or another's.

    A third kind is one that the prompt does not name; missing is who nobody in the clip stands for.
    """
    found = Counter({"own": 0, "other": 0, "third": 0, "missing": 0})
    for asked, clip in zip(claims, clips, strict=True):
        kinds = [actor.kind for actor in asked.actors]
        if len({*kinds}) < len(kinds) or len(kinds) < 2:
            continue
        for kind, seen in zip(kinds, matched(asked.actors, clip.actors), strict=True):
            if seen is None:
                found["missing"] += 1
            elif seen.kind == kind:
                found["own"] += 1
            else:
                found["other" if seen.kind in kinds else "third"] += 1
    return dict(found)


def _tallies(claims: Sequence[Claims], clips: Sequence[Sequence[Heard]]) -> dict[str, Tally]:
    """By attribute: how often the claims are true of their clips, in all of these orders of them."""
    answers = [fulfilled(*pair) for order in clips for pair in zip(claims, order, strict=True)]
    return {name: Tally.of(right for one in answers for right in one[name]) for name in ATTRIBUTES}


def _turns(count: int) -> list[int]:
    """By how many places clips are moved on to meet the prompts of others: some, evenly over all."""
    return sorted({1 + (count - 1) * turn // NUM_TURNS for turn in range(NUM_TURNS)}) if count > 1 else []


def identities(lines: Lines, reading: Tensors, dial: int, config: ProbeConfig) -> Tally:
    """Of clips whose scene has a moving camera and in which actors are read: who keeps kind and colour.

    Kinds are read in the first and in the last third apart; the actors are those read in the whole clip.
    """
    admitted = Admitted.at(dial, config)
    whole = presence(reading["kinds"], admitted)
    early, late = (kinds_there(reading[f"{part}_kinds"], admitted) for part in ("early", "late"))
    same = []
    for clip, line in enumerate(lines):
        if line["move"] in ("", "still"):
            continue
        rows = (whole[clip] > 0.5).nonzero()[:, 0].tolist()
        same += [bool(early[clip, row] == late[clip, row] != -1) for row in rows]
    return Tally.of(same)


def kinds_there(logits: Tensor, admitted: Admitted) -> Tensor:
    """The kind of the actor of each colour, −1 where there is none."""
    kinds = best(logits[..., :-1], admitted.kinds[:-1])
    return torch.where(presence(logits, admitted) > 0.5, kinds, -1)
