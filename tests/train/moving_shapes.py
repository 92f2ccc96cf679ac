"""A tiny world for tests, drawn with numpy: squares that move, with captions, some with a cut."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from khayal.train.preparing import Sample
from khayal.train.source import Passage

NUM_FRAMES, SIDE = 16, 32
COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 70, 220)}
CUT = 9
ARABIC = {"red": "أحمر", "green": "أخضر", "blue": "أزرق"}


def clips(start: int) -> Iterator[Sample]:
    """Clips number start, start + 1, …"""
    number = start
    while True:
        yield clip(number)
        number += 1


def clip(number: int) -> Sample:
    dice = np.random.default_rng([7, number])
    colour, way = str(dice.choice(list(COLOURS))), str(dice.choice(["left", "right"]))
    frames = np.full((NUM_FRAMES, SIDE, SIDE, 3), 90, dtype=np.uint8)
    top, first = int(dice.integers(2, 20)), int(dice.integers(2, 8))
    for k in range(NUM_FRAMES):
        x = first + k if way == "right" else SIDE - 10 - first - k
        frames[k, top : top + 8, max(0, x) : max(0, x) + 8] = COLOURS[colour]
    texts = {
        "en/short": f"a {colour} square",
        "en/medium": f"a {colour} square moves to the {way}",
        "ar/short": f"مربع {ARABIC[colour]}",
    }
    passages = [Passage(kind="clip", start=0, end=NUM_FRAMES, texts=texts)]
    if number % 3 == 0:  # a cut to a darker view
        frames[CUT:] //= 2
        passages += [
            Passage(kind="shot", start=0, end=CUT, texts={"en/short": f"a {colour} square by day"}),
            Passage(
                kind="shot", start=CUT, end=NUM_FRAMES, texts={"en/short": f"a {colour} square at night"}
            ),
        ]
    return Sample(frames=frames, passages=tuple(passages))


def mirrored(sample: Sample) -> Sample | None:
    """Only clips without a cut, so that some have no mirror image; left and right change places."""
    if len(sample.passages) > 1:
        return None
    swap = {"left": "right", "right": "left"}
    texts = {
        name: " ".join(swap.get(word, word) for word in text.split())
        for name, text in sample.passages[0].texts.items()
    }
    passage = Passage(kind="clip", start=0, end=NUM_FRAMES, texts=texts)
    return Sample(frames=np.ascontiguousarray(sample.frames[:, :, ::-1]), passages=(passage,))
