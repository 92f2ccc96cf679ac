"""The picture of a video while it forms: now and then, one latent frame of what the model expects, drawn.

It comes into focus. A soft picture, a linear map from latents to colours, costs next to nothing and shows
all that there is to be seen at first; a sharp one is decoded. What a run may spend on them is a small share
of its own time, whatever the checkpoint: what a picture cost the last time says how many there can be.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from khayal.model.autoencoder import Autoencoder
from khayal.sample.canvas import Canvas

SHARE = 0.02
"""Of the time of denoising."""

OnPicture = Callable[[UInt8[np.ndarray, "h w 3"]], None]
"""Shown what the video looks like so far."""

_FOCUS = 0.5  # of the steps: before it, there is little to be seen that is sharp
_MANY = 8  # sharp pictures; where so many can be afforded, no others are needed
_SOFT_SHARE = 0.3  # of what may be spent
_FADE = 0.99
_SWATCHES, _SIDE, _SPOTS = 8, 8, 3  # images, their side in latents, spots of colour along it
_RIDGE = 1e-3


@dataclass
class Sketchbook:
    """What is learnt about pictures in one run and used in the next.

    Attributes:
        costs: seconds that a picture took, by its kind and the shape of the latents.
        counts: how often that was measured.
        colours: for soft pictures; None until the autoencoder was at hand.
    """

    costs: dict[tuple[bool, tuple[int, ...]], float] = field(default_factory=dict)
    counts: Counter[tuple[bool, tuple[int, ...]]] = field(default_factory=Counter)
    colours: Colours | None = None


Draw = Callable[[bool], "np.ndarray | None"]
"""(whether it is to be sharp) → the picture, or None where there can be none."""


class Preview:
    """Decides when a picture is worth its time, and of which kind.

    Args:
        show: what is done with a picture; its time counts too.
        book: of earlier runs on this machine.
        clock: seconds, rising.
    """

    def __init__(
        self, show: OnPicture, book: Sketchbook, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._show, self.book, self._clock = show, book, clock
        self.start()

    def start(self) -> None:
        """A canvas is begun."""
        self._started, self._spent = self._clock(), 0.0
        self._next = {True: 0, False: 1}

    def after(self, step: int, num_steps: int, latents: Tensor, draw: Draw) -> None:
        """Draw after this step, or leave it.

        The first two pictures of a shape and kind may cost more, for nobody knows.
        """
        if step == num_steps:  # the video itself is near
            return
        total = (self._clock() - self._started - self._spent) / step * num_steps
        for is_sharp in (True, False):
            key = (is_sharp, tuple(latents.shape))
            if self._is_due(key, step, num_steps, SHARE * total):
                _wait_for(latents.device)  # else its time would count the step's, too
                self._draw(key, step, num_steps, SHARE * total, draw)
                return

    def _is_due(self, key: tuple[bool, tuple[int, ...]], step: int, num_steps: int, budget: float) -> bool:
        is_sharp, cost = key[0], self.book.costs.get(key)
        is_early = step < _FOCUS * num_steps
        if step < self._next[is_sharp]:
            return False
        if cost is None:
            return not (is_sharp and is_early)
        if is_sharp and is_early and cost * _MANY > budget:
            return False
        if self._spent + cost > (budget if is_sharp or not is_early else _SOFT_SHARE * budget):
            self.book.costs[key] *= _FADE  # a busy moment may have made it dear: it is tried again one day
            return False
        return True

    def _draw(
        self, key: tuple[bool, tuple[int, ...]], step: int, num_steps: int, budget: float, draw: Draw
    ) -> None:
        began, is_sharp = self._clock(), key[0]
        picture = draw(is_sharp)
        if picture is None:
            self._next[is_sharp] = num_steps
            return
        self._show(picture)
        took, known = self._clock() - began, self.book.costs.get(key)
        self._spent += took
        self.book.counts[key] += 1
        # the first one on a machine takes several times as long as all others
        estimate = (known or 0.0) + took
        cost = (took / 4, took, min(took, estimate / 2))[min(self.book.counts[key], 3) - 1]
        self.book.costs[key] = cost
        left = max(budget - self._spent, 0.0) if is_sharp else _SOFT_SHARE * budget
        affordable = max(1.0, left / max(cost, 1e-6))
        steps = num_steps - step if is_sharp else num_steps
        self._next[is_sharp] = step + max(1, math.ceil(steps / affordable))
        if is_sharp:
            self._next[False] = num_steps  # what was in focus stays so


def column_to_show(canvas: Canvas) -> int:
    """The middle one of the columns that are imagined and shown."""
    places = (canvas.is_shown & ~canvas.is_known).nonzero()[:, 0]
    return int(places[len(places) // 2]) if len(places) else 0


def decoded(
    autoencoder: Autoencoder, latent: Float[Tensor, "1 c 1 h w"], tile: int | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """A latent frame as a picture, decoded as if it stood alone: its neighbours would cost as much again."""
    with torch.inference_mode():
        frames = next(iter(autoencoder.stream(latent, tile=tile)))
    return _pixels(frames[0, :, -1])


@dataclass(frozen=True)
class Colours:
    """A linear map from a latent to the colour that it stands for.

    Attributes:
        weights: a row for each channel, and one that is added.
    """

    weights: Float[Tensor, "rows 3"]

    @classmethod
    def of(cls, autoencoder: Autoencoder, *, device: torch.device, dtype: torch.dtype) -> Colours:
        """Fitted to what the autoencoder decodes from spots of random latents: a few small images, once.

        Pictures of spots, encoded, are so unlike what it was trained on that the map of a scene was twice
        as far off.
        """
        generator = torch.Generator().manual_seed(1)  # of two, the one that suits plain colours too
        spots = torch.randn(_SWATCHES, autoencoder.latent_channels, _SPOTS, _SPOTS, generator=generator)
        latents = F.interpolate(spots, size=(_SIDE, _SIDE), mode="bicubic", align_corners=True)
        with torch.inference_mode():
            decoded = autoencoder.decode(latents[:, :, None].to(device, dtype))
        images = decoded[:, :, -1].float().clamp(-1, 1).cpu()
        inputs = latents.permute(0, 2, 3, 1).flatten(0, 2).double()
        inputs = torch.cat((inputs, torch.ones(len(inputs), 1, dtype=inputs.dtype)), dim=1)
        targets = F.avg_pool2d(images, autoencoder.spatial_ratio).permute(0, 2, 3, 1).flatten(0, 2).double()
        gram = inputs.T @ inputs
        gram += _RIDGE * len(inputs) * torch.eye(len(gram), dtype=gram.dtype)
        return cls(torch.linalg.solve(gram, inputs.T @ targets).float())

    def drawn(self, latent: Float[Tensor, "1 c 1 h w"], scale: int = 8) -> UInt8[np.ndarray, "H W 3"]:
        """A latent frame as a soft picture, `scale` pixels for each of its own."""
        weights = self.weights.to(latent)
        colours = torch.einsum("chw,cr->rhw", latent[0, :, 0], weights[:-1]) + weights[-1][:, None, None]
        return _pixels(F.interpolate(colours[None].float(), scale_factor=scale, mode="bicubic")[0])


def _pixels(frame: Float[Tensor, "3 h w"]) -> UInt8[np.ndarray, "h w 3"]:
    levels = (frame.float() * 0.5 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
    pixels: np.ndarray = levels.permute(1, 2, 0).cpu().contiguous().numpy()
    return pixels


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
