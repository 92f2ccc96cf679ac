"""What training never sees, so that evaluation can ask for it.

A combination is held out by a rule on names alone, so it is the same on every machine and for every seed:

* a pair (kind, colour) where `crc32("kind/colour") % 16 == 5`, for kinds and colours beyond the first dial;
* a combination (kind, colour, motion, setting) where `crc32("kind/colour/motion/setting") % 20 == 7`.

The "train" split refuses scenes in which any actor has such a combination; the "heldout" split holds only
scenes whose first actor has one. Words are kept back too: each grammar marks some paraphrases, which appear
only in captions asked for with `split="heldout"` (see `grammar`).
"""

from __future__ import annotations

from zlib import crc32

from khayal.errors import InputError
from khayal.world.scene import Scene
from khayal.world.vocabulary import COLOUR_LEVELS, KINDS

SPLITS = ("train", "heldout", "all")


def is_pair_heldout(kind: str, colour: str) -> bool:
    """True where a kind is never seen in this colour during training."""
    if KINDS[kind].level == 1 and COLOUR_LEVELS[colour] == 1:
        return False
    return crc32(f"{kind}/{colour}".encode()) % 16 == 5


def is_combination_heldout(kind: str, colour: str, motion: str, setting: str) -> bool:
    """True where this kind, in this colour, is never seen to move so in this setting during training."""
    return is_pair_heldout(kind, colour) or crc32(f"{kind}/{colour}/{motion}/{setting}".encode()) % 20 == 7


def heldout_actors(scene: Scene) -> tuple[bool, ...]:
    """For each actor, whether it shows a held-out combination."""
    flags = []
    for number, actor in enumerate(scene.actors):
        motions = [a.motion for a in scene.actions_of(number)] or ["stand"]
        flags.append(any(is_combination_heldout(actor.kind, actor.colour, m, scene.setting) for m in motions))
    return tuple(flags)


def belongs(scene: Scene, split: str) -> bool:
    """True where a scene may appear in a split."""
    if split not in SPLITS:
        raise InputError(f"“{split}” is not a split of the world", fix=f"choose one of {', '.join(SPLITS)}")
    flags = heldout_actors(scene)
    return split == "all" or (not any(flags) if split == "train" else flags[0])
