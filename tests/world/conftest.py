"""Scenes made by hand."""

from collections.abc import Callable

import pytest

from khayal.world.camera import film, screen_boxes
from khayal.world.perform import perform
from khayal.world.record import record
from khayal.world.scene import Action, Actor, Scene, Setup, Shot
from khayal.world.theatre import Take
from khayal.world.truth import Truth


def scene_of(
    actors: tuple[Actor, ...],
    actions: tuple[Action, ...],
    *,
    restitution: float = 0.6,
    fps: int = 48,
    seconds: float = 3.0,
    move: str = "still",
    framing: str = "front",
) -> Scene:
    """A scene in a meadow, seen from the front."""
    setup = Setup(framing=framing, azimuth=0.0, elevation=0.2, fov=0.66)
    num_frames = round(fps * seconds)
    return Scene(
        seed=0,
        index=0,
        dial=5,
        split="all",
        size=(128, 128),
        fps=fps,
        num_frames=num_frames,
        setting="meadow",
        light="day",
        play="made by hand",
        actors=actors,
        actions=actions,
        setups=(setup,),
        shots=(Shot(setup=0, start=0, end=num_frames, move=move, amount=0.5),),
        restitution=tuple(restitution for _ in actors),
    )


def take_of(scene: Scene) -> Take:
    """A scene played and filmed, unchecked."""
    performance = perform(scene)
    views = film(performance)
    return Take(performance=performance, views=views, boxes=screen_boxes(performance, views), rejected={})


@pytest.fixture
def make_scene() -> Callable[..., Scene]:
    """Builds a scene from actors and actions."""
    return scene_of


@pytest.fixture
def make_take() -> Callable[..., Take]:
    """Plays and films a scene made by hand."""
    return lambda *args, **kwargs: take_of(scene_of(*args, **kwargs))


@pytest.fixture
def make_truth() -> Callable[..., Truth]:
    """The truth of a scene made by hand."""
    return lambda *args, **kwargs: record(take_of(scene_of(*args, **kwargs)))
