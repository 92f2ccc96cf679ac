"""What can be asked for: frozen requests, checked when they are made. No torch, no files.

Python, the command line and the server share these definitions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

from khayal.errors import InputError

MAX_SECONDS = 3600.0
MAX_STEPS = 1000
MAX_PROMPT = 32_000
SOLVERS = ("euler", "heun", "unipc")
STRENGTHS = {"subtle": 0.45, "mild": 0.65, "strong": 0.85}
"""Noise levels at which a remix starts: how much of the clip is imagined anew."""


@dataclass(frozen=True, kw_only=True)
class Medium:
    """Something that the user gave.

    Attributes:
        given: a path, or what holds it in memory.
        is_still: True for an image, False for a clip.
    """

    given: Any
    is_still: bool


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
        window_seconds: the longest stretch that is made at once; what is longer is made window after window.

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
    window_seconds: float | None = None

    task: ClassVar[str]
    needs_prompt: ClassVar[bool] = True

    @property
    def media(self) -> tuple[Medium, ...]:
        """What the user gave, in the order in which plans number it."""
        return ()

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
        _check("window_seconds", self.window_seconds, 0.1, MAX_SECONDS)
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
class MediaRequest(Request):
    """What every task takes that starts from images or clips.

    Attributes:
        fit: how pictures of another shape are brought to the video's: cropped, or padded.
    """

    prompt: str = ""
    fit: str = "crop"

    needs_prompt = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fit not in ("crop", "pad"):
            raise InputError(f"An image cannot be fitted by “{self.fit}”", fix="take crop or pad")


@dataclass(frozen=True, kw_only=True)
class AnimateRequest(MediaRequest):
    """A still comes alive.

    Attributes:
        image: a path, or an array `h w 3` of uint8; it becomes the first frame.
    """

    image: Any

    task = "animate"

    @property
    def media(self) -> tuple[Medium, ...]:
        return (Medium(given=self.image, is_still=True),)


@dataclass(frozen=True, kw_only=True)
class ExtendRequest(MediaRequest):
    """A clip goes on, or begins earlier.

    Attributes:
        clip: a path, or a `khayal.Clip`.
        seconds: what is added; `num_frames` counts the same in frames.
        backward: True to add before the clip.
    """

    clip: Any
    backward: bool = False

    task = "extend"

    @property
    def media(self) -> tuple[Medium, ...]:
        return (Medium(given=self.clip, is_still=False),)


@dataclass(frozen=True, kw_only=True)
class FillRequest(MediaRequest):
    """What is missing is imagined: spans of a clip, or all between stills.

    Attributes:
        clip: a path, or a `khayal.Clip`.
        missing: (start, end) of each span in seconds of the clip.
        keyframes: (second, image) instead of a clip.
        seconds: with keyframes, the whole length; else up to the last keyframe.
    """

    clip: Any = None
    missing: Sequence[tuple[float, float]] = ()
    keyframes: Sequence[tuple[float, Any]] = ()

    task = "fill"

    @property
    def media(self) -> tuple[Medium, ...]:
        if self.clip is not None:
            return (Medium(given=self.clip, is_still=False),)
        return tuple(Medium(given=image, is_still=True) for _, image in self.keyframes)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("missing", "keyframes"):
            object.__setattr__(self, name, _as_pairs(name, getattr(self, name)))
        if (self.clip is None) == (not self.keyframes):
            raise InputError("There is nothing to fill", fix="give either a clip, or keyframes")
        if (self.clip is None) != (not self.missing):
            raise InputError(
                "What is missing belongs to a clip",
                fix="say which spans of the clip are to be filled, such as 1.0-2.5",
            )
        if self.clip is not None and (self.seconds is not None or self.num_frames is not None):
            raise InputError("A clip that is filled keeps its length", fix="leave the seconds out")
        for start, end in self.missing:
            _check("missing", start, 0, math.inf)
            _check("missing", end, 0, math.inf)
            if not start < end:
                raise InputError(
                    f"A span from {start:g} to {end:g} s is empty", fix="give its start, then its end"
                )
        for (_, end), (start, _) in zip(self.missing, self.missing[1:], strict=False):
            if start < end:
                raise InputError(
                    f"Two missing spans overlap: one ends at {end:g} s, the next begins at {start:g} s",
                    fix="give them in order, or as one",
                )
        for second, _ in self.keyframes:
            _check("keyframe", second, 0, MAX_SECONDS)


@dataclass(frozen=True, kw_only=True)
class ConnectRequest(MediaRequest):
    """Two clips become one.

    Attributes:
        first, second: paths, or `khayal.Clip`s.
        seconds: what is imagined between them.
    """

    first: Any
    second: Any

    task = "connect"

    @property
    def media(self) -> tuple[Medium, ...]:
        return (Medium(given=self.first, is_still=False), Medium(given=self.second, is_still=False))


@dataclass(frozen=True, kw_only=True)
class LoopRequest(MediaRequest):
    """A clip that can be played round and round.

    Attributes:
        clip: a path, or a `khayal.Clip`.
        seconds: what is added to close it.
    """

    clip: Any

    task = "loop"

    @property
    def media(self) -> tuple[Medium, ...]:
        return (Medium(given=self.clip, is_still=False),)


@dataclass(frozen=True, kw_only=True)
class RemixRequest(MediaRequest):
    """A clip is imagined anew from part of the way (SDEdit, arXiv:2108.01073).

    Attributes:
        clip: a path, or a `khayal.Clip`.
        strength: how much of it: subtle, mild, strong, or a noise level between 0 and 1.
    """

    clip: Any
    strength: str | float = "mild"

    task = "remix"
    needs_prompt = True

    @property
    def level(self) -> float:
        """The noise level at which every column starts."""
        return STRENGTHS[self.strength] if isinstance(self.strength, str) else float(self.strength)

    @property
    def media(self) -> tuple[Medium, ...]:
        return (Medium(given=self.clip, is_still=False),)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seconds is not None or self.num_frames is not None:
            raise InputError("A remix is as long as its clip", fix="leave the seconds out")
        if isinstance(self.strength, str):
            if self.strength not in STRENGTHS:
                words = ", ".join(STRENGTHS)
                raise InputError(
                    f"There is no strength “{self.strength}”", fix=f"take {words}, or a number up to 1"
                )
            return
        _check("strength", self.strength, 0, 1)
        if self.strength == 0:
            raise InputError("A remix of strength 0 changes nothing", fix="give more than 0")


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One shot of a storyboard.

    Attributes:
        prompt: what it shows; {name} stands for the description of one of the cast.
        seconds: its length; None for the model's own.
        image: its first frame.
        clip: what it begins with, shown as it is.
        is_cut: True where it begins with a cut, False where it goes on from the shot before.
    """

    prompt: str
    seconds: float | None = None
    image: Any = None
    clip: Any = None
    is_cut: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.prompt, str) or not self.prompt.strip():
            raise InputError("A shot has no prompt", fix="say in a sentence what it shows")
        _check("seconds", self.seconds, 0.05, MAX_SECONDS)
        if self.image is not None and self.clip is not None:
            raise InputError("A shot has both an image and a clip", fix="begin it with one of them")
        if not self.is_cut and (self.image is not None or self.clip is not None):
            raise InputError(
                "A shot that goes on from the one before cannot begin with an image or a clip",
                fix="let it begin with a cut",
            )


