"""Every task is a table of noise levels: a request becomes a plan in a few lines.

A plan holds no tensors. It says, column by column, what each latent frame starts from, whether it is
known, and which prompt it reads; the studio fetches what it refers to. So this file needs no torch, and
Python, the command line and the server share one definition of the requests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, ClassVar

from khayal.errors import InputError
from khayal.timeline import Timeline

TASKS = ("generate", "animate", "extend", "fill", "connect", "loop", "remix", "storyboard")
"""The eight verbs: of Python, of the command line and of the page."""

WHOLE_SAMPLE_TASKS = ("generate", "remix")
"""What a model can do that takes one noise level for the whole sample."""

MAX_SECONDS = 3600.0
MAX_STEPS = 1000
MAX_PROMPT = 32_000
SOLVERS = ("euler", "heun", "unipc")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What every task takes. None stands for the checkpoint's own default.

    Attributes:
        prompt: what is asked for.
        seconds: total length; 0 is a single frame.
        num_frames: total length in frames, instead of `seconds`.
        size: (width, height) in pixels.
        fps: frames per second of the result, resampled from the model's own.
        seed: the same seed gives the same video on the same machine; None draws one.
        steps: denoising steps.
        guidance: how strongly the prompt is followed; 1 asks the model once per step. A model with two
            experts may take two scales, the one for high noise first.
        guidance_interval: noise levels, low and high, between which guidance acts.
        negative: what to keep away from.
        solver: how the steps are made.

    Raises:
        InputError: for a value that no model could use.
    """

    prompt: str
    seconds: float | None = None
    num_frames: int | None = None
    size: tuple[int, int] | None = None
    fps: float | None = None
    seed: int | None = None
    steps: int | None = None
    guidance: float | tuple[float, ...] | None = None
    guidance_interval: tuple[float, float] | None = None
    negative: str | None = None
    solver: str | None = None

    task: ClassVar[str]
    needs_prompt: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, text in (("prompt", self.prompt), ("negative prompt", self.negative)):
            if not isinstance(text, str | None) or (text is None and name == "prompt"):
                raise InputError(f"The {name} is no text", fix="give a sentence")
            if len(text or "") > MAX_PROMPT:
                raise InputError(
                    f"The {name} has {len(text or ''):,} characters", fix=f"keep it under {MAX_PROMPT:,}"
                )
        if self.needs_prompt and not self.prompt.strip():
            raise InputError("The prompt is empty", fix="say in a sentence what the video shows")
        if self.seconds is not None and self.num_frames is not None:
            raise InputError("Both seconds and num_frames were given", fix="give one of them")
        _check("seconds", self.seconds, 0, MAX_SECONDS)
        _check("num_frames", self.num_frames, 1, MAX_SECONDS * 120, is_whole=True)
        _check("fps", self.fps, 0.1, 240)
        _check("seed", self.seed, 0, 2**63 - 1, is_whole=True)
        _check("steps", self.steps, 1, MAX_STEPS, is_whole=True)
        for name in ("size", "guidance_interval", "guidance"):
            object.__setattr__(self, name, _as_tuple(name, getattr(self, name)))
        for scale in self.guidance if isinstance(self.guidance, tuple) else (self.guidance,):
            _check("guidance", scale, 0, 100)
        for side, pixels in zip(("width", "height"), self.size or (), strict=False):
            _check(side, pixels, 1, 8192, is_whole=True)
        if self.guidance_interval is not None:
            low, high = self.guidance_interval
            _check("guidance_interval", low, 0, 1)
            _check("guidance_interval", high, 0, 1)
            if not 0 <= low <= high <= 1:
                raise InputError(
                    f"A guidance interval of {low:g} to {high:g} is not possible",
                    fix="give two noise levels between 0 and 1, the lower first",
                )
        if self.solver is not None and self.solver not in SOLVERS:
            raise InputError(f"There is no solver “{self.solver}”", fix=f"take one of {', '.join(SOLVERS)}")


@dataclass(frozen=True, kw_only=True)
class GenerateRequest(Request):
    """A sentence becomes a video."""

    task = "generate"


@dataclass(frozen=True, kw_only=True)
class AnimateRequest(Request):
    """A still comes alive.

    Attributes:
        image: a path, or an array `h w 3` of uint8; it becomes the first frame.
        fit: how an image of another shape is brought to the video's: cropped, or padded.
    """

    prompt: str = ""
    image: Any
    fit: str = "crop"

    task = "animate"
    needs_prompt = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fit not in ("crop", "pad"):
            raise InputError(f"An image cannot be fitted by “{self.fit}”", fix="take crop or pad")


