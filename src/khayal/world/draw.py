"""Scenes drawn from a seed: setting, cast, play and cameras. Nothing is simulated here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from khayal.errors import InputError
from khayal.world import vocabulary as v
from khayal.world.acts import Draft
from khayal.world.heldout import SPLITS
from khayal.world.horizons import ENCLOSED
from khayal.world.plays import PLAYS
from khayal.world.scene import Scene, Setup, Shot

MAX_SECONDS = 60.0
MIN_SHOT_SECONDS = 1.25
BRIEF_SECONDS = 10.0
MARGIN = {"wide": 0.70, "close": 0.86, "side": 0.86, "above": 0.84}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What scenes are asked for.

    Attributes:
        size: width and height in pixels, both multiples of 16 and at least 64.
        seconds: up to 60.
        dial: 1 (a small world) to 5 (everything).
        split: "train", "heldout" or "all" (see `heldout`).
        play: one play by name (see `plays`), or "" for any.
    """

    size: tuple[int, int] = (128, 128)
    seconds: float = 4.0
    fps: int = 12
    dial: int = v.MAX_DIAL
    split: str = "train"
    play: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.dial <= v.MAX_DIAL:
            raise InputError(f"The dial cannot be {self.dial}", fix=f"choose 1 to {v.MAX_DIAL}")
        if not 0.5 <= self.seconds <= MAX_SECONDS:
            raise InputError(
                f"A scene cannot last {self.seconds:g} s", fix="choose half a second to 60 seconds"
            )
        if any(side % 16 or not 64 <= side <= 1024 for side in self.size):
            raise InputError(
                f"A frame cannot be {self.size[0]}×{self.size[1]}",
                fix="choose multiples of 16 from 64 to 1024",
            )
        if not 4 <= self.fps <= 60:
            raise InputError(f"The world does not run at {self.fps} frames a second", fix="choose 4 to 60")
        if self.split not in SPLITS:
            raise InputError(
                f"“{self.split}” is not a split of the world", fix=f"choose one of {', '.join(SPLITS)}"
            )
        if self.play and (self.play not in PLAYS or PLAYS[self.play].level > self.dial):
            raise InputError(
                f"There is no play “{self.play}” at dial {self.dial}", fix=f"choose one of {', '.join(PLAYS)}"
            )

    @property
    def num_frames(self) -> int:
        """Frames in a scene."""
        return max(1, round(self.seconds * self.fps))


def in_turn(dials: str, number: int) -> tuple[int, int]:
    """The dial and the index of one of the scenes of several dials in turn, as in "1233".

    A dial that comes several times in a turn has another scene each time.
    """
    turn, place = divmod(number, len(dials))
    dial = dials[place]
    return int(dial), turn * dials.count(dial) + dials.count(dial, 0, place)


