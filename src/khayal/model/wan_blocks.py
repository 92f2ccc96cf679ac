"""The blocks of Wan's autoencoder: residual, attention, and the changes of resolution.

All of them take a few frames at a time and the `Past` of the clip.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from khayal.model.causal_conv import CausalConv3d, Past, RmsNorm, add, as_frames, as_images

if TYPE_CHECKING:
    from khayal.model.wan_autoencoder import WanAutoencoderConfig


class ResidualBlock(nn.Module):
    """Norm, SiLU, causal convolution, twice, added to the input (projected where the width changes)."""

    def __init__(self, in_dim: int, out_dim: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = RmsNorm(in_dim, 3)
        self.conv1 = CausalConv3d(in_dim, out_dim, (3, 3, 3))
        self.norm2 = RmsNorm(out_dim, 3)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = CausalConv3d(out_dim, out_dim, (3, 3, 3))
        self.conv_shortcut = CausalConv3d(in_dim, out_dim, (1, 1, 1)) if in_dim != out_dim else None

    def forward(self, x: Float[Tensor, "b c t h w"], past: Past) -> Float[Tensor, "b d t h w"]:
        y = self.conv1(x, past, self.norm1.activated)
        y = self.conv2(y, past, lambda pixels: self.dropout(self.norm2.activated(pixels)))
        return add(y, x if self.conv_shortcut is None else self.conv_shortcut(x, past))


class Attention(nn.Module):
    """Attention with one head between the pixels of each frame."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = RmsNorm(dim, 2)
        self.to_qkv = nn.Conv2d(dim, dim * 3, 1)
        self.proj = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        images = as_images(x)
        height = images.shape[2]
        q, k, v = rearrange(self.to_qkv(self.norm(images)), "n (qkv c) h w -> qkv n 1 (h w) c", qkv=3)
        y = F.scaled_dot_product_attention(q, k, v)
        y = self.proj(rearrange(y, "n 1 (h w) c -> n c h w", h=height))
        return x + as_frames(y, x.shape[0])


