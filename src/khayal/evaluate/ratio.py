"""The ratio of two means over clips, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

_DRAWS = 1000
_NOTHING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A sum over clips against another sum over the same clips.

    Of sums, not the mean of each clip's own ratio: where hardly anything moves, that could be anything.

    Attributes:
        value: None where no clip has both, or the second is nothing and the first is not.
        low, high: the 95% interval, by drawing clips anew (bootstrap).
        clips: those that have both.
    """

    value: float | None
    low: float | None
    high: float | None
    clips: int

    @classmethod
    def of(cls, tops: Sequence[float] | np.ndarray, bottoms: Sequence[float] | np.ndarray) -> Ratio:
        """Of one value of each for every clip; a clip with a NaN is left out."""
        top, bottom = np.asarray(tops, dtype=np.float64), np.asarray(bottoms, dtype=np.float64)
        is_there = np.isfinite(top) & np.isfinite(bottom)
        top, bottom = top[is_there], bottom[is_there]
        value = _against(top.sum(keepdims=True), bottom.sum(keepdims=True))[0]
        if not len(top) or not np.isfinite(value):
            return cls(value=None, low=None, high=None, clips=len(top))
        drawn = np.random.default_rng(0).integers(len(top), size=(_DRAWS, len(top)))
        low, high = np.percentile(_against(top[drawn].sum(axis=1), bottom[drawn].sum(axis=1)), (2.5, 97.5))
        return cls(value=float(value), low=float(low), high=float(high), clips=len(top))

    def to_json(self) -> dict[str, Any]:
        """Its fields, rounded."""
        rounded = {
            name: None if (x := getattr(self, name)) is None else round(x, 4)
            for name in ("value", "low", "high")
        }
        return rounded | {"clips": self.clips}


def _against(top: Float64[np.ndarray, "n"], bottom: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
    """1 where both are nothing: a still picture neither jumps nor drifts."""
    nothing = np.where(np.abs(top) <= _NOTHING, 1.0, np.inf)
    return np.where(bottom > _NOTHING, top / np.maximum(bottom, _NOTHING), nothing)
