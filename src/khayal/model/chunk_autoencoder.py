"""khayal's own autoencoder: every latent frame encodes four pixel frames, alone.

The four frames of a chunk are folded into channels and unshuffled, so that only two-dimensional
convolutions run, none at full resolution. A latent can therefore stand anywhere on a timeline. The decoder
reads each latent together with its two neighbours, which smooths the seams between chunks; at the ends of
a clip the first and last latents are their own neighbours.

The latents are a mean without a variance: a trainer that wants them smooth adds a little noise to them
before it decodes. They are scaled by `latents_mean` and `latents_std` of the config, which the trainer
measures at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from khayal.errors import CheckpointError, InputError
from khayal.model.causal_conv import RmsNorm, add
from khayal.model.tiles import tiles_of

# Small frames fill the processor better a few chunks together; memory grows with their number.
CHUNKS_PER_STEP = 4


@dataclass(frozen=True, kw_only=True)
class ChunkAutoencoderConfig:
    """Sizes of a ChunkAutoencoder; the defaults make 3.3 million parameters.

    Attributes:
        latent_channels: channels of a latent.
        frames_per_latent: pixel frames in a chunk.
        unshuffle: pixels folded into channels along each side, before the first layer.
        widths: channels at each resolution, from the finest (1/unshuffle) on, each half of the one before.
        encoder_depths: residual blocks at each resolution, in the same order.
        decoder_depths: the same for the decoder.
        latents_mean: by channel; empty stands for zeros, until it is measured.
        latents_std: by channel; empty stands for ones.

    Raises:
        CheckpointError: where the lengths contradict one another.
    """

    latent_channels: int = 24
    frames_per_latent: int = 4
    unshuffle: int = 4
    widths: tuple[int, ...] = (64, 128, 192)
    encoder_depths: tuple[int, ...] = (1, 1, 1)
    decoder_depths: tuple[int, ...] = (2, 1, 2)
    latents_mean: tuple[float, ...] = ()
    latents_std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        levels, channels = len(self.widths), self.latent_channels
        lengths = (
            ("encoder_depths", len(self.encoder_depths), levels, "widths"),
            ("decoder_depths", len(self.decoder_depths), levels, "widths"),
            ("latents_mean", len(self.latents_mean) or channels, channels, "latent_channels"),
            ("latents_std", len(self.latents_std) or channels, channels, "latent_channels"),
        )
        for key, found, expected, because in lengths:
            if found != expected:
                raise CheckpointError(
                    f"The autoencoder's config contradicts itself at “{key}”",
                    why=f"it has {found} numbers where {because} asks for {expected}",
                    fix="make the two agree",
                )


class Block(nn.Module):
    """Norm, SiLU, 3×3 convolution, twice, added to the input. It starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = RmsNorm(width, 2), RmsNorm(width, 2)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        y = self.conv1(self.norm1.activated(x))
        return add(self.conv2(self.norm2.activated(y)), x)


def blocks(width: int, depth: int) -> list[nn.Module]:
    """`depth` residual blocks of one width."""
    return [Block(width) for _ in range(depth)]


class Encoder(nn.Sequential):
    """Folded chunks → latents."""

    def __init__(self, config: ChunkAutoencoderConfig) -> None:
        pixels = 3 * config.frames_per_latent * config.unshuffle**2
        layers = [
            nn.Conv2d(pixels, config.widths[0], 3, padding=1),
            *blocks(config.widths[0], config.encoder_depths[0]),
        ]
        for (fine, coarse), depth in zip(pairwise(config.widths), config.encoder_depths[1:], strict=True):
            layers += [nn.PixelUnshuffle(2), nn.Conv2d(fine * 4, coarse, 1), *blocks(coarse, depth)]
        super().__init__(
            *layers, RmsNorm(config.widths[-1], 2), nn.Conv2d(config.widths[-1], config.latent_channels, 1)
        )


class Decoder(nn.Module):
    """Latents, each with its two neighbours as further channels → folded chunks.

    `low` works at the latents' own resolution, `high` at the finer ones.
    """

    def __init__(self, config: ChunkAutoencoderConfig) -> None:
        super().__init__()
        widths, depths = config.widths[::-1], config.decoder_depths[::-1]
        self.low = nn.Sequential(
            nn.Conv2d(3 * config.latent_channels, widths[0], 3, padding=1), *blocks(widths[0], depths[0])
        )
        layers: list[nn.Module] = []
        for (coarse, fine), depth in zip(pairwise(widths), depths[1:], strict=True):
            layers += [nn.Conv2d(coarse, fine * 4, 1), nn.PixelShuffle(2), *blocks(fine, depth)]
        # What the layers of `high` see around a latent, in the finest pixels and then in latents.
        radius = 1 + sum(2 * depth << level for level, depth in enumerate(config.decoder_depths[:-1]))
        self.halo = -(-radius >> (len(widths) - 1))
        pixels = 3 * config.frames_per_latent * config.unshuffle**2
        self.high = nn.Sequential(
            *layers, RmsNorm(widths[-1], 2), nn.SiLU(), nn.Conv2d(widths[-1], pixels, 3, padding=1)
        )