@dataclass(frozen=True, kw_only=True)
class Character:
    """One of the cast: named, and described once, by words, an image or a clip.

    Attributes:
        name: how prompts call it, in braces.
        description: what stands in its place.
        image, clip: what shows it; the model sees it beside every shot that names it.
    """

    name: str
    description: str
    image: Any = None
    clip: Any = None

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise InputError(f"“{self.name}” is no name for one of the cast", fix="take one word of letters")
        if not self.description.strip():
            raise InputError(f"“{self.name}” of the cast has no description", fix="say what it looks like")
        if self.image is not None and self.clip is not None:
            raise InputError(f"“{self.name}” has both an image and a clip", fix="give one of them")


@dataclass(frozen=True, kw_only=True)
class StoryboardRequest(MediaRequest):
    """Several shots with the same characters and places.

    Attributes:
        prompt: a sentence that is said of every shot.
        shots: in their order.
        cast: the characters that prompts name.
        seconds: the whole length, shared evenly among the shots that name none.
    """

    shots: Sequence[Shot]
    cast: Sequence[Character] = ()

    task = "storyboard"

    @property
    def media(self) -> tuple[Medium, ...]:
        """The shots' beginnings in their order, then the cast."""
        found: list[Medium] = []
        everyone: tuple[Shot | Character, ...] = (*self.shots, *self.cast)
        for one in everyone:
            if one.image is not None:
                found.append(Medium(given=one.image, is_still=True))
            elif one.clip is not None:
                found.append(Medium(given=one.clip, is_still=False))
        return tuple(found)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("shots", "cast"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.shots:
            raise InputError("The storyboard has no shots", fix="give at least one, with a prompt")
        if not self.shots[0].is_cut:
            raise InputError("The first shot has nothing to go on from", fix="let it begin with a cut")
        if self.num_frames is not None:
            raise InputError("A storyboard is counted in seconds", fix="give seconds to its shots")
        names = [one.name for one in self.cast]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"Two of the cast are called “{name}”", fix="give each its own name")


def _as_pairs(name: str, value: Any) -> Any:
    """Lists of pairs as tuples of tuples."""
    try:
        pairs = tuple((first, second) for first, second in value)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be pairs, not {value!r}"[:200]) from None
    return pairs


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
