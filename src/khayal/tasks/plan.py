"""What a plan is made of. It holds no tensors: what it needs it names, and the studio fetches it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from khayal.tasks.request import Request
from khayal.timeline import Timeline

S = TypeVar("S", bound="Source")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Pixel frames in a row, by name.

    Attributes:
        index: which of the plan's media, or of its canvases.
        first_frame: the first of them; of a canvas, among all frames that its columns hold.
        num_frames: how many; what a still or a short clip does not have is its last frame again.
    """

    index: int
    first_frame: int = 0
    num_frames: int = 1

    def part(self: S, first_frame: int, num_frames: int) -> S:
        """Some of these frames, counted from the first."""
        return replace(self, first_frame=self.first_frame + first_frame, num_frames=num_frames)


@dataclass(frozen=True, kw_only=True)
class Media(Source):
    """Frames of what the user gave."""


@dataclass(frozen=True, kw_only=True)
class Made(Source):
    """Frames of a canvas that is made before."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One latent frame of a canvas.

    Attributes:
        num_frames: pixel frames that it shows: where it holds more, its last ones.
        position: where in time it stands, in latent frames.
        source: what it is made from; None where it is only noise.
        level: the noise level at which it starts: 1 is pure noise.
        is_known: True where it keeps that level in every row, and its clean value at the end; else it
            falls to 0.
        is_shown: True where it is part of the result.
        is_aside: True where the model looks at it, and it is no part of the sequence that is decoded: an
            anchor, a keyframe, an earlier shot.
        shot: which of the plan's prompts it reads.
    """

    num_frames: int
    position: float
    source: Source | None = None
    level: float = 1.0
    is_known: bool = False
    is_shown: bool = True
    is_aside: bool = False
    shot: int = 0


@dataclass(frozen=True, kw_only=True)
class Pin:
    """A frame whose true pixels are known. What its decode lacks of them fades out over its neighbours.

    Attributes:
        frame: which of the frames that the canvas holds.
        source: its pixels.
        is_shown: True where they stand in the result.
    """

    frame: int
    source: Source
    is_shown: bool = False


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """What one canvas will be: its columns, and the pixels that are known beforehand."""

    columns: tuple[Column, ...]
    pins: tuple[Pin, ...] = ()

    @property
    def strip(self) -> tuple[Column, ...]:
        """The columns that are decoded, one after the other."""
        return tuple(column for column in self.columns if not column.is_aside)

    @property
    def goes_on(self) -> bool:
        """True where it goes on from what was made, with the same prompt, and nothing is given besides."""
        is_begun = any(column.is_known for column in self.strip)
        is_given = any(isinstance(column.source, Media) for column in self.columns)
        return is_begun and not is_given and len({column.shot for column in self.strip}) == 1

    @property
    def num_frames(self) -> int:
        """Pixel frames that it shows."""
        return sum(column.num_frames for column in self.columns if column.is_shown)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the studio runs.

    Attributes:
        request: what was asked for, with its settings of sampling.
        canvases: in the order in which they are made.
        passages: the result in its order: frames of media as they are, and what canvases show (by number).
        prompts: one for each shot.
        notes: what the user should know about it.
    """

    request: Request
    canvases: tuple[Sketch, ...]
    passages: tuple[Media | int, ...]
    prompts: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def num_frames(self) -> int:
        """Of the result."""
        return sum(
            self.canvases[passage].num_frames if isinstance(passage, int) else passage.num_frames
            for passage in self.passages
        )


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What a plan is made for.

    Attributes:
        timeline: how the model counts time.
        default_seconds: how long its clips are when nobody says.
        window: columns that it makes at once, or None where they are all made at once, because the model
            takes one noise level for the whole sample, so that nothing can be given.
        lengths: frames of each of the request's media, at the model's rate.
    """

    timeline: Timeline
    default_seconds: float
    window: int | None = None
    lengths: tuple[int, ...] = ()
