"""The same said twice, in any wording and in the plainest English one: what a text encoder learns from.

Needs no MuJoCo.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from khayal.world import vocabulary as v
from khayal.world.captions import LANGUAGES, LENGTHS, plan, write
from khayal.world.facts import Facts
from khayal.world.heldout import is_combination_heldout

EMPTY_SHARE = 0.02
EXCHANGED_SHARE = 0.7
_OTHER_SIDE = {"left": "right", "right": "left"}


def plainly(facts: Facts, seed: int) -> str:
    """A caption of medium length in the plainest English wording."""
    return write(plan(facts, "medium", np.random.default_rng(seed)), "en", np.random.default_rng(0), "plain")


def said_twice(facts: Facts, dial: int, dice: np.random.Generator) -> tuple[str, str]:
    """Two captions that state the same, of what a scene shows or could show; now and then both are empty.

    The first is in a wording of the training captions, in any language; the second is the plainest English.
    """
    if dice.random() < EMPTY_SHARE:
        return "", ""
    length, language = str(dice.choice(LENGTHS)), str(dice.choice(list(LANGUAGES)))
    planned = plan(recast(facts, dial, dice), length, dice)
    return write(planned, language, dice), write(planned, "en", dice, "plain")


def recast(facts: Facts, dial: int, dice: np.random.Generator) -> Facts:
    """Other colours, another place, light and camera, the other direction, as the dial admits them.

    No picture has to show it. It has no combination that is held out, though `facts` may.
    """
    for _ in range(100):
        actors, deeds, views = facts.actors, facts.deeds, facts.views
        setting, light = facts.setting, facts.light
        if dice.random() < 0.7:
            colours = dice.permutation(v.admitted(v.COLOUR_LEVELS, dial))[: len(actors)]
            actors = tuple(replace(who, colour=str(c)) for who, c in zip(actors, colours, strict=True))
        if dice.random() < 0.7:
            setting = str(dice.choice(v.admitted(v.SETTING_LEVELS, dial)))
            lights = [light for light in v.SETTINGS[setting] if v.LIGHTS[light] <= dial]
            light = str(dice.choice(lights or v.SETTINGS[setting][:1]))
        if dice.random() < 0.5:
            deeds = tuple(
                replace(deed, direction=_OTHER_SIDE.get(deed.direction, deed.direction)) for deed in deeds
            )
        if len(views) == 1 and views[0].move != "follow" and dice.random() < 0.5:
            moves = [move for move in v.admitted(v.CAMERA_MOVES, dial) if move != "follow"]
            views = (replace(views[0], move=str(dice.choice(moves))),)
        told = replace(facts, actors=actors, deeds=deeds, views=views, setting=setting, light=light)
        if not _is_heldout(told):
            break
    return told


def miscast(facts: Facts, dial: int, dice: np.random.Generator) -> Facts:
    """What is nearly true: two actors have exchanged kinds, or one of them is of another kind.

    It has no combination that is held out either; where chance finds none, the facts stay as they are.
    """
    for _ in range(100):
        actors = list(facts.actors)
        kinds = [actor.kind for actor in actors]
        pairs = [(a, b) for b in range(len(kinds)) for a in range(b) if kinds[a] != kinds[b]]
        if pairs and dice.random() < EXCHANGED_SHARE:
            a, b = pairs[int(dice.integers(len(pairs)))]
            kinds[a], kinds[b] = kinds[b], kinds[a]
        else:
            others = [kind for kind in v.kinds_at(dial) if kind not in kinds and v.KINDS[kind].is_object]
            kinds[int(dice.integers(len(kinds)))] = str(dice.choice(others))
        cast = tuple(replace(actor, kind=kind) for actor, kind in zip(actors, kinds, strict=True))
        if not _is_heldout(replace(facts, actors=cast)):
            return replace(facts, actors=cast)
    return facts


def _is_heldout(facts: Facts) -> bool:
    doing = [
        (who, [deed.motion for deed in facts.deeds if deed.actor == k]) for k, who in enumerate(facts.actors)
    ]
    return any(
        is_combination_heldout(who.kind, who.colour, motion, facts.setting)
        for who, motions in doing
        for motion in motions or ["stand"]
    )
