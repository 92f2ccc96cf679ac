"""A 3×3×3 convolution over frames with half of its products.

Of a kernel of three taps over time, two outputs together need four products instead of six, and four need
six instead of twelve (Winograd 1980; Lavin and Gray, https://arxiv.org/abs/1509.09308). Here a product is
a whole two-dimensional convolution, so the sums around the products cost little. The result differs from
the plain one by rounding alone, a few times its own: fine in fp32, not in half precision.
"""

from __future__ import annotations

from collections.abc import Callable
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


STRIP_BYTES = 4 << 20  # small beside the frames of a step, large enough to keep the convolutions busy


def prepare(weight: Float[Tensor, "d c 3 3 3"], num_outputs: int) -> Float[Tensor, "j d c 3 3"]:
    """The kernels of the products: combinations of the three taps over time."""
    taps = weight.new_tensor(SCHEMES[num_outputs].taps)
    return torch.einsum("jk,dckyx->jdcyx", taps, weight)


def convolve(
    earlier: Float[Tensor, "b c 2 h w"],
    frames: Float[Tensor, "b c n h w"],
    kernels: Float[Tensor, "j d c 3 3"],
    bias: Float[Tensor, "d"],
    *,
    activate: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, "b d n h w"]:
    """The convolution of n frames and the two before them: n frames, zeros around the edges.

    It works on strips of rows, so that what stands between input and output stays small.

    Args:
        earlier: the two frames before. They become the last two of `frames`, activated.
        kernels: of `prepare(weight, n)`.
        activate: done to the pixels of `frames` first.
    """
    batch, channels, num_frames, height, width = frames.shape
    num_bytes = batch * channels * len(kernels) * height * width * frames.itemsize
    rows = -(-height // max(1, round(num_bytes / STRIP_BYTES)))
    out = frames.new_empty(batch, num_frames, height, width, len(bias))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        low, high = max(top - 1, 0), min(bottom + 1, height)
        strip = frames[:, :, :, low:high]
        strip = strip if activate is None else activate(strip)
        joined = torch.cat([earlier[:, :, :, low:high], strip], dim=2)
        # The last two rows wait, since the next strip still reads what came before them.
        done = high if bottom == height else high - 2
        earlier[:, :, :, low:done] = strip[:, :, -2:, : done - low]
        out[:, :, top:bottom] = _convolve_strip(joined, kernels, bias)[:, :, top - low : bottom - low]
    return rearrange(out, "b n h w d -> b d n h w")


def _convolve_strip(
    frames: Float[Tensor, "b c j h w"], kernels: Float[Tensor, "j d c 3 3"], bias: Float[Tensor, "d"]
) -> Float[Tensor, "b n h w d"]:
    scheme = SCHEMES[len(kernels) - 2]
    height, channels = frames.shape[3], frames.shape[1]
    mixed = frames.new_tensor(scheme.inputs) @ rearrange(frames, "b c j h w -> b j (h w c)")
    images = rearrange(mixed, "b j (h w c) -> j b c h w", h=height, c=channels)
    # Product 1 goes into every output once, so it carries the bias.
    products = [
        F.conv2d(image, kernel, bias if index == 1 else None, padding=1)
        for index, (image, kernel) in enumerate(zip(images, kernels, strict=True))
    ]
    outputs = frames.new_tensor(scheme.outputs) @ rearrange(products, "j b d h w -> b j (h w d)")
    return rearrange(outputs, "b n (h w d) -> b n h w d", h=height, d=len(bias))
