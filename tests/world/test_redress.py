"""The same play in other clothes: nobody moves otherwise, and nothing is shown that is held out."""

import numpy as np
import pytest

from khayal.world import Request
from khayal.world.heldout import belongs
from khayal.world.horizons import ENCLOSED
from khayal.world.looks import COLOURS
from khayal.world.record import record
from khayal.world.redress import redressed
from khayal.world.render import renderer
from khayal.world.theatre import take
from khayal.world.vocabulary import LIGHTS, SETTINGS

SMALL = Request(size=(64, 64), seconds=1.0, dial=2, play="company")


def test_the_play_stays_and_the_clothes_change() -> None:
    taken = take(SMALL, 0, 1)
    before, seen = record(taken), set()
    for number in range(40):
        dressed = redressed(taken, np.random.default_rng(number))
        scene, after = dressed.performance.scene, record(dressed)
        assert belongs(scene, "train")
        assert (scene.setting in ENCLOSED) == (before.setting in ENCLOSED)
        assert scene.light in SETTINGS[scene.setting]
        assert LIGHTS[scene.light] <= 2
        assert after.frames == before.frames
        assert [a.kind for a in after.actors] == [a.kind for a in before.actors]
        assert after.actions == before.actions
        colours = tuple(actor.colour for actor in after.actors)
        assert len({*colours}) == len(colours)
        seen.add((colours, scene.setting, scene.light))
    assert len(seen) > 30


def test_what_was_not_changed_is_drawn_as_before(gl: None) -> None:
    taken = take(SMALL, 0, 1)
    scene = taken.performance.scene

    def drawn(shown) -> np.ndarray:
        cast = shown.performance.cast
        look = {"setting": scene.setting, "light": scene.light, "sun": scene.sun}
        return renderer().draw(cast, shown.views, (64, 64), frames=range(1), **look).astype(int)

    dressed = redressed(taken, np.random.default_rng(1))
    pairs = list(zip(scene.actors, dressed.performance.scene.actors, strict=True))
    assert any(old.colour != new.colour for old, new in pairs)
    assert [piece.owner for piece in dressed.performance.cast.pieces[:2]] == [0, 1]
    for piece, (_, new) in zip(dressed.performance.cast.pieces, pairs, strict=False):
        assert piece.finish.material or piece.finish.rgb == pytest.approx(COLOURS[new.colour])
    assert np.abs(drawn(dressed) - drawn(taken)).max() > 30
