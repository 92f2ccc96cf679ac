"""What every task is drawn on: latent frames, and the table of their noise levels.

`sigmas[k, t]` has one row for each denoising step, and one more, and one column for each latent frame:
1 is pure noise, 0 is clean. Tasks differ in this table and in nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from khayal.flow import NEARLY_ONE, noised, schedule
from khayal.tasks import Column, Media


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """A table of noise levels and the latent frames that it speaks of.

    Attributes:
        latents: clean latents of the columns that start below 1 (known ones, remixed ones); the others
            are not read.
        is_known: True where a column keeps its declared level in every row, and its clean value at the end.
        is_given: True where a known column holds what the user gave, in the sequence itself: not what was
            made before, nor what stands aside.
        is_shown: True where a column is part of the result.
        sigmas: noise levels, in float64 on the CPU.
        positions: where in time each column stands, in latent frames.
        shots: which prompt each column reads.
        frames_per_column: pixel frames that each column shows.
    """

    latents: Float[Tensor, "b c t h w"]
    is_known: Bool[Tensor, "t"]
    is_given: Bool[Tensor, "t"]
    is_shown: Bool[Tensor, "t"]
    sigmas: Float64[Tensor, "rows t"]
    positions: Float[Tensor, "t"]
    shots: Int[Tensor, "t"]
    frames_per_column: tuple[int, ...]

    @classmethod
    def of(
        cls,
        columns: Sequence[Column],
        latents: Float[Tensor, "b c t h w"],
        *,
        num_steps: int,
        shift: float = 1.0,
        num_levels: int = 1000,
    ) -> Canvas:
        """A plan's columns in tensors: constant levels where they are known, falling to 0 elsewhere."""

        def levels(column: Column) -> Tensor:
            if column.is_known:
                return torch.full((num_steps + 1,), column.level, dtype=torch.float64)
            return schedule(num_steps, shift=shift, start=column.level, num_levels=num_levels)

        return cls(
            latents=latents,
            is_known=torch.tensor([column.is_known for column in columns]),
            is_given=torch.tensor(
                [c.is_known and isinstance(c.source, Media) and not c.is_aside for c in columns]
            ),
            is_shown=torch.tensor([column.is_shown for column in columns]),
            sigmas=torch.stack([levels(column) for column in columns], dim=1),
            positions=torch.tensor([float(column.position) for column in columns]),
            shots=torch.tensor([column.shot for column in columns]),
            frames_per_column=tuple(column.num_frames for column in columns),
        )

    @property
    def num_steps(self) -> int:
        """Rows of the table that lead to another row."""
        return self.sigmas.shape[0] - 1

    def start(self, noise: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        """The latents of the first row. A column that starts at 1 is the noise itself, bit for bit."""
        sigma = column(self.sigmas[0], noise)
        is_noise = column(self.sigmas[0] >= NEARLY_ONE, noise)
        return torch.where(is_noise, noise, noised(self.latents.to(noise), noise, sigma))

    def finish(self, latents: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        """Put the clean value of every known column back."""
        return torch.where(column(self.is_known, latents), self.latents.to(latents), latents)


def column(values: Tensor, like: Tensor) -> Tensor:
    """One value for each latent frame, shaped to broadcast over `b c t h w`; numbers take its type."""
    dtype = values.dtype if values.dtype == torch.bool else like.dtype
    return values.to(dtype).to(like.device)[:, None, None]  # in this order: MPS has no float64
