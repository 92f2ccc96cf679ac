"""How often something was right, with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

QUANTILE = 1.959964
"""Of the normal distribution, for 95%."""


def wilson(right: int, asked: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927): it stays inside [0, 1], also for few or equal answers."""
    if asked == 0:
        return 0.0, 1.0
    share, squared = right / asked, QUANTILE**2
    middle = (share + squared / (2 * asked)) / (1 + squared / asked)
    half = (
        QUANTILE * math.sqrt(share * (1 - share) / asked + squared / (4 * asked**2)) / (1 + squared / asked)
    )
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Right answers among those asked for."""

    right: int
    asked: int

    @classmethod
    def of(cls, answers: Iterable[bool]) -> Tally:
        """Count answers."""
        listed = list(answers)
        return cls(right=sum(listed), asked=len(listed))

    @property
    def share(self) -> float | None:
        """None where nothing was asked."""
        return self.right / self.asked if self.asked else None

    def to_json(self) -> dict[str, Any]:
        """Counts, share and interval."""
        low, high = wilson(self.right, self.asked)
        told: dict[str, Any] = {"right": self.right, "asked": self.asked}
        if self.asked:
            told |= {"share": round(self.right / self.asked, 4), "low": round(low, 4), "high": round(high, 4)}
        return told


def share(tally: Mapping[str, Any]) -> str:
    """A share with its interval and count."""
    if not tally["asked"]:
        return "none asked"
    return f"{tally['share']:.1%} ({tally['low']:.1%}–{tally['high']:.1%}, n = {tally['asked']})"
