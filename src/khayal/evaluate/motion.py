"""Measures of continuity: jumps at seams, loops that close, and drift over a long video. Pixels only.

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
_AROUND = 24
"""Changes on either side of a seam that it is compared with."""


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


def jump_ratio(found: Course, seams: Sequence[int]) -> float:
    """The mean change at seams against the mean change around them; 1 is a seam that cannot be seen.

    Args:
        found: of the whole clip.
        seams: frames that differ in kind from the one before: the first imagined one, the first known one…

    Raises:
        InputError: a seam is no frame, or nothing lies beside the seams.
    """
    count = len(found.motion)
    for seam in seams:
        if not 0 < seam < count:
            raise InputError(f"There is no seam at frame {seam} of {count}")
    near = {
        frame for seam in seams for frame in range(max(1, seam - _AROUND), min(count, seam + _AROUND + 1))
    }
    inside = sorted(near - set(seams))
    if not inside:
        raise InputError("There is nothing beside the seams to compare them with")
    return _ratio(float(found.motion[list(seams)].mean()), float(found.motion[inside].mean()))


def loop_ratio(found: Course) -> float:
    """The change from the last frame to the first against the mean change inside."""
    if len(found.motion) < 2:
        raise InputError("A loop has more than one frame")
    return _ratio(float(found.motion[0]), float(found.motion[1:].mean()))


def drift(found: Course) -> dict[str, float]:
    """By how much luma, saturation, sharpness and motion differ at the end, as shares of the beginning.

    The first 15% of the frames against the last 15%.
    """
    count = max(1, round(len(found.luma) * _ENDS))
    changes = {}
    for name in ("luma", "saturation", "sharpness", "motion"):
        values = getattr(found, name)
        values = values[1:] if name == "motion" else values  # the first one is that of the loop
        if not len(values):
            raise InputError("Drift is measured between frames")
        changes[name] = _ratio(float(values[-count:].mean()), float(values[:count].mean())) - 1
    return changes


def _ratio(one: float, other: float) -> float:
    """1 where both are nothing: a still picture neither jumps nor drifts."""
    return one / other if other > 1e-9 else (1.0 if one <= 1e-9 else float("inf"))
