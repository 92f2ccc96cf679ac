"""Randomness that is a function of (seed, step): a run can be taken up anywhere, on any number of devices.

Every process draws for the whole batch and keeps its own rows: the same samples get the same noise whether
one process works on them or eight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Chance:
    """The dice of one step.

    Attributes:
        seed: of the run.
        step: which step.
        batch_size: samples in the step, over all processes.
        rows: which of them are this process's.
        progress: how much of the run is behind it, 0 to 1.
    """

    seed: int
    step: int
    batch_size: int
    rows: range
    progress: float = 0.0

    def dice(self, purpose: int, sample: int | None = None) -> np.random.Generator:
        """Numbers for one purpose: of one sample (by its place in the whole batch), or of the whole step."""
        place = 0 if sample is None else sample + 1
        return np.random.default_rng([self.seed, self.step, purpose, place])

    def normal(self, purpose: int, shape: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
        """Standard normal values for this process's samples, `(rows, *shape)`, in float32."""
        entropy = np.random.SeedSequence([self.seed, self.step, purpose]).generate_state(1, np.uint64)[0]
        generator = torch.Generator(device).manual_seed(int(entropy) >> 1)
        whole = torch.randn(self.batch_size, *shape, generator=generator, device=device)
        return whole[self.rows.start : self.rows.stop]

    def split(self, pieces: int) -> Chance:
        """The dice where every sample becomes so many."""
        rows = range(self.rows.start * pieces, self.rows.stop * pieces)
        return replace(self, batch_size=self.batch_size * pieces, rows=rows)