class MidBlock(nn.Module):
    """Residual, attention, residual, at the resolution of the latents."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.resnets = nn.ModuleList([ResidualBlock(dim, dim, dropout) for _ in range(2)])
        self.attentions = nn.ModuleList([Attention(dim)])

    def forward(self, x: Float[Tensor, "b c t h w"], past: Past) -> Float[Tensor, "b c t h w"]:
        x = self.attentions[0](self.resnets[0](x, past))
        return self.resnets[1](x, past)


class Resample(nn.Module):
    """Half or twice the height and width, and where `changes_time` half or twice the frames.

    The clip's first frame stays one frame: it passes the change of time by. Going up, it is not even seen
    by the frames after it; going down, it is.
    """

    def __init__(
        self, dim: int, *, mode: Literal["up", "down"], changes_time: bool, out_dim: int | None = None
    ) -> None:
        super().__init__()
        self.mode = mode
        resize = nn.Conv2d(dim, out_dim or dim, 3, stride=2 if mode == "down" else 1)
        # The checkpoints have the convolution second, after a layer without weights.
        self.resample = nn.ModuleList([nn.Identity(), resize])
        self.time_conv: CausalConv3d | None = None
        if changes_time and mode == "up":
            self.time_conv = CausalConv3d(dim, dim * 2, (3, 1, 1))
        elif changes_time:
            self.time_conv = CausalConv3d(dim, dim, (3, 1, 1), stride=2)

    def forward(self, x: Float[Tensor, "b c t h w"], past: Past) -> Float[Tensor, "b d t2 h2 w2"]:
        if self.mode == "up":
            x = self.change_time(x, past)
            return as_frames(self.upsample(as_images(x)), x.shape[0])
        images = F.pad(as_images(x), (0, 1, 0, 1))
        return self.change_time(as_frames(self.resample[1](images), x.shape[0]), past)

    def change_time(self, x: Float[Tensor, "b c t h w"], past: Past) -> Float[Tensor, "b c t2 h w"]:
        if self.time_conv is None:
            return x
        if self.time_conv not in past.frames:
            assert x.shape[2] == 1, "a clip's first step is its first frame"
            first = x.new_zeros(()).expand_as(x) if self.mode == "up" else x
            past.frames[self.time_conv] = first.repeat(1, 1, self.time_conv.num_past, 1, 1)
            return x
        x = self.time_conv(x, past)
        return x if self.mode == "down" else rearrange(x, "b (two c) t h w -> b c (t two) h w", two=2)

    def upsample(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        """Nearest-neighbour doubling and the 3×3 convolution after it, as one transposed convolution.

        Doubling is a transposed convolution with a 2×2 block of ones; after a 3×3 one, the two are a
        transposed convolution with a 4×4 kernel: 4 products for each output instead of 9, and the doubled
        image is never written. The same holds at the borders, where both see zeros.
        """
        conv = self.resample[1]
        assert isinstance(conv, nn.Conv2d)
        flipped = conv.weight.float().transpose(0, 1).flip(-1, -2)
        shifted = [F.pad(flipped, (j, 1 - j, i, 1 - i)) for i in range(2) for j in range(2)]
        kernel = torch.stack(shifted).sum(0).to(images.dtype)
        return F.conv_transpose2d(images, kernel, conv.bias, stride=2, padding=1)


class DownBlock(nn.Module):
    """Wan 2.2: residual blocks and a downsampling, beside a shortcut that averages."""

    def __init__(
        self, config: WanAutoencoderConfig, in_dim: int, out_dim: int, *, is_last: bool, halves_time: bool
    ) -> None:
        super().__init__()
        self.time_factor, self.space_factor = 2 if halves_time else 1, 1 if is_last else 2
        self.out_dim = out_dim
        dims = [in_dim] + [out_dim] * config.num_res_blocks
        self.resnets = nn.ModuleList([ResidualBlock(a, b, config.dropout) for a, b in pairwise(dims)])
        self.downsampler = None if is_last else Resample(out_dim, mode="down", changes_time=halves_time)

    def forward(self, x: Float[Tensor, "b c t h w"], past: Past) -> Float[Tensor, "b d t2 h2 w2"]:
        y = x
        for block in self.resnets:
            y = block(y, past)
        if self.downsampler is not None:
            y = self.downsampler(y, past)
        return add(y, self.average(x))

    def average(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t2 h2 w2"]:
        """Fold space and time into channels and average them in consecutive groups."""
        time, space = self.time_factor, self.space_factor
        # A zero frame stands before the clip's first one.
        x = F.pad(x, (0, 0, 0, 0, -x.shape[2] % time, 0))
        x = rearrange(x, "b c (t i) (h j) (w k) -> b (c i j k) t h w", i=time, j=space, k=space)
        return x.unflatten(1, (self.out_dim, -1)).mean(dim=2)


class UpBlock(nn.Module):
    """Residual blocks and an upsampling; in Wan 2.2 beside a shortcut that repeats."""

    def __init__(
        self, config: WanAutoencoderConfig, in_dim: int, out_dim: int, *, is_last: bool, doubles_time: bool
    ) -> None:
        super().__init__()
        dims = [in_dim] + [out_dim] * (config.num_res_blocks + 1)
        self.resnets = nn.ModuleList([ResidualBlock(a, b, config.dropout) for a, b in pairwise(dims)])
        self.time_factor = 2 if doubles_time else 1
        self.upsampler: Resample | None = None
        self.upsamplers: nn.ModuleList | None = None
        if not is_last and config.is_residual:
            self.upsampler = Resample(out_dim, mode="up", changes_time=doubles_time)
        elif not is_last:
            up = Resample(out_dim, mode="up", changes_time=doubles_time, out_dim=out_dim // 2)
            self.upsamplers = nn.ModuleList([up])

    def forward(self, x: Float[Tensor, "b c t h w"], past: Past) -> Float[Tensor, "b d t2 h2 w2"]:
        y = x
        for block in self.resnets:
            y = block(y, past)
        if self.upsamplers is not None:
            return self.upsamplers[0](y, past)
        if self.upsampler is not None:
            y = self.add_repeated(self.upsampler(y, past), x)
        return y

    def add_repeated(
        self, y: Float[Tensor, "b d t2 h2 w2"], x: Float[Tensor, "b c t h w"]
    ) -> Float[Tensor, "b d t2 h2 w2"]:
        """`y` plus `x` unfolded: its channels go to the offsets in time, height and width, in this order.

        Where there are fewer channels than offsets, the last offsets share a channel, which broadcasts.
        """
        time = y.shape[2] // x.shape[2]  # 1 at a clip's first frame, which is the last of the offsets
        channels = x.shape[1] // y.shape[1]
        per_time = min(channels, self.time_factor)
        per_row = min(channels // per_time, 2)
        x = rearrange(x, "b (c i j k) t h w -> b c t i h j w k", i=per_time, j=per_row, c=y.shape[1])
        x = x[:, :, :, -time:]
        offsets = rearrange(y, "b c (t i) (h j) (w k) -> b c t i h j w k", i=time, j=2, k=2)
        if torch.is_grad_enabled():
            return rearrange(offsets + x, "b c t i h j w k -> b c (t i) (h j) (w k)")
        offsets.add_(x)  # a view of y
        return y