class ChunkAutoencoder(nn.Module):
    """See the head of this file, and `khayal.model.autoencoder.Autoencoder` for the contract."""

    is_causal: ClassVar[bool] = False

    def __init__(self, config: ChunkAutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.latent_channels = config.latent_channels
        self.spatial_ratio = config.unshuffle * 2 ** (len(config.widths) - 1)
        self.frames_per_latent = config.frames_per_latent
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def encode(self, frames: Float[Tensor, "b 3 f H W"]) -> Float[Tensor, "b c t h w"]:
        """The normalised latents of 4k frames in [-1, 1], or of one image, repeated into its chunk.

        Raises:
            InputError: where the length or the size is not one that whole latents can hold.
        """
        self.check(frames)
        if frames.shape[2] == 1:
            frames = frames.expand(-1, -1, self.frames_per_latent, -1, -1)
        latents = [
            rearrange(self.encoder(self.fold(step)), "(b t) c h w -> b c t h w", b=frames.shape[0])
            for step in frames.split(CHUNKS_PER_STEP * self.frames_per_latent, dim=2)
        ]
        mean, std = self.statistics(frames)
        return (torch.cat(latents, dim=2) - mean) / std

    def decode(self, latents: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b 3 f H W"]:
        """All 4k frames of k latents, not clamped; a still is the last of its four."""
        return torch.cat(list(self.stream(latents)), dim=2)

    def stream(
        self, latents: Float[Tensor, "b c t h w"], *, tile: int | None = None
    ) -> Iterator[Float[Tensor, "b 3 f H W"]]:
        """The same frames in order, a few chunks at a time, reading one latent ahead."""
        mean, std = self.statistics(latents)
        latents = latents * std + mean
        around = torch.cat([latents[:, :, :1], latents, latents[:, :, -1:]], dim=2)
        around = torch.cat([around[:, :, :-2], around[:, :, 1:-1], around[:, :, 2:]], dim=1)
        for step in around.split(CHUNKS_PER_STEP, dim=2):
            x = self.decoder.low(as_images(step))
            x = self.decoder.high(x) if tile is None else self.high_on_tiles(x, tile)
            yield self.unfold(x, step.shape[0])

    def high_on_tiles(self, x: Float[Tensor, "n c h w"], side: int) -> Float[Tensor, "n d h2 w2"]:
        """The layers of higher resolution, a tile at a time."""
        scale = self.spatial_ratio // self.config.unshuffle
        size = (x.shape[-2] * scale, x.shape[-1] * scale)
        whole: Tensor | None = None
        for tile in tiles_of(x, side=side, halo=self.decoder.halo):
            y = self.decoder.high(tile.cut(x).contiguous(memory_format=torch.channels_last))
            whole = y.new_empty(*y.shape[:2], *size) if whole is None else whole
            tile.paste(y, onto=whole)
        assert whole is not None, "a frame has at least one tile"
        return whole

    def fold(self, frames: Float[Tensor, "b 3 f H W"]) -> Float[Tensor, "n c h w"]:
        """Chunks of frames as images at 1/unshuffle of the size, their pixels and frames in channels."""
        sizes = {"i": self.frames_per_latent, "j": self.config.unshuffle, "k": self.config.unshuffle}
        images = rearrange(frames, "b c (t i) (h j) (w k) -> (b t) (c i j k) h w", **sizes)
        return images.contiguous(memory_format=torch.channels_last)

    def unfold(self, images: Float[Tensor, "n c h w"], batch: int) -> Float[Tensor, "b 3 f H W"]:
        """The inverse of `fold`."""
        sizes = {
            "b": batch,
            "i": self.frames_per_latent,
            "j": self.config.unshuffle,
            "k": self.config.unshuffle,
        }
        return rearrange(images, "(b t) (c i j k) h w -> b c (t i) (h j) (w k)", **sizes)

    def statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latents by channel, on the device and in the type of `like`.

        Made from the config each time, since buffers would be lost on the meta device.
        """
        shape = (1, self.latent_channels, 1, 1, 1)
        mean = like.new_tensor(self.config.latents_mean or (0.0,) * self.latent_channels)
        std = like.new_tensor(self.config.latents_std or (1.0,) * self.latent_channels)
        return mean.view(shape), std.view(shape)

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
        if num_frames != 1 and num_frames % per_latent:
            raise InputError(
                f"{num_frames} frames cannot be encoded",
                why=f"this autoencoder takes one frame or a multiple of {per_latent}",
                fix=f"use {max(num_frames // per_latent, 1) * per_latent}",
            )


def as_images(latents: Float[Tensor, "b c t h w"]) -> Float[Tensor, "n c h w"]:
    """Latent frames as a batch of images, in the layout in which convolutions are fast."""
    images = rearrange(latents, "b c t h w -> (b t) c h w")
    return images.contiguous(memory_format=torch.channels_last)
