"""Captions of a world of two kinds and two colours, with what they say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from khayal.model.probe import ProbeConfig, ProbeLabels
from khayal.train.comprehension import CaptionBatch
from khayal.train.probing import joined
from khayal.train.source import Reading

NAMES = ProbeConfig(
    kinds=("ball", "cube"),
    colours=("red", "blue"),
    motions=("roll", "slide"),
    directions=("left", "right"),
    settings=("snow",),
    lights=("day",),
    moves=("still",),
)


def labels_of(kind: str, colour: str) -> ProbeLabels:
    """Of one clip, in which somebody rolls to the left."""
    place, nobody = NAMES.colours.index(colour), torch.tensor([[2, 2]])
    kinds, motions = nobody.clone(), nobody - 3
    kinds[0, place], motions[0, place] = NAMES.kinds.index(kind), 0
    zero = torch.zeros(1, dtype=torch.int64)
    return ProbeLabels(
        kinds=kinds,
        motions=motions,
        directions=motions,
        is_seen=torch.ones(1, 2, 16, dtype=torch.bool),
        boxes=torch.zeros(1, 2, 16, 4),
        settings=zero,
        lights=zero,
        moves=zero,
        is_cut=zero.bool(),
    )


PAIRS = [("ball", "cube"), ("cube", "ball"), ("ball", "ball"), ("cube", "cube")]


class ToldOfTwo:
    """Scenes of a red and a blue one: which is what stands in the order of the words alone."""

    def __len__(self) -> int:
        return len(PAIRS)

    def batches(self, reading: Reading) -> Iterator[CaptionBatch]:
        step = reading.start
        while True:
            dice = np.random.default_rng([reading.seed, step])
            drawn = [PAIRS[int(dice.integers(len(PAIRS)))] for _ in reading.rows]
            captions, labels = [], []
            for red, blue in drawn:
                told = [f"a red {red}", f"a blue {blue}"]
                captions.append(" and ".join(told if dice.random() < 0.5 else told[::-1]) + " rolls")
                one, other = labels_of(red, "red"), labels_of(blue, "blue")
                both = torch.where(one.kinds < len(NAMES.kinds), one.kinds, other.kinds)
                labels.append(replace(one, kinds=both))
            yield CaptionBatch(captions=tuple(captions), labels=joined(labels))
            step += 1
