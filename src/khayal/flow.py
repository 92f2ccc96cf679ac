"""The straight path from clean to noise, shared by sampling and training (rectified flow, arXiv:2209.03003).

x(sigma) = (1 − sigma) · clean + sigma · noise, so its velocity d x / d sigma is noise − clean.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

NEARLY_ONE = 1 - 1e-6
"""Where a schedule starts: at exactly 1 the log of the signal, which solvers use, is not finite."""


def schedule(
    num_steps: int, *, shift: float = 1.0, start: float = 1.0, num_levels: int = 1000
) -> Float[Tensor, "rows"]:
    """Noise levels from `start` down to 0, in float64; one row more than there are steps.

    Args:
        num_steps: k, the steps between them.
        shift: above 1 more of the steps are spent at high noise (SD3, arXiv:2403.03206).
        start: the first level; below 1 for remixes.
        num_levels: the levels that the model was trained on; the last step starts near one of them.
    """
    highest, lowest = 1.0, 1 / num_levels
    if start < 1:  # the shift maps `highest` to `start`
        highest, lowest = start / (shift - (shift - 1) * start), 0.0
    even = torch.arange(num_steps, dtype=torch.float64) * ((lowest - highest) / num_steps) + highest
    sigmas = shift * even / (1 + (shift - 1) * even)
    return torch.cat((sigmas.clamp(max=NEARLY_ONE), sigmas.new_zeros(1)))


def noised(clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """x(sigma) = (1 − sigma) · clean + sigma · noise; sigma broadcasts over both."""
    return torch.lerp(clean, noise, sigma)


def velocity(clean: Tensor, noise: Tensor) -> Tensor:
    """What the model learns to predict: noise − clean."""
    return noise - clean