@dataclass(frozen=True, kw_only=True)
class Media:
    """A latent frame that comes from what the user gave.

    Attributes:
        index: which of the plan's media.
        first_frame: the first of the pixel frames that the column shows.
    """

    index: int
    first_frame: int = 0


@dataclass(frozen=True, kw_only=True)
class Column:
    """One latent frame of a canvas.

    Attributes:
        num_frames: pixel frames that it shows.
        position: where in time it stands, in latent frames.
        source: what it is made from; None where it is only noise.
        level: the noise level at which it starts: 1 is pure noise.
        is_known: True where it keeps that level in every row, and its clean value at the end; else it
            falls to 0.
        is_shown: True where it is part of the result.
        shot: which of the plan's prompts it reads.
    """

    num_frames: int
    position: float
    source: Media | None = None
    level: float = 1.0
    is_known: bool = False
    is_shown: bool = True
    shot: int = 0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the studio runs.

    Attributes:
        request: what was asked for, with its settings of sampling.
        canvases: the columns of each canvas, in the order in which they are made.
        prompts: one for each shot.
        media: what the user gave, by path or as arrays.
    """

    request: Request
    canvases: tuple[tuple[Column, ...], ...]
    prompts: tuple[str, ...]
    media: tuple[Any, ...] = field(default=(), repr=False)


def generate(request: GenerateRequest, timeline: Timeline, default_seconds: float) -> Plan:
    """Every column falls from 1 to 0."""
    num_frames = length(request, timeline, default_seconds)
    columns = tuple(
        Column(num_frames=frames, position=position)
        for position, frames in enumerate(timeline.frames_per_column(num_frames))
    )
    return Plan(request=request, canvases=(columns,), prompts=(request.prompt,))


def animate(request: AnimateRequest, timeline: Timeline, default_seconds: float) -> Plan:
    """Column 0, the image, is known throughout; the others fall from 1 to 0."""
    num_frames = length(request, timeline, default_seconds, with_still=True)
    image, *rest = timeline.frames_per_column(num_frames, with_still=True)
    columns = (
        Column(num_frames=image, position=0, source=Media(index=0), level=0.0, is_known=True),
        *(Column(num_frames=frames, position=position) for position, frames in enumerate(rest, start=1)),
    )
    return Plan(request=request, canvases=(columns,), prompts=(request.prompt,), media=(request.image,))


PLANNERS: dict[type[Request], Callable[..., Plan]] = {GenerateRequest: generate, AnimateRequest: animate}


def length(request: Request, timeline: Timeline, default_seconds: float, *, with_still: bool = False) -> int:
    """The number of frames asked for. Seconds are rounded to what the model can make; frames must fit.

    Raises:
        InputError: for a number of frames that whole latent frames cannot show.
    """
    if request.num_frames is None:
        seconds = default_seconds if request.seconds is None else request.seconds
        return timeline.num_frames(seconds, with_still=with_still)
    nearest = timeline.nearest_num_frames(request.num_frames, with_still=with_still)
    if nearest != request.num_frames:
        per = timeline.frames_per_latent
        form = f"{per}k+1" if timeline.starts_single(with_still=with_still) else f"{per}k, or 1"
        raise InputError(
            f"This model cannot make {request.num_frames} frames",
            why=f"its clips have {form}",
            fix=f"ask for {nearest}",
        )
    return nearest


def _check(name: str, value: Any, lowest: float, highest: float, *, is_whole: bool = False) -> None:
    """One sentence for everything that is no number of its kind, or out of range, NaN among them."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, Integral if is_whole else Real):
        what = "whole number" if is_whole else "number"
        raise InputError(f"{name} must be a {what}, not {value!r}"[:200])
    if not (math.isfinite(value) and lowest <= float(value) <= highest):
        raise InputError(f"{name} cannot be {value:g}", fix=f"give {lowest:.10g} to {highest:.10g}")


def _as_tuple(name: str, value: Any) -> Any:
    """Lists are as good as tuples; what must be a pair is one."""
    if isinstance(value, list):
        value = tuple(value)
    is_pair = isinstance(value, tuple) and len(value) == 2
    if value is not None and not is_pair and name in ("size", "guidance_interval"):
        raise InputError(f"{name} must be two numbers, not {value!r}"[:200])
    return value
