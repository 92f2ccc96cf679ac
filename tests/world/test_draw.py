"""What is drawn: enough variety, the dial, held-out combinations, framing; what is broken is thrown away."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from khayal.errors import InputError
from khayal.world import vocabulary as v
from khayal.world.camera import screen_boxes
from khayal.world.check import covered, fault, may_be_outside
from khayal.world.draw import Request, draw_scene, in_turn
from khayal.world.heldout import belongs, heldout_actors, is_combination_heldout
from khayal.world.plays import PLAYS
from khayal.world.scene import Action, Actor
from khayal.world.theatre import Take, take


def test_there_is_as_much_as_was_asked_for() -> None:
    assert len(v.SETTINGS) >= 8
    assert len(v.KINDS) >= 14
    assert len(v.COLOURS) >= 10
    assert len(v.MOTIONS) >= 14
    assert len(v.CAMERA_MOVES) >= 8
    assert len(v.kinds_at(1)) == 2
    assert len({m for k in v.kinds_at(1) for m in v.motions_of(k, 1)}) == 3


@pytest.mark.parametrize("dial", range(1, 6))
def test_the_dial_admits_what_it_should_and_no_more(dial: int) -> None:
    for index in range(40):
        scene = draw_scene(Request(dial=dial), 0, index)
        assert len(scene.actors) <= v.MAX_ACTORS[dial]
        assert len(scene.setups) <= v.MAX_SETUPS[dial]
        assert PLAYS[scene.play].level <= dial
        assert v.SETTING_LEVELS[scene.setting] <= dial
        for actor in scene.actors:
            assert v.KINDS[actor.kind].level <= dial
            assert v.COLOUR_LEVELS[actor.colour] <= dial
        for action in scene.actions:
            assert v.MOTIONS[action.motion] <= dial
            assert v.EVENTS[action.event] <= dial
        for shot in scene.shots:
            assert v.CAMERA_MOVES[shot.move] <= dial


def test_dials_in_turn_never_show_a_scene_twice() -> None:
    assert [in_turn("12", number) for number in range(4)] == [(1, 0), (2, 0), (1, 1), (2, 1)]
    drawn = [in_turn("12333", number) for number in range(40)]
    assert [dial for dial, _ in drawn[:5]] == [1, 2, 3, 3, 3]
    assert len(set(drawn)) == 40
    assert {index for dial, index in drawn if dial == 3} == set(range(24))


def test_colours_tell_the_actors_of_a_scene_apart() -> None:
    for index in range(60):
        scene = draw_scene(Request(), 1, index)
        assert len({actor.colour for actor in scene.actors}) == len(scene.actors)


def test_everything_is_drawn_some_time() -> None:
    scenes = [draw_scene(Request(split="all"), 2, k) for k in range(600)]
    assert {s.setting for s in scenes} == set(v.SETTINGS)
    assert {a.kind for s in scenes for a in s.actors} == set(v.KINDS)
    assert {a.colour for s in scenes for a in s.actors} == set(v.COLOURS)
    assert {a.motion for s in scenes for a in s.actions} == set(v.MOTIONS) - {"stand"}
    assert {s.move for scene in scenes for s in scene.shots} == set(v.CAMERA_MOVES)
    assert {s.framing for scene in scenes for s in scene.setups} == set(v.FRAMINGS)
    assert {a.event for s in scenes for a in s.actions} == set(v.EVENTS)


def test_heldout_combinations_are_kept_from_training() -> None:
    for index in range(6):
        scene = take(Request(dial=3), 3, index).performance.scene
        assert not any(heldout_actors(scene))
        unseen = take(Request(dial=3, split="heldout"), 3, index).performance.scene
        assert heldout_actors(unseen)[0]
        assert belongs(unseen, "all")
        assert not belongs(unseen, "train")


def test_the_share_of_heldout_combinations() -> None:
    flags = [
        is_combination_heldout(kind, colour, motion, setting)
        for kind in v.KINDS
        for colour in v.COLOURS
        for motion in v.KINDS[kind].motions
        for setting in v.SETTINGS
    ]
    assert 0.06 < np.mean(flags) < 0.16


@pytest.mark.parametrize("size", [(128, 128), (160, 96), (96, 160)])
def test_everybody_is_in_the_frame_and_large_enough(size: tuple[int, int]) -> None:
    heights = []
    for index in range(8):
        taken = take(Request(size=size), 4, index)
        scene = taken.performance.scene
        for shot in scene.shots:
            setup = scene.setups[shot.setup]
            watched = (
                [setup.subject]
                if setup.framing == "close" or shot.move == "follow"
                else range(len(scene.actors))
            )
            for number in watched:
                must = ~may_be_outside(taken.performance, number)[shot.start : shot.end]
                box = taken.boxes[shot.start : shot.end, number][must]
                assert box[:, :2].min(initial=0.0) > -0.03
                assert box[:, 2:4].max(initial=0.0) < 1.03
            main = taken.boxes[shot.start : shot.end, watched[0]]
            heights.append(float(np.median(main[:, 3] - main[:, 1])))
    assert np.mean(np.array(heights) < 0.2) < 0.3
    assert np.median(heights) > 0.25


def test_broken_scenes_are_found(make_take: Callable[..., Take]) -> None:
    cube = Actor(kind="cube", colour="red")
    sound = make_take((cube,), (), fps=12, seconds=1.0)
    assert fault(sound.performance, sound.views, sound.boxes) == ""
    lost = replace(sound.performance.figures[0], place=np.full((12, 3), np.nan))
    broken = replace(sound.performance, figures=(lost,))
    assert fault(broken, sound.views, sound.boxes) == "unstable"
    shifted = sound.boxes.copy()
    shifted[:, :, [0, 2]] += 0.8
    assert fault(sound.performance, sound.views, shifted) == "out of frame"


def test_strangers_may_not_walk_through_each_other(make_take: Callable[..., Take]) -> None:
    dog = Actor(kind="dog", colour="red", place=(-1.0, 0.0))
    cat = Actor(kind="cat", colour="blue", place=(1.0, 0.0))
    walk = Action(actor=0, motion="walk", start=0.0, end=2.0, distance=2.0)
    taken = make_take((dog, cat), (walk,), fps=12, seconds=2.0)
    boxes = screen_boxes(taken.performance, taken.views)
    assert fault(taken.performance, taken.views, boxes) == "walks through somebody"


def test_a_scene_that_is_found_late_is_found() -> None:
    found = take(Request(size=(128, 128), seconds=4.0, fps=12, dial=1, split="heldout"), 5000, 22)
    assert found.rejected["another split"] > 400


def test_redraws_are_counted() -> None:
    taken = [take(Request(), 6, k) for k in range(12)]
    assert any(t.rejected for t in taken)
    for one in taken:
        assert sum(one.rejected.values()) == one.performance.scene.redraws


@pytest.mark.parametrize("play", ["enter", "leave", "hide"])
def test_events_happen(play: str) -> None:
    for index in range(3):
        taken = take(Request(play=play), 7, index)
        action = next(a for a in taken.performance.scene.actions if a.event == play)
        box = taken.boxes[:, action.actor]
        is_outside = (box[:, 2] <= 0) | (box[:, 0] >= 1)
        if play == "enter":
            assert is_outside[0]
            assert not is_outside[-1]
        elif play == "leave":
            assert is_outside[-1]
            assert not is_outside[0]
        else:
            assert action.target is not None
            hidden = covered(taken.boxes, action.actor, action.target) > 0.7
            assert hidden.any()
            assert not hidden[0]
            assert not hidden[-1]


@pytest.mark.parametrize("seconds", [20.0, 60.0])
def test_long_scenes_go_on(seconds: float) -> None:
    taken = take(Request(seconds=seconds, play="solo"), 8, 1)
    scene = taken.performance.scene
    assert scene.num_frames == round(12 * seconds)
    assert max(a.end for a in scene.actions) > seconds / 3


def test_what_cannot_be_drawn_is_refused() -> None:
    for wrong in (
        {"dial": 6},
        {"seconds": 61.0},
        {"size": (130, 128)},
        {"split": "test"},
        {"play": "opera"},
        {"fps": 2},
    ):
        with pytest.raises(InputError, match="hoose"):
            Request(**wrong)  # type: ignore[arg-type]
