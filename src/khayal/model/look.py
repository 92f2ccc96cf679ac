"""A closer look at actors: crops of the whole frame around each, from which its kind is read.

A probe sees clips at a quarter of their pixels, where a cylinder and a cube are a dozen pixels wide. Where it
has found an actor, this network looks again: at what lies in the actor's box, at full size and at several
moments, as a two-stage detector does (Fast R-CNN, arXiv:1504.08083).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from khayal.model.causal_conv import RmsNorm
from khayal.model.chunk_autoencoder import Block

FILE = "look.safetensors"
"""Its weights, in the folder of a probe."""
CROP = 32
"""Pixels of a crop along each side."""
FOLD = 4
"""Pixels folded into channels along each side."""
ROOM = 1.5
"""A crop's side, in that of the smallest square which holds the box."""
SMALLEST = 0.08
"""Of a crop's side, in shares of the frame: a box that is nearly nothing is seen with what is around it."""


class Look(nn.Module):
    """Crops of one actor at some moments, and its colour → logits of its kind.

    The colour says who is meant where two actors are in one crop.
    """

    def __init__(self, num_kinds: int, num_colours: int, width: int = 64, deep_width: int = 128) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3 * FOLD**2, width, 3, padding=1)
        self.colour = nn.Embedding(num_colours, width)
        self.fine = nn.Sequential(Block(width), Block(width))
        self.down = nn.Conv2d(4 * width, deep_width, 1)
        self.deep = nn.Sequential(Block(deep_width), Block(deep_width))
        self.norm = RmsNorm(deep_width, 2)
        self.moments = nn.Linear(2 * deep_width, deep_width)
        self.kinds = nn.Linear(deep_width, num_kinds)

    def forward(
        self,
        crops: Float[Tensor, "m k 3 crop crop"],
        colours: Int[Tensor, "m"],
        weights: Float[Tensor, "m k"],
    ) -> Float[Tensor, "m kinds"]:
        """Kinds of m actors from k moments each; `weights` says how much each moment counts."""
        count = crops.shape[1]
        images = F.pixel_unshuffle(crops.flatten(0, 1), FOLD).contiguous(memory_format=torch.channels_last)
        x = self.stem(images) + self.colour(colours).repeat_interleave(count, dim=0)[..., None, None]
        x = self.down(F.pixel_unshuffle(self.fine(x), 2))
        seen = self.norm.activated(self.deep(x)).mean((2, 3)).unflatten(0, (-1, count))
        weights = weights[..., None] + 1e-3
        counted = seen * weights
        told = torch.cat((counted.sum(1) / weights.sum(1), counted.amax(1)), dim=-1)
        logits: Tensor = self.kinds(F.silu(self.moments(told)))
        return logits


def crops_of(
    frames: Float[Tensor, "m k 3 h w"], boxes: Float[Tensor, "m k 4"]
) -> Float[Tensor, "m k 3 crop crop"]:
    """The square around each box (centre, width and height, in shares of the frame) and some room."""
    half = (boxes[..., 2:].amax(-1) * ROOM / 2).clamp(min=SMALLEST / 2)[..., None, None, None]
    line = (torch.arange(CROP, device=boxes.device, dtype=boxes.dtype) + 0.5) / CROP * 2 - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    places = boxes[..., None, None, :2] + half * torch.stack((x, y), dim=-1)
    grid = places.flatten(0, 1) * 2 - 1
    crops = F.grid_sample(frames.flatten(0, 1), grid, padding_mode="border", align_corners=False)
    return crops.unflatten(0, frames.shape[:2])
