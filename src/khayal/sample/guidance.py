"""From transformers and prompts to one function: latents and their levels in, guided velocity out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from khayal.model.transformer import Context, SpacetimeTransformer
from khayal.sample.canvas import Canvas, column


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """Classifier-free guidance (Ho & Salimans, arXiv:2207.12598), and history guidance (arXiv:2502.06764).

    Attributes:
        scale: 1 follows the prompt as it is; above it, away from the negative prompt.
        interval: the noise levels, from low to high, at which it acts (arXiv:2404.07724); outside of them
            the prompt is followed as it is, in one model call.
        history_from: the lowest noise level at which it leads away, too, from what would be there without
            the given frames: beside the negative prompt they are pure noise. None: they are never hidden.
        is_batched: True runs both prompts in one call, which is faster and takes more memory.
    """

    scale: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)
    history_from: float | None = None
    is_batched: bool = True

    def acts_at(self, sigma: float) -> bool:
        """True where the negative prompt has to be asked too."""
        return self.scale != 1 and self.interval[0] <= sigma <= self.interval[1]

    def hides_at(self, sigma: float) -> bool:
        """True where given frames are hidden beside the negative prompt."""
        return self.history_from is not None and sigma >= self.history_from


@dataclass(frozen=True, kw_only=True)
class Expert:
    """A transformer and the noise levels that are its own.

    Attributes:
        load: gives the transformer; called when the levels reach it, so that one expert is in memory.
        lowest_sigma: it takes all levels from here up to the expert before it.
    """

    load: Callable[[], SpacetimeTransformer]
    guidance: Guidance
    lowest_sigma: float = 0.0


@dataclass
class GuidedModel:
    """Predicts the velocity of a canvas: the right expert, both prompts, guidance.

    Attributes:
        experts: from high noise to low.
        text: the encoded prompt of each shot, b s l e.
        negative: what to keep away from, in the same shape, or None where no guidance is asked for.
        noise: that the canvas starts from; it stands in the place of given frames where they are hidden.
        num_levels: noise levels are given to the model as whole numbers below this, as Wan was trained.
    """

    experts: Sequence[Expert]
    canvas: Canvas
    text: Float[Tensor, "b s l e"]
    noise: Float[Tensor, "b c t h w"]
    negative: Float[Tensor, "b s l e"] | None = None
    num_levels: int = 1000
    _active: Expert | None = field(default=None, init=False)
    _transformer: SpacetimeTransformer | None = field(default=None, init=False)
    _contexts: dict[str, Context] = field(default_factory=dict, init=False)

    def __call__(
        self, latents: Float[Tensor, "b c t h w"], sigmas: Float64[Tensor, "t"]
    ) -> Float[Tensor, "b c t h w"]:
        highest = float(sigmas.max())
        guidance = self._switch_to(highest).guidance
        if not guidance.acts_at(highest):
            return self._predict("text", latents, sigmas)
        without, levels = latents, sigmas
        hidden = self.canvas.is_given
        if guidance.hides_at(highest) and hidden.any():
            without = torch.where(column(hidden, latents), self.noise.to(latents), latents)
            levels = torch.where(hidden, 1.0, sigmas)
        if guidance.is_batched:
            rows = sigmas
            if levels is not sigmas:
                rows = torch.stack((levels, sigmas)).repeat_interleave(len(latents), dim=0)
            both = self._predict("both", torch.cat((without, latents)), rows)
            negative, positive = both.chunk(2)
        else:
            positive = self._predict("text", latents, sigmas)
            negative = self._predict("negative", without, levels)
        return negative + guidance.scale * (positive - negative)

    def _switch_to(self, sigma: float) -> Expert:
        expert = next((e for e in self.experts if sigma >= e.lowest_sigma), self.experts[-1])
        if expert is not self._active:
            self._contexts.clear()  # they hold the last expert's keys and values
            self._transformer = None
            self._active, self._transformer = expert, expert.load()
        return expert

    def _predict(self, prompts: str, latents: Tensor, sigmas: Tensor) -> Tensor:
        assert self._transformer is not None
        if prompts not in self._contexts:
            self._contexts[prompts] = self._transformer.prepare(
                self._texts(prompts),
                shots=self.canvas.shots[None],
                positions=self.canvas.positions[None],
                size=(latents.shape[-2], latents.shape[-1]),
            )
        # Truncated, not rounded: so the checkpoints' own schedule does.
        timesteps = (sigmas * self.num_levels).trunc().float().to(latents.device)
        velocity: Tensor = self._transformer(latents, torch.atleast_2d(timesteps), self._contexts[prompts])
        return velocity

    def _texts(self, prompts: str) -> Tensor:
        if prompts == "text":
            return self.text
        assert self.negative is not None, "guidance was asked for without a negative prompt"
        return self.negative if prompts == "negative" else torch.cat((self.negative, self.text))
