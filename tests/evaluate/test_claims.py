"""A prompt is asked for what it says and for nothing else."""

import numpy as np
import pytest
from hand_made import truth

from khayal.evaluate.claims import (
    Actor,
    Asked,
    Claims,
    Heard,
    claims_of,
    from_json,
    fulfilled,
    matched,
    to_json,
)
from khayal.world.captions import caption, read
from khayal.world.facts import facts_of

BALL = Asked(kind="ball", colour="red", motion="roll", direction="right")
CUBE = Asked(kind="cube", colour="blue", motion="stand")
SEEN_BALL = Actor(kind="ball", colour="red", motion="roll", direction="right")
SEEN_CUBE = Actor(kind="cube", colour="blue", motion="stand", direction="")


def heard(*actors: Actor, camera: str = "still") -> Heard:
    return Heard(actors=actors, setting="snow", light="day", camera=camera, is_cut=False)


def test_what_is_not_said_is_not_asked() -> None:
    said = read("a red ball rolls", "en")
    claims = claims_of(said, num_actors=2, is_short=True)
    assert claims == Claims(actors=(Asked(kind="ball", colour="red", motion="roll"),))
    right = fulfilled(claims, heard(SEEN_BALL, SEEN_CUBE))
    assert {name for name, answers in right.items() if answers} == {"kind", "colour", "pair", "motion"}


@pytest.mark.parametrize("language", ["en", "ar"])
def test_a_detailed_caption_claims_everything(language: str) -> None:
    told = facts_of(truth())
    written = caption(told, language, "detailed", np.random.default_rng(3))
    claims = claims_of(read(written.text, language), num_actors=2, is_short=False)
    assert claims == claims_of(written.claims, num_actors=2, is_short=False)
    assert set(claims.actors) == {BALL, CUBE}
    assert (claims.setting, claims.light, claims.camera, claims.count) == ("snow", "sunset", "pan_left", 2)
    assert from_json(to_json(claims)) == claims


def test_each_attribute_is_judged_by_itself() -> None:
    claims = Claims(actors=(BALL, CUBE), setting="snow", light="sunset", camera="pan_left", count=2)
    green = Actor(kind="ball", colour="green", motion="slide", direction="right")
    right = fulfilled(claims, heard(SEEN_CUBE, green))
    assert right == {
        "kind": [True, True],
        "colour": [False, True],
        "pair": [False, True],
        "count": [True],
        "motion": [False, True],
        "direction": [True],
        "setting": [True],
        "light": [False],
        "camera": [False],
    }


def test_who_is_missing_is_wrong_in_everything() -> None:
    right = fulfilled(Claims(actors=(BALL, CUBE), count=2), heard(SEEN_CUBE))
    assert right["kind"] == right["colour"] == right["motion"] == [False, True]
    assert right["direction"] == [False]
    assert right["count"] == [False]
    assert fulfilled(Claims(actors=(BALL,)), heard())["kind"] == [False]


def test_colours_bind_before_kinds_and_nobody_stands_for_two() -> None:
    red_cube = Actor(kind="cube", colour="red", motion="stand", direction="")
    assert matched((BALL, CUBE), (red_cube, SEEN_CUBE)) == [red_cube, SEEN_CUBE]
    assert matched((BALL, BALL), (SEEN_BALL,)) == [SEEN_BALL, None]
    assert matched((BALL,), (SEEN_CUBE, red_cube, SEEN_BALL)) == [SEEN_BALL]
    other = Actor(kind="cone", colour="pink", motion="", direction="")
    assert matched((BALL,), (other,)) == [other]
