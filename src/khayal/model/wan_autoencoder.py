"""The causal 3D autoencoder of the Wan 2.1 and 2.2 checkpoints (https://arxiv.org/abs/2503.20314).

The first latent frame is one pixel frame and every later one is four. Both directions run a few frames at
a time: every causal convolution remembers the last frames it has seen (`causal_conv.Past`), so that memory
does not grow with the length of the clip.

Parameter names follow diffusers' AutoencoderKLWan, so that its checkpoints load with strict keys.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from khayal.errors import CheckpointError, InputError
from khayal.model.causal_conv import CausalConv3d, Past, RmsNorm
from khayal.model.tiles import Tile, tiles_of
from khayal.model.wan_blocks import (
    DownBlock,
    MidBlock,
    Resample,
    ResidualBlock,
    UpBlock,
)

# The statistics of Wan 2.1's latents; a config of another width brings its own.
MEAN_2_1 = (
    *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
    *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
)
STD_2_1 = (
    *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
    *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
)


@dataclass(frozen=True, kw_only=True)
class WanAutoencoderConfig:
    """The keys of `vae/config.json`, with diffusers' names and defaults (those of Wan 2.1).

    Wan 2.2 (TI2V-5B) has base_dim 160, decoder_base_dim 256, z_dim 48, is_residual, patch_size 2, in and
    out channels 12, scale_factor_spatial 16 and 48 means and stds.

    Raises:
        CheckpointError: where the keys contradict one another, or ask for what no Wan checkpoint has.
    """

    base_dim: int = 96
    decoder_base_dim: int | None = None
    z_dim: int = 16
    dim_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    attn_scales: tuple[float, ...] = ()
    temperal_downsample: tuple[bool, ...] = (False, True, True)
    dropout: float = 0.0
    latents_mean: tuple[float, ...] = MEAN_2_1
    latents_std: tuple[float, ...] = STD_2_1
    is_residual: bool = False
    in_channels: int = 3
    out_channels: int = 3
    patch_size: int | None = None
    scale_factor_temporal: int | None = 4
    scale_factor_spatial: int | None = 8
    clip_output: bool = False  # in TI2V-5B's folder; diffusers ignores it, and so do we

    def __post_init__(self) -> None:
        num_levels = len(self.dim_mult)
        patch = self.patch_size or 1
        ratio = 2 ** (num_levels - 1) * patch
        per_latent = 2 ** sum(self.temperal_downsample)
        agreements = (
            ("temperal_downsample", len(self.temperal_downsample), num_levels - 1, "flags, by dim_mult"),
            ("latents_mean", len(self.latents_mean), self.z_dim, "numbers, by z_dim"),
            ("latents_std", len(self.latents_std), self.z_dim, "numbers, by z_dim"),
            ("in_channels", self.in_channels, 3 * patch**2, "by patch_size"),
            ("out_channels", self.out_channels, 3 * patch**2, "by patch_size"),
            ("scale_factor_spatial", self.scale_factor_spatial, ratio, "by dim_mult and patch_size"),
            ("scale_factor_temporal", self.scale_factor_temporal, per_latent, "by temperal_downsample"),
        )
        for key, found, expected, because in agreements:
            if found is not None and found != expected:
                raise CheckpointError(
                    f"The autoencoder's config.json contradicts itself at “{key}”",
                    why=f"it gives {found} where it must be {expected} ({because})",
                    fix="restore the file from where the checkpoint came from",
                )
        if self.attn_scales:
            raise CheckpointError(
                "This autoencoder has attention between its convolutions (attn_scales)",
                why="no released Wan checkpoint has it, and khayal does not build it",
                fix="use a checkpoint with an empty attn_scales",
            )


class Encoder(nn.Module):
    """Pixel frames (unshuffled where the config has a patch) → mean and log-variance of the latents."""

    def __init__(self, config: WanAutoencoderConfig) -> None:
        super().__init__()
        dims = [config.base_dim * mult for mult in (1, *config.dim_mult)]
        self.conv_in = CausalConv3d(config.in_channels, dims[0], (3, 3, 3))
        blocks: list[nn.Module] = []
        for level, (in_dim, out_dim) in enumerate(pairwise(dims)):
            is_last = level == len(dims) - 2
            halves_time = not is_last and config.temperal_downsample[level]
            if config.is_residual:
                blocks.append(DownBlock(config, in_dim, out_dim, is_last=is_last, halves_time=halves_time))
                continue
            for index in range(config.num_res_blocks):
                blocks.append(ResidualBlock(out_dim if index else in_dim, out_dim, config.dropout))
            if not is_last:
                blocks.append(Resample(out_dim, mode="down", changes_time=halves_time))
        self.down_blocks = nn.ModuleList(blocks)
        self.mid_block = MidBlock(dims[-1], config.dropout)
        self.norm_out = RmsNorm(dims[-1], 3)
        self.conv_out = CausalConv3d(dims[-1], config.z_dim * 2, (3, 3, 3))

    def forward(self, x: Float[Tensor, "b c f H W"], past: Past) -> Float[Tensor, "b z t h w"]:
        x = self.conv_in(x, past)
        for block in self.down_blocks:
            x = block(x, past)
        x = self.mid_block(x, past)
        return self.conv_out(x, past, self.norm_out.activated)


class Decoder(nn.Module):
    """Latents → pixel frames (to be shuffled where the config has a patch), in two halves.

    `low` is everything up to a quarter of the full resolution, attention included; `high` is the rest:
    convolutions only, so that it can run on tiles.
    """

    def __init__(self, config: WanAutoencoderConfig) -> None:
        super().__init__()
        base = config.decoder_base_dim or config.base_dim
        dims = [base * mult for mult in (config.dim_mult[-1], *reversed(config.dim_mult))]
        self.conv_in = CausalConv3d(config.z_dim, dims[0], (3, 3, 3))
        self.mid_block = MidBlock(dims[0], config.dropout)
        blocks = []
        for level, (in_dim, out_dim) in enumerate(pairwise(dims)):
            is_last = level == len(dims) - 2
            doubles_time = not is_last and config.temperal_downsample[::-1][level]
            # In Wan 2.1 the upsampling before this block has halved the channels.
            in_dim = in_dim if config.is_residual or level == 0 else in_dim // 2
            blocks.append(UpBlock(config, in_dim, out_dim, is_last=is_last, doubles_time=doubles_time))
        self.up_blocks = nn.ModuleList(blocks)
        self.norm_out = RmsNorm(dims[-1], 3)
        self.conv_out = CausalConv3d(dims[-1], config.out_channels, (3, 3, 3))
        self.num_low = len(blocks) // 2
        self.halo = self.high_radius(config)

    def high_radius(self, config: WanAutoencoderConfig) -> int:
        """How far the layers of `high` see to each side, in pixels of their input."""
        radius = 1  # of conv_out; then from the finest block up, in its own pixels, rounded up when halved
        for index in range(len(self.up_blocks) - 1, self.num_low - 1, -1):
            if index < len(self.up_blocks) - 1:
                radius = -(-(radius + 1) // 2)  # the convolution after the upsampling sees one more
            radius += 2 * (config.num_res_blocks + 1)
        return radius

    def low(self, z: Float[Tensor, "b z t h w"], past: Past) -> Float[Tensor, "b c t2 h2 w2"]:
        x = self.mid_block(self.conv_in(z, past), past)
        for block in self.up_blocks[: self.num_low]:
            x = block(x, past)
        return x

    def high(self, x: Float[Tensor, "b c t2 h2 w2"], past: Past) -> Float[Tensor, "b d f H W"]:
        for block in self.up_blocks[self.num_low :]:
            x = block(x, past)
        return self.conv_out(x, past, self.norm_out.activated)


class WanAutoencoder(nn.Module):
    """The autoencoder of Wan 2.1 and 2.2; see `khayal.model.autoencoder.Autoencoder` for the contract."""

    is_causal: ClassVar[bool] = True

    def __init__(self, config: WanAutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.patch = config.patch_size or 1
        self.latent_channels = config.z_dim
        self.spatial_ratio = 2 ** (len(config.dim_mult) - 1) * self.patch
        self.frames_per_latent = 2 ** sum(config.temperal_downsample)
        self.encoder = Encoder(config)
        self.quant_conv = CausalConv3d(config.z_dim * 2, config.z_dim * 2, (1, 1, 1))
        self.post_quant_conv = CausalConv3d(config.z_dim, config.z_dim, (1, 1, 1))
        self.decoder = Decoder(config)

    def encode(self, frames: Float[Tensor, "b 3 f H W"]) -> Float[Tensor, "b c t h w"]:
        """The normalised mean latents of 4k+1 frames in [-1, 1].

        Raises:
            InputError: where the length or the size is not one that whole latents can hold.
        """
        self.check(frames)
        past, latents = Past(), []
        for start in range(1 - self.frames_per_latent, frames.shape[2], self.frames_per_latent):
            step = frames[:, :, max(start, 0) : start + self.frames_per_latent]
            step = rearrange(step, "b c f (h p) (w q) -> b (c q p) f h w", p=self.patch, q=self.patch)
            moments = self.quant_conv(self.encoder(channels_last(step), past), past)
            latents.append(moments.chunk(2, dim=1)[0])
        mean, std = self.statistics(frames)
        return (torch.cat(latents, dim=2).contiguous() - mean) / std

    def decode(self, latents: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b 3 f H W"]:
        """All 4k+1 frames of k+1 latents, not clamped."""
        return torch.cat(list(self.stream(latents)), dim=2)

    def stream(
        self, latents: Float[Tensor, "b c t h w"], *, tile: int | None = None
    ) -> Iterator[Float[Tensor, "b 3 f H W"]]:
        """The same frames in order: one for the first latent, then four for each."""
        mean, std = self.statistics(latents)
        past, tile_pasts = Past(), defaultdict[Tile, Past](Past)
        for step in latents.split(1, dim=2):
            z = self.post_quant_conv(channels_last(step * std + mean), past)
            x = self.decoder.low(z, past)
            if tile is None:
                x = self.decoder.high(x, past)
            else:
                x = self.high_on_tiles(x, tile_pasts, side=tile << self.decoder.num_low)
            yield rearrange(x, "b (c q p) f h w -> b c f (h p) (w q)", p=self.patch, q=self.patch)

    def high_on_tiles(
        self, x: Float[Tensor, "b c t h w"], pasts: defaultdict[Tile, Past], *, side: int
    ) -> Float[Tensor, "b d f H W"]:
        """The layers of high resolution, a tile at a time; every tile has a past of its own.

        The pasts together are as large as without tiles, so they wait in CPU memory where that is another.
        """
        waits_here = x.device.type in ("cpu", "mps")
        scale = self.spatial_ratio // self.patch >> self.decoder.num_low
        size = (x.shape[-2] * scale, x.shape[-1] * scale)
        whole: Tensor | None = None
        for tile in tiles_of(x, side=side, halo=self.decoder.halo):
            past = pasts[tile]
            past.move(x.device)
            y = self.decoder.high(channels_last(tile.cut(x)), past)
            past.move(x.device if waits_here else torch.device("cpu"))
            whole = y.new_empty(*y.shape[:3], *size) if whole is None else whole
            tile.paste(y, onto=whole)
        assert whole is not None, "a frame has at least one tile"
        return whole

    def statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latents by channel, on the device and in the type of `like`.

        Made from the config each time, since buffers would be lost on the meta device.
        """
        shape = (1, self.latent_channels, 1, 1, 1)
        mean, std = (
            like.new_tensor(v).view(shape) for v in (self.config.latents_mean, self.config.latents_std)
        )
        return mean, std

    def check(self, frames: Float[Tensor, "b 3 f H W"]) -> None:
        """Refuse frames that whole latents cannot hold."""
        num_frames, height, width = frames.shape[2:]
        ratio, per_latent = self.spatial_ratio, self.frames_per_latent
        if height % ratio or width % ratio:
            raise InputError(
                f"Frames of {width}×{height} pixels cannot be encoded",
                why=f"both sides must be multiples of {ratio}",
                fix=f"use {max(width // ratio, 1) * ratio}×{max(height // ratio, 1) * ratio}",
            )
        if (num_frames - 1) % per_latent:
            raise InputError(
                f"{num_frames} frames cannot be encoded",
                why=f"this autoencoder takes {per_latent}k+1 frames",
                fix=f"use {num_frames - (num_frames - 1) % per_latent}",
            )


def channels_last(x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
    """The layout in which norms and convolutions are fast. MPS has none for five axes."""
    if x.device.type == "mps":
        return x.contiguous()
    return x.contiguous(memory_format=torch.channels_last_3d)
