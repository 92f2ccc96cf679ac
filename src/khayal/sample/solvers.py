"""Ways to step down the table. Each takes the model's velocity and moves every column by its own step.

History, order and warm-up are kept per column, so that columns may start, pause and end at different rows.
A column whose level does not change in a row is left exactly as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from khayal.sample.canvas import column

Predict = Callable[[Tensor, Tensor], Tensor]
"""(latents `b c t h w`, the row of their levels `t`) → their velocity."""

Row = Float64[Tensor, "t"]
Latents = Float[Tensor, "b c t h w"]


@runtime_checkable
class Solver(Protocol):
    """One object serves one run: it may keep history."""

    def step(self, predict: Predict, latents: Latents, sigmas: Row, next_sigmas: Row) -> Latents:
        """Take the latents from the levels of one row to those of the next."""
        ...


class Euler:
    """First order: along the velocity."""

    def step(self, predict: Predict, latents: Latents, sigmas: Row, next_sigmas: Row) -> Latents:
        return latents + column(next_sigmas - sigmas, latents) * predict(latents, sigmas)


class Heun:
    """Second order in two model calls (Karras et al., arXiv:2206.00364); Euler where a column ends at 0."""

    def step(self, predict: Predict, latents: Latents, sigmas: Row, next_sigmas: Row) -> Latents:
        width = column(next_sigmas - sigmas, latents)
        velocity = predict(latents, sigmas)
        reached = latents + width * velocity
        is_averaged = (next_sigmas > 0) & (next_sigmas < sigmas)
        if not is_averaged.any():
            return reached
        averaged = latents + width * 0.5 * (velocity + predict(reached, next_sigmas))
        return torch.where(column(is_averaged, latents), averaged, reached)


@dataclass
class _Past:
    """What UniPC remembers of the steps that a column has made."""

    sample: Tensor  # the corrected latents at `sigma`, before the last step
    clean: Tensor  # the clean latents predicted there
    earlier_clean: Tensor  # and one step before
    sigma: Tensor
    earlier_sigma: Tensor
    num_made: Tensor  # steps that each column has made
    order: Tensor  # order of the last one


@dataclass
class UniPC:
    """Predictor and corrector of second order, B(h) = e^h − 1 (Zhao et al., arXiv:2302.04867).

    The corrector costs no model call: it redoes the last step once the prediction at its end is known.
    First and last steps of each column are of first order.
    """

    past: _Past | None = field(default=None, init=False)

    def step(self, predict: Predict, latents: Latents, sigmas: Row, next_sigmas: Row) -> Latents:
        moves = next_sigmas < sigmas
        velocity = predict(latents, sigmas)
        clean = latents - column(_single(sigmas), latents) * velocity
        if self.past is None:
            nothing, never = torch.zeros_like(latents), torch.zeros_like(sigmas)
            self.past = _Past(nothing, nothing, nothing, never, never, never.long(), never.long())
        corrected = self._correct(latents, clean, sigmas, moves)
        reached = self._predict_next(corrected, clean, sigmas, next_sigmas, moves)
        return torch.where(column(moves, latents), reached, latents)

    def _correct(self, latents: Latents, clean: Latents, sigmas: Row, moves: Tensor) -> Latents:
        """Redo the last step of each column, now that the prediction at its end is known."""
        assert self.past is not None
        past = self.past
        step = _Step.between(past.sigma, sigmas)
        ratio = step.ratio(past.earlier_sigma)
        # order 1: rho = 1/2. order 2: the two weights solve a 2×2 system, written out here.
        is_second = past.order == 2
        solved = (step.b2 - ratio * step.b1) / (1 - ratio)
        at_end = torch.where(is_second, solved, 0.5)
        before = torch.where(is_second, step.b1 - at_end, 0.0) / ratio
        change = column(at_end, latents) * (clean - past.clean)
        change = change + column(before, latents) * (past.earlier_clean - past.clean)
        redone = step.apply(past.sample, past.clean, change)
        return torch.where(column(moves & (past.num_made > 0), latents), redone, latents)

    def _predict_next(
        self, latents: Latents, clean: Latents, sigmas: Row, next_sigmas: Row, moves: Tensor
    ) -> Latents:
        """Extrapolate from this prediction and the last one, and remember both."""
        assert self.past is not None
        past = self.past
        order = torch.where((past.num_made > 0) & (next_sigmas > 0), 2, 1)
        step = _Step.between(sigmas, next_sigmas)
        weight = torch.where(order == 2, 0.5 / step.ratio(past.sigma), 0.0)
        reached = step.apply(latents, clean, column(weight, latents) * (past.clean - clean))
        here = column(moves, latents)
        self.past = _Past(
            sample=torch.where(here, latents, past.sample),
            clean=torch.where(here, clean, past.clean),
            earlier_clean=torch.where(here, past.clean, past.earlier_clean),
            sigma=torch.where(moves, sigmas, past.sigma),
            earlier_sigma=torch.where(moves, past.sigma, past.earlier_sigma),
            num_made=past.num_made + moves,
            order=torch.where(moves, order, past.order),
        )
        return reached


@dataclass(frozen=True)
class _Step:
    """The coefficients of one step of each column, in half log-SNR lambda = log((1 − sigma) / sigma)."""

    start: Tensor
    end: Tensor
    h: Tensor

    @classmethod
    def between(cls, start: Tensor, end: Tensor) -> _Step:
        return cls(_single(start), _single(end), _log_snr(end) - _log_snr(start))

    @property
    def phi(self) -> Tensor:
        """B(h) = e^−h − 1."""
        return torch.expm1(-self.h)

    @property
    def b1(self) -> Tensor:
        """First moment of the exponential integrator, divided by B(h)."""
        return (self.phi / -self.h - 1) / self.phi

    @property
    def b2(self) -> Tensor:
        """Second moment, divided by B(h)."""
        return ((self.phi / -self.h - 1) / -self.h - 0.5) * 2 / self.phi

    def ratio(self, earlier: Tensor) -> Tensor:
        """Where an earlier level lies, in units of this step; never 0, so that it can be divided by."""
        ratio = (_log_snr(earlier) - _log_snr(self.start)) / self.h
        return torch.where(ratio.isfinite() & (ratio != 0), ratio, -1.0)

    def apply(self, sample: Tensor, clean: Tensor, change: Tensor) -> Tensor:
        """The exponential step towards `clean`, with what is known of how `clean` changes."""
        keep = torch.where(self.start > 0, self.end / self.start, 0.0)
        gain = (1 - self.end) * self.phi
        kept = column(keep, sample) * sample - column(gain, sample) * clean
        return kept - column(gain, sample) * change


def _single(sigma: Tensor) -> Tensor:
    """Round to float32, as the checkpoints' own solver does: near 1 its logarithms depend on it."""
    return sigma.float().double()


def _log_snr(sigma: Tensor) -> Tensor:
    sigma = sigma.float()
    return (1 - sigma).double().log() - sigma.double().log()


SOLVERS: dict[str, Callable[[], Solver]] = {"euler": Euler, "heun": Heun, "unipc": UniPC}
