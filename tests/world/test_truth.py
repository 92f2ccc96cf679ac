"""The truth: a strict schema, cut into windows, the same every time; no MuJoCo to read it."""

import json
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from khayal.errors import InputError
from khayal.world.draw import Request
from khayal.world.facts import facts_of
from khayal.world.record import record
from khayal.world.scene import Action, Actor
from khayal.world.theatre import take
from khayal.world.truth import SCHEMA, Truth


@pytest.fixture(scope="module")
def truth() -> Truth:
    return record(take(Request(), 1, 2))


def test_json_goes_there_and_back(truth: Truth) -> None:
    data = json.loads(json.dumps(truth.to_json()))
    assert data["schema"] == SCHEMA
    assert Truth.from_json(data) == truth


def test_unknown_and_missing_fields_are_refused(truth: Truth) -> None:
    data = truth.to_json()
    with pytest.raises(InputError, match="weather"):
        Truth.from_json({**data, "weather": "fine"})
    with pytest.raises(InputError, match="light"):
        Truth.from_json({k: v for k, v in data.items() if k != "light"})
    with pytest.raises(InputError, match="schema"):
        Truth.from_json({**data, "schema": "khayal.world/0"})
    with pytest.raises(InputError, match="fps"):
        Truth.from_json({**data, "fps": "twelve"})


def test_every_column_has_an_entry_for_each_frame(truth: Truth) -> None:
    columns = [truth.frames.contacts, truth.frames.camera.eye, truth.frames.camera.fov]
    for track in truth.frames.actors:
        columns += [track.position, track.velocity, track.yaw, track.box, track.depth]
    assert {len(column) for column in columns} == {truth.num_frames}
    assert truth.shots[0].start == 0
    assert truth.shots[-1].end == truth.num_frames


def test_it_says_nothing_of_when_and_where_it_was_made(truth: Truth) -> None:
    text = json.dumps(truth.to_json())
    assert "/home" not in text
    assert "/tmp" not in text
    assert not any(word in text for word in ("date", "host", "path", "renderer"))


@pytest.mark.parametrize("dial", [1, 3, 5])
def test_the_same_seed_gives_the_same_truth(dial: int) -> None:
    request = Request(dial=dial)
    for index in range(3):
        assert record(take(request, 9, index)) == record(take(request, 9, index))
    assert record(take(request, 9, 0)) != record(take(request, 10, 0))


def test_a_window_is_cut_out_of_the_whole(truth: Truth) -> None:
    part = truth.cut(12, 36)
    assert part.num_frames == 24
    assert part.frames.actors[0].position == truth.frames.actors[0].position[12:36]
    assert all(0 <= a.start < a.end <= 24 for a in part.actions)
    assert part.shots[0].start == 0
    assert part.shots[-1].end == 24
    assert Truth.from_json(part.to_json()) == part


@pytest.mark.parametrize(
    ("heading", "expected"),
    [(0.0, "right"), (np.pi, "left"), (np.pi / 2, "away"), (-np.pi / 2, "toward")],
)
def test_directions_are_those_of_the_screen(
    make_truth: Callable[..., Truth], heading: float, expected: str
) -> None:
    dog = Actor(kind="dog", colour="brown", yaw=heading)
    walk = Action(actor=0, motion="walk", start=0.0, end=2.0, heading=heading, distance=1.2)
    deed = facts_of(make_truth((dog,), (walk,), fps=12)).deeds[0]
    assert (deed.motion, deed.direction) == ("walk", expected)


def test_relations_are_those_of_the_screen(make_truth: Callable[..., Truth]) -> None:
    cube = Actor(kind="cube", colour="red", place=(-1.0, 0.0))
    ball = Actor(kind="ball", colour="blue", place=(1.0, 0.0))
    relation = facts_of(make_truth((cube, ball), (), fps=12, seconds=1.0)).relations[0]
    assert (relation.name, relation.actor, relation.other) == ("left_of", 0, 1)


def test_captions_and_truth_import_without_mujoco() -> None:
    code = (
        "import sys; sys.modules['mujoco'] = None\n"
        "import khayal.world, khayal.world.captions, khayal.world.truth, khayal.world.facts\n"
        "assert khayal.world.words('en') and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
