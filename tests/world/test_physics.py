"""What the truth says about motion is right: gravity, bounces, momentum, a pendulum's period, rolling."""

from collections.abc import Callable

import numpy as np
import pytest

from khayal.world.bounces import GRAVITY, damping_ratio, restitution_of
from khayal.world.physics import ROPE_LENGTH
from khayal.world.scene import Action, Actor
from khayal.world.truth import Truth


def test_a_dropped_ball_falls_with_g(make_truth: Callable[..., Truth]) -> None:
    ball = Actor(kind="ball", colour="red", height=2.5)
    truth = make_truth((ball,), (Action(actor=0, motion="bounce", start=0.25, end=3.0, distance=2.5),))
    height = np.array(truth.frames.actors[0].position)[:, 2]
    first, last = 14, 40  # from just after its release to just before it lands
    assert not any([-1, 0] in pairs for pairs in truth.frames.contacts[: last + 1])
    times = np.arange(first, last) / truth.fps
    measured = -2 * np.polyfit(times, height[first:last], 2)[0]
    assert measured == pytest.approx(GRAVITY, rel=0.02)


@pytest.mark.parametrize("restitution", [0.5, 0.65, 0.8, 0.86])
def test_bounces_are_calibrated_and_stated(make_truth: Callable[..., Truth], restitution: float) -> None:
    ball = Actor(kind="ball", colour="red", height=2.0)
    action = Action(actor=0, motion="bounce", start=0.1, end=3.0, distance=2.0)
    truth = make_truth((ball,), (action,), restitution=restitution)
    first = truth.bounces[0]
    assert truth.actors[0].restitution == restitution
    assert first.restitution == pytest.approx(restitution, rel=0.05)
    # What is stated agrees with the heights that the truth itself records.
    height = np.array(truth.frames.actors[0].position)[:, 2] - truth.actors[0].extent[2] / 2
    landing = first.frame
    second = truth.bounces[1].frame
    rebound = np.sqrt(height[landing:second].max() / height[:landing].max())
    assert rebound == pytest.approx(first.restitution, rel=0.05)


@pytest.mark.parametrize("restitution", [0.2, 0.4, 0.7, 0.9])
def test_damping_inverts_restitution(restitution: float) -> None:
    assert restitution_of(damping_ratio(restitution)) == pytest.approx(restitution, abs=1e-6)


def test_momentum_is_kept_when_two_balls_meet_in_the_air(make_truth: Callable[..., Truth]) -> None:
    # In the air nothing else acts along x, so the sum of both momenta stays what it was.
    actors = (
        Actor(kind="ball", colour="red", size="large", place=(-1.0, 0.0)),
        Actor(kind="ball", colour="blue", size="small", place=(0.6, 0.0), height=0.28),
    )
    throws = tuple(
        Action(actor=k, motion="throw", start=0.05, end=3.0, heading=h, distance=d)
        for k, (h, d) in enumerate(((0.0, 1.4), (np.pi, 0.5)))
    )
    truth = make_truth(actors, throws)
    meeting = next(k for k, pairs in enumerate(truth.frames.contacts) if [0, 1] in pairs)
    mass = np.array([actor.mass for actor in truth.actors])
    speed = np.array([track.velocity for track in truth.frames.actors])[:, :, 0]
    before, after = (float(mass @ speed[:, frame]) for frame in (meeting - 2, meeting + 4))
    assert abs(speed[1, meeting + 4] - speed[1, meeting - 2]) > 1.0
    assert after == pytest.approx(before, rel=0.01)


def test_a_pendulum_keeps_its_period(make_truth: Callable[..., Truth]) -> None:
    bob = Actor(kind="ball", colour="red", is_hung=True)
    angle = 0.3
    truth = make_truth(
        (bob,), (Action(actor=0, motion="swing", start=0.0, end=8.0, distance=angle),), seconds=8.0
    )
    x = np.array(truth.frames.actors[0].position)[:, 0]
    crossings = np.flatnonzero(np.diff(np.sign(x)) != 0)
    period = 2 * float(np.mean(np.diff(crossings))) / truth.fps
    radius = bob.extent[2] / 2
    length = ROPE_LENGTH + radius
    inertia = length**2 + 0.4 * radius**2
    expected = 2 * np.pi * np.sqrt(inertia / (GRAVITY * length)) * (1 + angle**2 / 16)
    assert period == pytest.approx(expected, rel=0.02)


def test_a_ball_rolls_without_slipping_and_slows_down(make_take: Callable[..., object]) -> None:
    ball = Actor(kind="ball", colour="red", place=(-1.0, 0.0))
    action = Action(actor=0, motion="roll", start=0.0, end=3.0, distance=2.0)
    performance = make_take((ball,), (action,)).performance  # type: ignore[attr-defined]
    path = performance.figures[0].place[:, 0]
    assert path[-1] - path[0] == pytest.approx(2.0, rel=0.1)
    speed = performance.figures[0].velocity[:, 0]
    assert speed[5] > speed[-5] > 0


def test_a_slide_ends_where_its_action_ends(make_truth: Callable[..., Truth]) -> None:
    cube = Actor(kind="cube", colour="blue")
    truth = make_truth((cube,), (Action(actor=0, motion="slide", start=0.2, end=2.2, distance=1.8),))
    path = np.array(truth.frames.actors[0].position)[:, 0]
    assert path[-1] - path[0] == pytest.approx(1.8, rel=0.05)
    assert truth.actions[0].end / truth.fps == pytest.approx(2.2, abs=0.15)


def test_a_dog_pushes_a_ball(make_truth: Callable[..., Truth]) -> None:
    dog = Actor(kind="dog", colour="brown", place=(-1.5, 0.0))
    ball = Actor(kind="ball", colour="red", place=(-0.2, 0.0))
    push = Action(actor=0, motion="push", start=0.1, end=2.9, distance=1.6, target=1)
    truth = make_truth((dog, ball), (push,), restitution=0.15)
    assert any([0, 1] in pairs for pairs in truth.frames.contacts)
    path = np.array(truth.frames.actors[1].position)[:, 0]
    assert path[-1] - path[0] > 0.8


def test_a_tower_falls_when_a_ball_runs_into_it(make_truth: Callable[..., Truth]) -> None:
    tower = Actor(kind="tower", colour="green")
    ball = Actor(kind="ball", colour="red", place=(-1.6, 0.0))
    hit = Action(actor=1, motion="hit", start=0.1, end=1.2, distance=4.0, target=0)
    fall = Action(actor=0, motion="topple", start=0.4, end=3.0, target=1)
    truth = make_truth((tower, ball), (hit, fall), restitution=0.15)
    height = np.array(truth.frames.actors[0].position)[:, 2]
    assert height[-1] < 0.75 * height[0]
    assert any([0, 1] in pairs for pairs in truth.frames.contacts)
