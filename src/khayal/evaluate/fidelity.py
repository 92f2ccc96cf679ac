"""Prompt fidelity and consistency: what prompts claim, against what the probe reads in clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from khayal.evaluate.claims import ATTRIBUTES, Claims, from_json, fulfilled
from khayal.evaluate.reading import Admitted, best, heard, presence
from khayal.evaluate.tally import Tally
from khayal.model.probe import ProbeConfig

Lines = Sequence[Mapping[str, Any]]
Tensors = Mapping[str, Tensor]

GROUPS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "all": lambda line: True,
    "en": lambda line: line["language"] == "en",
    "ar": lambda line: line["language"] == "ar",
    "1 actor": lambda line: len(line["claims"]["actors"]) == 1,
    "2 actors": lambda line: len(line["claims"]["actors"]) == 2,
    "3 actors or more": lambda line: len(line["claims"]["actors"]) > 2,
}


def table(
    lines: Lines, made: Tensors | None, real: Tensors, dial: int, config: ProbeConfig
) -> dict[str, Any]:
    """For each group of prompts and each attribute: how often the model is right, and how often the probe.

    Args:
        made: what the probe reads in the model's clips; None leaves them out.
        real: what it reads in the rendered clips of the same scenes: the ceiling.
    """
    claims = [from_json(line["claims"]) for line in lines]
    ceiling = _answers(claims, real, dial, config)
    answers = _answers(claims, made, dial, config) if made is not None else None
    found: dict[str, Any] = {}
    for group, belongs in GROUPS.items():
        rows = [number for number, line in enumerate(lines) if belongs(line)]
        if not rows:
            continue
        entry: dict[str, Any] = {"prompts": len(rows)}
        for name in ATTRIBUTES:
            top = Tally.of(right for row in rows for right in ceiling[row][name])
            if not top.asked:
                continue
            entry[name] = {"ceiling": top.to_json()}
            if answers is not None:
                own = Tally.of(right for row in rows for right in answers[row][name])
                entry[name] |= own.to_json()
                entry[name]["ratio"] = round(own.share / top.share, 4) if own.share and top.share else 0.0
        found[group] = entry
    return found


def _answers(
    claims: Sequence[Claims], reading: Tensors, dial: int, config: ProbeConfig
) -> list[dict[str, list[bool]]]:
    told = heard(dict(reading), dial, config)
    return [fulfilled(asked, seen) for asked, seen in zip(claims, told, strict=True)]


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
