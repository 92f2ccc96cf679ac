"""The one sampling loop."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from khayal.sample.canvas import Canvas, column
from khayal.sample.solvers import Predict, Solver

OnStep = Callable[[int, int, Tensor], None]
"""Called after every step with (steps done, steps in all, the latents); what it raises stops the loop."""


class Watched:
    """A model that remembers its last answer, so that a run can be looked at while it lasts."""

    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        self._last: tuple[Tensor, Tensor, Tensor] | None = None

    def __call__(self, latents: Tensor, sigmas: Tensor) -> Tensor:
        velocity = self._predict(latents, sigmas)
        self._last = latents, sigmas, velocity
        return velocity

    def clean(self) -> Float[Tensor, "b c t h w"]:
        """The clean latents that the model expected when it was last asked."""
        assert self._last is not None, "it was not asked yet"
        latents, sigmas, velocity = self._last
        return latents - column(sigmas, latents) * velocity


@torch.inference_mode()
def denoise(
    predict: Predict,
    canvas: Canvas,
    noise: Float[Tensor, "b c t h w"],
    *,
    solver: Solver,
    on_step: OnStep | None = None,
) -> Float[Tensor, "b c t h w"]:
    """Walk down the canvas's table, from noise to clean latents."""
    latents = canvas.start(noise)
    for k in range(canvas.num_steps):
        latents = solver.step(predict, latents, canvas.sigmas[k], canvas.sigmas[k + 1])
        if on_step is not None:
            on_step(k + 1, canvas.num_steps, latents)
    return canvas.finish(latents)