def draw_scene(request: Request, seed: int, index: int, attempt: int = 0) -> Scene:
    """The scene that `seed` and `index` stand for; `attempt` counts broken ones before it."""
    rng = np.random.default_rng([seed, index, attempt, request.dial, SPLITS.index(request.split)])
    # Setting and play are kept while scenes break, so that what is hard to show is not rarer.
    chooser = np.random.default_rng([seed, index, attempt // 40, 5])
    setting = str(chooser.choice(v.admitted(v.SETTING_LEVELS, request.dial)))
    lights = [light for light in v.SETTINGS[setting] if v.LIGHTS[light] <= request.dial] or [
        v.SETTINGS[setting][0]
    ]
    light = lights[0] if rng.random() < 0.45 else str(rng.choice(lights))
    names = [request.play] if request.play else _plays(request)
    weights = np.array([PLAYS[n].weight for n in names])
    name = str(chooser.choice(names, p=weights / weights.sum()))
    draft = Draft(
        rng=rng,
        dial=request.dial,
        seconds=request.seconds,
        aspect=request.size[0] / request.size[1],
        is_enclosed=setting in ENCLOSED,
        is_dark=light in ("night", "spotlight"),
    )
    PLAYS[name].write(draft)
    setups, shots = draw_shots(rng, request, draft)
    return Scene(
        seed=seed,
        index=index,
        dial=request.dial,
        split=request.split,
        size=request.size,
        fps=request.fps,
        num_frames=request.num_frames,
        setting=setting,
        light=light,
        play=name,
        actors=tuple(draft.actors),
        actions=tuple(sorted(draft.actions, key=lambda a: (a.start, a.actor))),
        setups=setups,
        shots=shots,
        restitution=tuple(draft.restitution),
        redraws=attempt,
        sun=float(rng.uniform(-0.5, 0.5)),
        decor=int(rng.integers(1 << 30)),
    )


def _plays(request: Request) -> list[str]:
    """Plays that the dial admits; a long scene needs one that goes on."""
    admitted = [name for name, play in PLAYS.items() if play.level <= request.dial]
    return [n for n in admitted if request.seconds <= BRIEF_SECONDS or not PLAYS[n].is_brief]


def _setup(rng: np.random.Generator, framing: str, subject: int) -> Setup:
    azimuth, elevation, fov = rng.uniform(-0.15, 0.15), rng.uniform(0.14, 0.24), 0.66
    margin = float(rng.uniform(0.72, 0.9)) if framing == "front" else MARGIN[framing]
    if framing == "side":
        azimuth = float(rng.choice([-1.0, 1.0])) * rng.uniform(0.95, 1.2)
    elif framing == "above":
        elevation = rng.uniform(0.95, 1.15)
    elif framing == "wide":
        elevation, fov = rng.uniform(0.18, 0.30), 0.75
    elif framing == "close":
        elevation, fov = rng.uniform(0.08, 0.16), 0.55
    return Setup(
        framing=framing,
        azimuth=float(azimuth),
        elevation=float(elevation),
        fov=float(fov),
        margin=margin,
        subject=subject,
    )


def _move(rng: np.random.Generator, request: Request, framing: str, seconds: float) -> tuple[str, float]:
    if framing in ("close", "above") or seconds < 1.6 or rng.random() < 0.32:
        return "still", 0.0
    moves = [m for m in v.admitted(v.CAMERA_MOVES, request.dial) if m not in ("still", "follow")]
    if not moves or seconds > 12:
        return "still", 0.0
    move = str(rng.choice(moves))
    amount = {"orbit": 0.95, "crane": 0.55, "pan": 0.20, "zoom": 1.0}[move.split("_")[0]]
    return move, amount * float(rng.uniform(0.85, 1.15)) * min(1.0, 0.55 + seconds / 8)


def draw_shots(
    rng: np.random.Generator, request: Request, draft: Draft
) -> tuple[tuple[Setup, ...], tuple[Shot, ...]]:
    """One camera, or cuts between two to four set-ups that come back in a longer scene."""
    num_frames = request.num_frames
    most = v.MAX_SETUPS[request.dial]
    share = 0.35 if request.seconds <= BRIEF_SECONDS else 0.7
    cuts = most > 1 and draft.may_cut and request.seconds >= 2 * MIN_SHOT_SECONDS and rng.random() < share
    if not cuts:
        return _single(rng, request, draft)
    count = int(rng.integers(2, most + 1))
    framings = ["front", *rng.permutation(["wide", "close", "side", "above"])[: count - 1].tolist()]
    rng.shuffle(framings)
    setups = tuple(_setup(rng, f, int(rng.integers(min(2, len(draft.actors))))) for f in framings)
    fit = max(1, int(request.seconds // MIN_SHOT_SECONDS))
    num_shots = min(
        fit, count if request.seconds <= 8 else max(count, int(request.seconds / rng.uniform(2.5, 5.0)))
    )
    spans = (
        rng.dirichlet(np.full(num_shots, 8.0)) * (request.seconds - num_shots * MIN_SHOT_SECONDS)
        + MIN_SHOT_SECONDS
    )
    edges = [0, *np.round(np.cumsum(spans)[:-1] * request.fps).astype(int).tolist(), num_frames]
    shots = []
    for k in range(num_shots):
        framing = setups[k % count].framing
        move, amount = _move(rng, request, framing, (edges[k + 1] - edges[k]) / request.fps)
        shots.append(Shot(setup=k % count, start=edges[k], end=edges[k + 1], move=move, amount=amount))
    return setups, tuple(shots)


def _single(
    rng: np.random.Generator, request: Request, draft: Draft
) -> tuple[tuple[Setup, ...], tuple[Shot, ...]]:
    framings = v.admitted(v.FRAMINGS, request.dial)
    framing = "front" if rng.random() < 0.8 or not draft.may_cut else str(rng.choice(framings))
    setup = _setup(rng, framing, 0)
    move, amount = _move(rng, request, framing, request.seconds)
    if draft.wants_follow and request.dial >= v.CAMERA_MOVES["follow"]:
        setup, move, amount = _setup(rng, "front", 0), "follow", 0.0
    return (setup,), (Shot(setup=0, start=0, end=request.num_frames, move=move, amount=amount),)
