"""Measures of continuity: jumps at seams, flicker of chunks, and the two ends of a long video. Pixels only.

All of them walk over a clip once and keep a few numbers for each frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, UInt8

from khayal.errors import InputError

Frames = UInt8[np.ndarray, "_ h w 3"]

_LUMA = np.array([0.2126, 0.7152, 0.0722])
_ENDS = 0.15
"""The shares of a long video, at its beginning and its end, that drift compares."""
_AROUND = 8
"""Changes on either side of a seam that it is compared with: so near that in real clips, which were never
cut, the ratio at the same places is 1.0. Within 24 it was 1.2: more happens in the middle of a clip."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a clip looks, frame by frame.

    Attributes:
        luma: mean, 0 to 255.
        saturation: mean of (max − min) / max over the channels, 0 to 1.
        sharpness: mean absolute difference of neighbouring pixels of the luma.
        motion: mean absolute difference of each frame from the one before, the first from the last.
    """

    luma: Float64[np.ndarray, "f"]
    saturation: Float64[np.ndarray, "f"]
    sharpness: Float64[np.ndarray, "f"]
    motion: Float64[np.ndarray, "f"]


def course(chunks: Iterable[Frames]) -> Course:
    """Walk over the frames of a clip, a few at a time.

    Raises:
        InputError: there is no frame.
    """
    rows: list[tuple[float, float, float]] = []
    motion: list[float] = []
    first = last = None
    for frames in chunks:
        for frame in frames:
            pixels = frame.astype(np.float64)
            luma = pixels @ _LUMA
            high, low = pixels.max(axis=-1), pixels.min(axis=-1)
            saturation = np.where(high > 0, (high - low) / np.maximum(high, 1), 0).mean()
            sharpness = (np.abs(np.diff(luma, axis=0)).mean() + np.abs(np.diff(luma, axis=1)).mean()) / 2
            rows.append((float(luma.mean()), float(saturation), float(sharpness)))
            if last is not None:
                motion.append(float(np.abs(pixels - last).mean()))
            first, last = pixels if first is None else first, pixels
    if first is None or last is None:
        raise InputError("There is no frame to be measured")
    table = np.array(rows)
    closing = float(np.abs(first - last).mean())
    return Course(
        luma=table[:, 0],
        saturation=table[:, 1],
        sharpness=table[:, 2],
        motion=np.array([closing, *motion]),
    )


@dataclass(frozen=True, kw_only=True)
class Jumps:
    """Mean changes from frame to frame of one clip; NaN where there is none of a sort.

    Attributes:
        seam: at seams.
        border: at the other borders of chunks near them.
        inside: at all other frames near them.
    """

    seam: float
    border: float
    inside: float


def jumps(
    motion: Float64[np.ndarray, "f"],
    seams: Sequence[int],
    borders: Sequence[int] = (),
    *,
    aside: Sequence[int] = (),
    is_loop: bool = False,
) -> Jumps:
    """How much a clip changes at seams, and beside them.

    An autoencoder of chunks may flicker a little where one chunk ends, wherever that is; so these borders
    are told apart, and a seam is compared with the frames that are neither.

    Args:
        motion: of a `Course`.
        seams: frames that differ in kind from the one before: the first imagined one, the first known one…
        borders: frames with which another chunk begins.
        aside: frames that are left out: other seams.
        is_loop: True where the first frame follows the last, so that 0 is a seam as good as any.

    Raises:
        InputError: a seam is no frame, or nothing lies beside the seams.
    """
    count = len(motion)
    first = 0 if is_loop else 1
    for seam in seams:
        if not first <= seam < count:
            raise InputError(f"There is no seam at frame {seam} of {count}")
    around = {seam + step for seam in seams for step in range(-_AROUND, _AROUND + 1)}
    near = {frame % count for frame in around} if is_loop else {f for f in around if 1 <= f < count}
    near -= {*seams, *aside}
    others = near & {*borders}
    if not near - others:
        raise InputError("There is nothing beside the seams to compare them with")

    def mean(frames: Iterable[int]) -> float:
        chosen = motion[sorted(frames)]
        return float(chosen.mean()) if len(chosen) else float("nan")

    return Jumps(seam=mean(seams), border=mean(others), inside=mean(near - others))


def flicker(motion: Float64[np.ndarray, "f"], borders: Sequence[int]) -> Jumps:
    """The changes at borders of chunks and between them, in the whole clip; there is no seam."""
    count = len(motion)
    others = [frame for frame in borders if 1 <= frame < count]
    inside = sorted({*range(1, count)} - {*others})
    if not others or not inside:
        raise InputError("There is no border of chunks, or nothing between them")
    border, between = float(motion[others].mean()), float(motion[inside].mean())
    return Jumps(seam=float("nan"), border=border, inside=between)


QUALITIES = ("luma", "saturation", "sharpness", "motion")


def ends(found: Course) -> dict[str, tuple[float, float]]:
    """Mean luma, saturation, sharpness and motion of the first 15% of the frames, and of the last 15%."""
    count = max(1, round(len(found.luma) * _ENDS))
    means = {}
    for name in QUALITIES:
        values = getattr(found, name)
        values = values[1:] if name == "motion" else values  # the first one is that of the loop
        if not len(values):
            raise InputError("Drift is measured between frames")
        means[name] = (float(values[:count].mean()), float(values[-count:].mean()))
    return means
