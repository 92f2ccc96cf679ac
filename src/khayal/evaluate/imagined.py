"""Scenes that are told and never rendered: a cast and a place, drawn from a seed, and prompts about them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from khayal.evaluate.claims import Claims, claims_of
from khayal.world import vocabulary as v
from khayal.world.captions import caption
from khayal.world.facts import Deed, Facts, Who

_GOES_ON = ("bounce", "roll", "slide", "spin", "walk", "run", "hop", "fly", "drive", "turn", "wave", "float")
"""Motions that need nobody else and are not over at once."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """A prompt and what it claims."""

    text: str
    claims: Claims


@dataclass(frozen=True, kw_only=True)
class Cast:
    """Who is there, and where."""

    actors: tuple[Who, ...]
    setting: str
    light: str

    @classmethod
    def draw(
        cls,
        dice: np.random.Generator,
        dial: int,
        *,
        num_actors: int = 0,
        without_colours: Collection[str] = (),
        without_setting: str = "",
    ) -> Cast:
        """Somebody of a dial, somewhere.

        Args:
            num_actors: how many; 0 draws it, as the dial admits.
            without_colours, without_setting: what is not drawn.
        """
        count = num_actors or int(dice.integers(1, v.MAX_ACTORS[dial] + 1))
        kinds = [kind for kind in v.kinds_at(dial) if _motions(kind, dial)]
        colours = [c for c in v.admitted(v.COLOUR_LEVELS, dial) if c not in without_colours]
        count = min(count, len(colours))
        settings = [s for s in v.admitted(v.SETTING_LEVELS, dial) if s != without_setting]
        setting = str(dice.choice(settings))
        picked = dice.permutation(colours)[:count].tolist()
        actors = [
            Who(kind=str(dice.choice(kinds)), colour=c, size="medium", material="plain") for c in picked
        ]
        return cls(actors=tuple(actors), setting=setting, light=v.SETTINGS[setting][0])

    def tell(self, dice: np.random.Generator, dial: int, language: str) -> Told:
        """A prompt of medium length in which everybody does something."""
        deeds = tuple(_deed(dice, number, who.kind, dial) for number, who in enumerate(self.actors))
        facts = Facts(
            setting=self.setting, light=self.light, actors=self.actors, deeds=deeds, relations=(), views=()
        )
        written = caption(facts, language, "medium", dice)
        claims = claims_of(written.claims, num_actors=len(self.actors), is_short=False)
        return Told(text=written.text, claims=claims)


def _motions(kind: str, dial: int) -> list[str]:
    return [motion for motion in v.motions_of(kind, dial) if motion in _GOES_ON]


def _deed(dice: np.random.Generator, number: int, kind: str, dial: int) -> Deed:
    motion = str(dice.choice(_motions(kind, dial)))
    going = str(dice.choice(["left", "right"])) if motion in v.TRAVELLING else ""
    return Deed(actor=number, motion=motion, direction=going)
