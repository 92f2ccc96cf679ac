"""A 3×3×3 convolution over frames with half of its products.

Of a kernel of three taps over time, two outputs together need four products instead of six, and four need
six instead of twelve (Winograd 1980; Lavin and Gray, https://arxiv.org/abs/1509.09308). Here a product is
a whole two-dimensional convolution, so the sums around the products cost little. The result differs from
the plain one by rounding alone, a few times its own: fine in fp32, not in half precision.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


class Scheme(NamedTuple):
    """The three small matrices: outputs @ ((taps @ kernel) * (inputs @ frames))."""

    inputs: tuple[tuple[float, ...], ...]
    taps: tuple[tuple[float, ...], ...]
    outputs: tuple[tuple[float, ...], ...]


SCHEMES = {
    2: Scheme(
        inputs=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
        taps=((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
        outputs=((1, 1, 1, 0), (0, 1, -1, -1)),
    ),
    4: Scheme(
        inputs=(
            (4, 0, -5, 0, 1, 0),
            (0, -4, -4, 1, 1, 0),
            (0, 4, -4, -1, 1, 0),
            (0, -2, -1, 2, 1, 0),
            (0, 2, -1, -2, 1, 0),
            (0, 4, 0, -5, 0, 1),
        ),
        taps=(
            (1 / 4, 0, 0),
            (-1 / 6, -1 / 6, -1 / 6),
            (-1 / 6, 1 / 6, -1 / 6),
            (1 / 24, 1 / 12, 1 / 6),
            (1 / 24, -1 / 12, 1 / 6),
            (0, 0, 1),
        ),
        outputs=((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
    ),
}


def prepare(weight: Float[Tensor, "d c 3 3 3"], num_outputs: int) -> Float[Tensor, "j d c 3 3"]:
    """The kernels of the products: combinations of the three taps over time."""
    taps = weight.new_tensor(SCHEMES[num_outputs].taps)
    return torch.einsum("jk,dckyx->jdcyx", taps, weight)


def convolve(
    frames: Float[Tensor, "b c t h w"], kernels: Float[Tensor, "j d c 3 3"], bias: Float[Tensor, "d"]
) -> Float[Tensor, "b d n h w"]:
    """The convolution of n + 2 frames: n frames of the same size, zeros around the edges.

    Args:
        kernels: of `prepare(weight, n)`.
    """
    batch, _, num_inputs, height, _ = frames.shape
    scheme = SCHEMES[num_inputs - 2]
    flat = rearrange(frames, "b c t h w -> b t (h w c)")
    mixed = frames.new_tensor(scheme.inputs) @ flat
    images = rearrange(mixed, "b t (h w c) -> t b c h w", h=height, c=frames.shape[1])
    # Product 1 goes into every output once, so it carries the bias.
    products = [
        F.conv2d(image, kernel, bias if index == 1 else None, padding=1)
        for index, (image, kernel) in enumerate(zip(images, kernels, strict=True))
    ]
    stacked = rearrange(products, "t b d h w -> b t (h w d)")
    outputs = frames.new_tensor(scheme.outputs) @ stacked
    return rearrange(outputs, "b t (h w d) -> b d t h w", h=height, d=bias.shape[0])
