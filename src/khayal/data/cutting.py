"""Media → windows of a few sizes and lengths, so that many can stand in one batch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

import numpy as np
from jaxtyping import UInt8

from khayal.clip import Clip
from khayal.data.folder import Media, Skipped
from khayal.errors import InputError, KhayalError
from khayal.images import fit_image, open_image
from khayal.timeline import Timeline, nearest_size

ASPECTS = (9 / 16, 2 / 3, 3 / 4, 1.0, 4 / 3, 3 / 2, 16 / 9)
STEPS_OF_LENGTH = 8
LEAST_KEPT = 1 / 3
"""A picture that would lose more than the rest to be cropped is left out."""


class UnsuitableError(InputError):
    """A file is whole, but the model cannot learn from it."""


@dataclass(frozen=True, kw_only=True)
class Cutting:
    """What windows are like.

    Attributes:
        fps: frames per second of every window.
        lengths: frames that a window may have, rising; a long video is cut into windows of the last one.
        sizes: (width, height) that a window may have.
        most_enlarged: a picture that would have to be enlarged by more is left out.
    """

    fps: Fraction
    lengths: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    most_enlarged: float

    def size_for(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size that is nearest in shape.

        Raises:
            UnsuitableError: the picture is too small, or too long and thin.
        """
        width, height = size
        chosen = min(self.sizes, key=lambda other: abs(math.log(other[0] / other[1] * height / width)))
        scale = max(chosen[0] / width, chosen[1] / height)
        told = f"{width}×{height}, for {chosen[0]}×{chosen[1]}"
        if scale > self.most_enlarged:
            raise UnsuitableError("it is too small", why=told)
        if chosen[0] * chosen[1] / (scale * width * scale * height) < LEAST_KEPT:
            raise UnsuitableError("too much of it would be cropped", why=told)
        return chosen

    def length_for(self, num_frames: int) -> int:
        """The longest possible length of so many frames; 0 where even the shortest is longer."""
        return max((length for length in self.lengths if length <= num_frames), default=0)


