"""Scenes of the world to evaluate with: their prompts, what those claim, and their real clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import UInt8

from khayal.errors import InputError, MissingExtraError
from khayal.evaluate.claims import Claims, claims_of
from khayal.world.captions import LENGTHS, caption
from khayal.world.draw import Request
from khayal.world.facts import facts_of
from khayal.world.truth import Truth
from khayal.world.workers import in_order

LANGUAGES = ("en", "ar")
SEED, SEED_OF_OTHERS, SEED_OF_PHYSICS = 2000, 3000, 4000
SEED_OF_TASKS, SEED_OF_MINUTES, SEED_OF_STORIES, SEED_OF_REMIXES = 5000, 6000, 7000, 8000
"""Not 0, on which the embedded model is trained, nor 1000, on which the probe is."""
CALM_DIAL = 3
"""Up to this dial nobody enters or leaves, and there are no cuts."""


@dataclass(frozen=True, kw_only=True)
class Casting:
    """Which scenes: numbered from 0, of the dials in turn.

    Attributes:
        size, fps, num_frames: of a clip, as the model makes them.
        split: "train" for combinations that training sees, "heldout" for others.
        is_still: only scenes whose camera stands still.
    """

    size: tuple[int, int]
    fps: int
    num_frames: int
    dials: tuple[int, ...]
    split: str
    seed: int
    is_still: bool = False

    def request(self, number: int) -> Request:
        """The world's request for one scene."""
        return Request(
            size=self.size,
            seconds=self.num_frames / self.fps,
            fps=self.fps,
            dial=self.dials[number % len(self.dials)],
            split=self.split,
        )

    def check(self) -> None:
        """Whether the world can render it.

        Raises:
            InputError: it cannot.
            MissingExtraError: MuJoCo is not installed.
        """
        self.request(0)
        # Not imported: how MuJoCo draws has to be chosen before that, in `khayal.world.render`.
        if find_spec("mujoco") is None:
            raise MissingExtraError("There are no real clips to compare with", extra="world")


def calm(casting: Casting, seed: int, num_frames: int | None = None) -> Casting:
    """Held-out scenes in which who is there stays there: one shot of a camera that stands still."""
    return replace(
        casting,
        dials=tuple(min(dial, CALM_DIAL) for dial in casting.dials),
        split="heldout",
        seed=seed,
        is_still=True,
        num_frames=casting.num_frames if num_frames is None else num_frames,
    )


@dataclass(frozen=True, kw_only=True)
class Played:
    """One rendered scene."""

    frames: UInt8[np.ndarray, "f h w 3"]
    truth: Truth


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What a model is asked for, and what of it can be checked."""

    text: str
    language: str
    length: str
    claims: Claims
    num_actors: int
    dial: int


def play(casting: Casting, number: int) -> Played:
    """Render one scene; it is the same on every machine."""
    from khayal.world.clips import draw_take
    from khayal.world.record import record
    from khayal.world.theatre import take

    request = casting.request(number)
    for attempt in range(200):
        taken = take(request, casting.seed, number + attempt * 1_000_000)
        if not casting.is_still or all(shot.move == "still" for shot in taken.performance.scene.shots):
            break
    frames = draw_take(taken, range(taken.performance.scene.num_frames))
    return Played(frames=frames, truth=record(taken))


def played(casting: Casting, numbers: list[int], num_workers: int) -> Iterator[Played]:
    """Scenes in their order, rendered by so many processes (0: by this one)."""
    return in_order(partial(play, casting), numbers, num_workers)


def prompt_of(truth: Truth, number: int, num_dials: int) -> Prompt:
    """The prompt of scene `number`: languages and lengths take turns, beside the dials."""
    turn = number // num_dials
    language, length = LANGUAGES[turn % 2], LENGTHS[turn // 2 % len(LENGTHS)]
    told = facts_of(truth)
    written = caption(told, language, length, np.random.default_rng([truth.seed, number, 7]), truth.split)
    claims = claims_of(written.claims, num_actors=len(told.actors), is_short=length == "short")
    return Prompt(
        text=written.text,
        language=language,
        length=length,
        claims=claims,
        num_actors=len(told.actors),
        dial=truth.dial,
    )


def dials_of(given: str) -> tuple[int, ...]:
    """The dials that "12" stands for.

    Raises:
        InputError: it is something else.
    """
    if not given or set(given) - set("12345"):
        raise InputError(f"“{given}” is no dial of the world", fix="give digits from 1 to 5, such as 12")
    return tuple(int(digit) for digit in given)


def about(played_one: Played, number: int, num_dials: int) -> dict[str, Any]:
    """What is kept of a real clip beside its measures."""
    from khayal.evaluate.claims import to_json

    prompt, truth = prompt_of(played_one.truth, number, num_dials), played_one.truth
    return {
        "text": prompt.text,
        "language": prompt.language,
        "length": prompt.length,
        "claims": to_json(prompt.claims),
        "num_actors": prompt.num_actors,
        "dial": prompt.dial,
        "move": truth.shots[0].move if len(truth.shots) == 1 else "",
        "num_shots": len(truth.shots),
    }
