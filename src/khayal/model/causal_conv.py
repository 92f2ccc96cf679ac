"""Convolution over a clip that arrives a few frames at a time, never looking ahead.

A causal network gives the same frames whether it sees a clip whole or in steps, if every convolution
remembers the last frames of its input. `Past` holds them; a module that finds nothing in it has not
started, and zeros stand before its first frame.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from khayal.model import winograd

PerPixel = Callable[[Tensor], Tensor]


class Past:
    """What a causal network remembers of a clip from one step to the next.

    Attributes:
        frames: for each layer with a kernel over time, the last frames of its input, b c t h w.
    """

    def __init__(self) -> None:
        self.frames: dict[nn.Module, Tensor] = {}

    def move(self, device: torch.device) -> None:
        """Keep the frames on another device, as where a tile's past waits for its turn."""
        self.frames = {layer: frames.to(device) for layer, frames in self.frames.items()}


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
        self, x: Float[Tensor, "b c t h w"], past: Past, activate: PerPixel | None = None
    ) -> Float[Tensor, "b d _ h w"]:
        """The frames that `x` completes.

        Args:
            activate: what is done to the input first. Given here, it need not be stored whole.
        """
        if self.num_past == 0:
            x = x if activate is None else activate(x)
            return F.linear(x.movedim(1, -1), self.weight.flatten(1), self.bias).movedim(-1, 1)
        earlier = past.frames.get(self)
        assert earlier is not None or x.shape[2] == 1, "a clip's first step is its first frame"
        if earlier is not None and self.takes_winograd(x):
            assert self.bias is not None
            kernels = winograd.prepare(self.weight, x.shape[2])
            return winograd.convolve(earlier, x, kernels, self.bias, activate=activate)
        x = x if activate is None else activate(x)
        y = self.convolve(x if earlier is None else torch.cat([earlier, x], dim=2))
        self.remember(x, past)
        return y

    def convolve(self, taps: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d _ h w"]:
        """The convolution without the past: `taps` are all the frames that it sees."""
        if taps.shape[2] > self.kernel_size[0]:
            return super().forward(taps)
        # One frame comes out, so the taps over time are but more channels. Before a clip's first frame are
        # zeros: there the kernel's last tap alone meets anything.
        images = taps.flatten(1, 2).contiguous(memory_format=torch.channels_last)
        weight = self.weight[:, :, -taps.shape[2] :].flatten(1, 2)
        return F.conv2d(images, weight, self.bias, padding=self.padding[1:]).unsqueeze(2)

    def remember(self, x: Float[Tensor, "b c t h w"], past: Past) -> None:
        """Keep the last `num_past` of all frames so far, zeros before them."""
        earlier = past.frames.get(self)
        missing = self.num_past - x.shape[2]
        if missing <= 0:
            last = x[:, :, -self.num_past :]
        elif earlier is None:
            last = F.pad(x, (0, 0, 0, 0, missing, 0))
        else:
            last = torch.cat([earlier[:, :, -missing:], x], dim=2)
        if earlier is None or torch.is_grad_enabled():
            past.frames[self] = last.clone()  # a view would keep the whole step's frames alive
        else:
            earlier.copy_(last)

    def takes_winograd(self, x: Float[Tensor, "b c t h w"]) -> bool:
        """Where products are what takes the time, and rounding is fine enough: in fp32 on a CPU."""
        return (
            x.shape[2] in winograd.SCHEMES
            and self.kernel_size == (3, 3, 3)
            and x.device.type == "cpu"
            and x.dtype is torch.float32
            and not torch.is_grad_enabled()
        )


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

    def activated(self, x: Float[Tensor, "b c *axes"]) -> Float[Tensor, "b c *axes"]:
        """The norm and SiLU."""
        return silu(self(x))


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
