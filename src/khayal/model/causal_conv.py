"""Convolution over a clip that arrives a few frames at a time, never looking ahead.

A causal network gives the same frames whether it sees a clip whole or in steps, if every convolution
remembers the last frames of its input. `Past` holds them; a module that finds nothing in it has not
started, and zeros stand before its first frame.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from khayal.model import winograd


class Past:
    """What a causal network remembers of a clip from one step to the next.

    Attributes:
        frames: for each layer with a kernel over time, the last frames of its input, b c t h w.
        kernels: for each layer that takes `winograd`, its kernels in that form.
    """

    def __init__(self, kernels: dict[nn.Module, Tensor] | None = None) -> None:
        self.frames: dict[nn.Module, Tensor] = {}
        self.kernels: dict[nn.Module, Tensor] = {} if kernels is None else kernels

    def beside(self) -> Past:
        """An empty past for another part of the same clip, with the kernels of this one."""
        return Past(self.kernels)


class CausalConv3d(nn.Conv3d):
    """A convolution whose output frame sees its own input frame and earlier ones; size kept in space.

    With a stride s over time, n frames give n / s, and the frames remembered are those that the next
    step's first window still needs: kernel − stride.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: tuple[int, int, int], *, stride: int = 1):
        super().__init__(
            in_channels,
            out_channels,
            kernel,
            stride=(stride, 1, 1),
            padding=(0, kernel[1] // 2, kernel[2] // 2),
        )
        self.num_past = kernel[0] - stride

    def forward(  # type: ignore[override]  # it needs the past, which a plain convolution has not
        self, x: Float[Tensor, "b c t h w"], past: Past
    ) -> Float[Tensor, "b d _ h w"]:
        if self.num_past == 0:
            return super().forward(x)
        if self not in past.frames and x.shape[2] == 1:
            # Before the first frame are zeros, so only the kernel's last tap meets anything.
            past.frames[self] = F.pad(x, (0, 0, 0, 0, self.num_past - 1, 0))
            return F.conv3d(x, self.weight[:, :, -1:], self.bias, padding=self.padding)
        num_frames = x.shape[2]
        x = self.remember(x, past)
        if not self.takes_winograd(x, num_frames):
            return super().forward(x)
        if self not in past.kernels:
            past.kernels[self] = winograd.prepare(self.weight, num_frames)
        assert self.bias is not None
        return winograd.convolve(x, past.kernels[self], self.bias)

    def takes_winograd(self, x: Float[Tensor, "b c t h w"], num_frames: int) -> bool:
        """Where products are what takes the time, and rounding is fine enough: in fp32 on a CPU."""
        return (
            num_frames in winograd.SCHEMES
            and self.kernel_size == (3, 3, 3)
            and x.device.type == "cpu"
            and x.dtype is torch.float32
            and not torch.is_grad_enabled()
        )

    def remember(self, x: Float[Tensor, "b c t h w"], past: Past) -> Float[Tensor, "b c _ h w"]:
        """The remembered frames followed by `x`; its last frames are the next ones to remember."""
        earlier = past.frames.get(self)
        if earlier is None:
            joined = F.pad(x, (0, 0, 0, 0, self.num_past, 0))
        else:
            joined = torch.cat([earlier, x], dim=2)
        # A copy, since a view would keep the whole step's frames alive.
        past.frames[self] = joined[:, :, -self.num_past :].clone()
        return joined


class RmsNorm(nn.Module):
    """Each pixel's channels divided by their root mean square, times a learned gain.

    Args:
        num_axes: axes after the channels in the stored gain (a checkpoint's own shape).
    """

    def __init__(self, channels: int, num_axes: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *(1,) * num_axes))

    def forward(self, x: Float[Tensor, "b c *axes"]) -> Float[Tensor, "b c *axes"]:
        channels = x.shape[1]
        # 1e-24 only keeps zero pixels zero: the original divides by the norm, with no epsilon to speak of.
        return F.rms_norm(x.movedim(1, -1), (channels,), self.gamma.flatten(), eps=1e-24).movedim(-1, 1)


def silu(x: Tensor) -> Tensor:
    """SiLU, in place where no gradient needs the input. Only for tensors that nothing else holds."""
    return F.silu(x, inplace=not torch.is_grad_enabled())


def add(x: Tensor, y: Tensor) -> Tensor:
    """x + y, in place of `x` where no gradient is taken. Only for an `x` that nothing else holds."""
    return x + y if torch.is_grad_enabled() else x.add_(y)


def as_images(x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "bt c h w"]:
    """Frames as a batch of images (a view in channels-last memory)."""
    return rearrange(x, "b c t h w -> (b t) c h w")


def as_frames(x: Float[Tensor, "bt c h w"], batch: int) -> Float[Tensor, "b c t h w"]:
    """The inverse of `as_images`."""
    return rearrange(x, "(b t) c h w -> b c t h w", b=batch)