def cutting_for(
    timeline: Timeline,
    multiple: int,
    *,
    seconds: float,
    size: tuple[int, int] | None,
    pixels: int,
    most_enlarged: float,
) -> Cutting:
    """The windows that a model can learn from.

    Args:
        timeline: how the model counts time.
        multiple: of which its sides are multiples.
        seconds: the length of a whole window; shorter videos are cut to eighths of it.
        size: of all windows; None takes the sizes under a budget.
        pixels: the budget, in pixels of a frame.
        most_enlarged: see `Cutting`.

    Raises:
        InputError: the length or the size is none that the model can make.
    """
    if not 0 < seconds < math.inf:
        raise InputError(f"Windows of {seconds:g} seconds are not possible", fix="give a positive length")
    whole = timeline.num_frames(seconds)
    chunks = (whole - timeline.is_causal) // timeline.frames_per_latent
    least = 2 - timeline.is_causal  # one latent frame alone is an image's
    if chunks < least:
        raise InputError(f"Windows of {seconds:g} seconds are too short", fix="make them longer")
    step = max(1, chunks // STEPS_OF_LENGTH)
    counts = sorted(range(chunks, least - 1, -step))
    if size is not None and size != nearest_size(size, multiple):
        nearest = nearest_size(size, multiple)
        raise InputError(
            f"This model cannot make {size[0]}×{size[1]}",
            why=f"its sides are multiples of {multiple}",
            fix=f"take {nearest[0]}x{nearest[1]}, the nearest that it can",
        )
    return Cutting(
        fps=timeline.fps,
        lengths=tuple(timeline.is_causal + timeline.frames_per_latent * count for count in counts),
        sizes=(size,) if size else sizes_under(pixels, multiple),
        most_enlarged=most_enlarged,
    )


def sizes_under(pixels: int, multiple: int) -> tuple[tuple[int, int], ...]:
    """Sizes of the usual shapes, with as many pixels as the budget allows and sides that the model can make.

    Raises:
        InputError: the budget is smaller than the smallest picture.
    """
    most = pixels // multiple**2
    if most < 1:
        raise InputError(f"{pixels} pixels are too few", why=f"the model's sides are multiples of {multiple}")
    sides = range(1, most + 1)
    possible = [*((most // side, side) for side in sides), *((side, most // side) for side in sides)]
    possible.append((math.isqrt(most), math.isqrt(most)))

    def loss(size: tuple[int, int], aspect: float) -> float:
        """What is cropped of a picture of that shape, and what is left of the budget."""
        return abs(math.log(size[0] / size[1] / aspect)) + math.log(most / (size[0] * size[1]))

    chosen = {min(possible, key=lambda size: loss(size, aspect)) for aspect in ASPECTS}
    return tuple((columns * multiple, rows * multiple) for columns, rows in sorted(chosen))


@dataclass(frozen=True, kw_only=True)
class Window:
    """A piece of a file, of one of the sizes and lengths.

    Attributes:
        number: which piece of the file.
        start: its first frame, in frames of the file at the common rate.
        seconds: the length of the whole file.
        frames: its pixels.
    """

    number: int
    start: int
    seconds: float
    frames: UInt8[np.ndarray, "f h w 3"]


Cut = Window | Skipped | str
"""A window, something that was left out, or a sentence about the file."""


def cut(media: Media, cutting: Cutting, done: frozenset[int] = frozenset()) -> Iterator[Cut]:
    """The windows of a file one after the other, without those that are done; it is read once.

    Whatever is wrong with the file is told, not raised: the next file may be better.
    """
    try:
        yield from _cut_video(media, cutting, done) if media.is_video else _cut_image(media, cutting, done)
    except UnsuitableError as error:
        yield Skipped(name=media.name, why=error.what, detail=error.why)
    except KhayalError as error:
        yield Skipped(name=media.name, why="it cannot be read", detail=error.why or error.what)
    except Exception as error:  # noqa: BLE001 - decoders fail in many ways, and other files are waiting
        yield Skipped(name=media.name, why="it cannot be read", detail=f"{type(error).__name__}: {error}")


def _cut_image(media: Media, cutting: Cutting, done: frozenset[int]) -> Iterator[Cut]:
    if 0 not in done:
        image = open_image(media.path)
        yield _still(image, cutting)


def _still(image: UInt8[np.ndarray, "h w 3"], cutting: Cutting) -> Window:
    fitted, _ = fit_image(image, cutting.size_for((image.shape[1], image.shape[0])))
    return Window(number=0, start=0, seconds=float(1 / cutting.fps), frames=fitted[None])


def _cut_video(media: Media, cutting: Cutting, done: frozenset[int]) -> Iterator[Cut]:
    clip = Clip.open(media.path)
    size = cutting.size_for(clip.size)
    yield from clip.details["notes"]
    if clip.num_frames == 1:  # an image that is kept as a gif or a video
        if 0 not in done:
            yield _still(clip.frames[0], cutting)
        return
    clip = clip.at_fps(cutting.fps)
    whole, number, count = cutting.lengths[-1], 0, 0
    held: list[np.ndarray] = []
    for frame in chain.from_iterable(clip):
        count += 1
        if number not in done:
            held.append(fit_image(frame, size)[0])
        if count == whole:
            if held:
                yield Window(number=number, start=number * whole, seconds=clip.seconds, frames=np.stack(held))
            held, number, count = [], number + 1, 0
    length = cutting.length_for(count)
    if number == 0 and not length:
        told = f"{count} frames at {float(cutting.fps):g} fps, of at least {cutting.lengths[0]}"
        raise UnsuitableError("it is too short", why=told)
    if held and (number == 0 or 2 * length >= whole):
        frames = np.stack(held[:length])
        yield Window(number=number, start=number * whole, seconds=clip.seconds, frames=frames)
