"""The autoencoder: crops of clips in, the same crops out, through a small and smooth latent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from khayal.errors import InputError
from khayal.images import png_bytes
from khayal.model.chunk_autoencoder import ChunkAutoencoder, ChunkAutoencoderConfig
from khayal.model.wan_autoencoder import WanAutoencoder, WanAutoencoderConfig
from khayal.train.chance import Chance
from khayal.train.objective import Objective, Score
from khayal.train.parts import load_part, rebuilt, save_part
from khayal.train.source import FrameBatch, sent

_FOR_NOISE = 5
NUM_MEASURED, NUM_IN_BATCH = 16, 8
"""Batches, and crops of each, from which the statistics of the latents are taken."""
_PREVIEW = "preview.pt"


@dataclass(frozen=True, kw_only=True)
class CompressionConfig:
    """What is trained, and the weights of the terms of its loss.

    Attributes:
        autoencoder: its shape: in chunks, or causal as Wan's, whose mean alone is trained.
        coarse_weight: of the error at a half, a quarter and an eighth of the size, each.
        motion_weight: of the error of the difference between neighbouring frames.
        latent_noise: standard deviation of the noise that the decoder has to bear.
        latent_weight: of the mean square of the latents, which keeps them from outgrowing that noise; or
            of their difference from those of `latents_of`.
        edge: below this error (in units of pixels in [-1, 1]) the loss is quadratic.
        decoder_of: the folder of an autoencoder whose encoder and statistics stay as they are, so that
            latents made by it stay good, and whose decoder learns on; or None.
        latents_of: the folder of an autoencoder in chunks, or None. The encoder learns to make its latents
            too, and the decoder learns from them, so that a transformer trained on them knows both.

    Raises:
        InputError: `latents_of` for an autoencoder that is not causal, or whose encoder is to stay.
    """

    autoencoder: ChunkAutoencoderConfig | WanAutoencoderConfig = field(default_factory=ChunkAutoencoderConfig)
    decoder_of: Path | None = None
    latents_of: Path | None = None
    coarse_weight: float = 0.5
    motion_weight: float = 0.5
    latent_noise: float = 0.05
    latent_weight: float = 1e-3
    edge: float = 5e-2

    def __post_init__(self) -> None:
        is_causal = isinstance(self.autoencoder, WanAutoencoderConfig)
        if self.latents_of is not None and (self.decoder_of is not None or not is_causal):
            raise InputError(
                "The latents of another autoencoder cannot be learned here",
                why="only a causal one, whose encoder learns, can be taught them",
                fix="leave latents_of out, or give a WanAutoencoderConfig and no decoder_of",
            )


class Compression(Objective[FrameBatch]):
    """Learns to give back what it saw; nothing perceptual or adversarial yet."""

    def __init__(self, config: CompressionConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):  # the layers draw their own weights
            torch.manual_seed(seed)
            self.autoencoder = _fresh(config.autoencoder)
        if config.decoder_of is not None:
            self.autoencoder = _loaded(config.decoder_of)
            self.autoencoder.decoder.requires_grad_(True)
        # in a list, since it is not trained, nor kept
        self._teachers = [] if config.latents_of is None else [_loaded(config.latents_of)]

    def forward(self, batch: FrameBatch, chance: Chance) -> Score:
        """See `Objective`."""
        config, frames = self.config, scaled(batch.frames)
        dtype = next(self.autoencoder.parameters()).dtype
        latents = self.autoencoder.encode(frames.to(dtype))
        noise = chance.normal(_FOR_NOISE, tuple(latents.shape[1:]), frames.device)
        wanted = self._wanted(frames)
        read = latents if wanted is None else wanted
        decoded = self.autoencoder.decode(read.to(dtype) + config.latent_noise * noise.to(dtype)).float()
        error = decoded - frames
        off = latents.float() if wanted is None else latents.float() - wanted
        terms = {
            "fine": charbonnier(error, config.edge),
            "coarse": config.coarse_weight * coarse(error, config.edge),
            "motion": config.motion_weight * charbonnier(error.diff(dim=2), config.edge),
            "latents": config.latent_weight * off.square().mean(),
        }
        count = float(len(frames))
        parts = {name: term.detach() * count for name, term in terms.items()}
        parts["psnr"] = psnr(decoded.detach(), frames) * count
        return Score(total=torch.stack(list(terms.values())).sum() * count, count=count, parts=parts)

    @torch.no_grad()
    def _wanted(self, frames: Float[Tensor, "b 3 f H W"]) -> Float[Tensor, "b c t h w"] | None:
        """The latents of another autoencoder: a still's, and then those of chunks of four frames."""
        if not self._teachers:
            return None
        teacher = self._teachers[0].to(frames.device)
        parts = (frames[:, :, :1], frames[:, :, 1:])
        return torch.cat([teacher.encode(part) for part in parts], dim=2).float()

    def to_device(self, batch: FrameBatch, device: torch.device) -> FrameBatch:
        """See `Objective`."""
        return FrameBatch(frames=sent(batch.frames, device))

    def dtype_of(self, key: str, dtype: torch.dtype) -> torch.dtype:
        """See `Objective`."""
        return dtype

    def blocks(self) -> Sequence[nn.Module]:
        """None: the whole is small."""
        return []

    def is_matrix(self, key: str) -> bool:
        """The convolutions between the latents and the pixels; not the first and last, of pixels."""
        if isinstance(self.autoencoder, ChunkAutoencoder):
            last = len(self.autoencoder.decoder.high) - 1
            ends = ("encoder.encoder.0.weight", f"decoder.high.{last}.weight")
        else:
            ends = ("encoder.conv_in.weight", "decoder.conv_out.weight")
        return key.endswith(".weight") and "norm" not in key and not key.endswith(ends)

    @torch.no_grad()
    def export(self, folder: Path, weights: Mapping[str, Tensor], batches: Iterator[FrameBatch]) -> None:
        """config.json with the statistics of the latents, and weights, as in a checkpoint's vae/."""
        plain = {key.removeprefix("autoencoder."): value for key, value in weights.items()}
        shape = self.autoencoder.config
        crops = [scaled(batch.frames[:NUM_IN_BATCH]) for batch in islice(batches, NUM_MEASURED)]
        if self.config.decoder_of is None and self.config.latents_of is None:
            measured = rebuilt(type(self.autoencoder), shape, plain, torch.float32)
            assert isinstance(measured, ChunkAutoencoder | WanAutoencoder)
            latents = torch.cat([measured.encode(frames) for frames in crops])
            mean, std = latents.mean(dim=(0, 2, 3, 4)), latents.std(dim=(0, 2, 3, 4))
            shape = replace(shape, latents_mean=tuple(mean.tolist()), latents_std=tuple(std.tolist()))
        save_part(folder, rebuilt(type(self.autoencoder), shape, plain, torch.float32))
        torch.save(crops[0][:4].clone(), folder / _PREVIEW)

    def exported(self, folder: Path) -> dict[str, Tensor]:
        """See `Objective`."""
        part = load_part(folder, "vae", torch.float32)
        return {f"autoencoder.{key}": weight.detach() for key, weight in part.named_parameters()}

    @torch.no_grad()
    def preview(self, model: Path, out: Path, device: torch.device) -> list[Path]:
        """Crops above, what came back below; the first and the last frame of each."""
        autoencoder = _loaded(model)
        frames = torch.load(model / _PREVIEW, weights_only=True)
        decoded = autoencoder.decode(autoencoder.encode(frames))
        both = torch.stack((frames, decoded))[:, :, :, [0, -1]]
        sheet = rearrange(both, "two b c f h w -> (two h) (b f w) c")
        pixels: np.ndarray = ((sheet * 0.5 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        path = out.with_suffix(".png")
        path.write_bytes(png_bytes(np.ascontiguousarray(pixels)))
        return [path]


def _fresh(config: ChunkAutoencoderConfig | WanAutoencoderConfig) -> ChunkAutoencoder | WanAutoencoder:
    """Unlike `Part.skeleton`, with weights."""
    if isinstance(config, WanAutoencoderConfig):
        return WanAutoencoder(config)
    return ChunkAutoencoder(config)


def _loaded(folder: Path) -> ChunkAutoencoder | WanAutoencoder:
    autoencoder = load_part(folder, "vae", torch.float32)
    assert isinstance(autoencoder, ChunkAutoencoder | WanAutoencoder)
    return autoencoder


def scaled(frames: UInt8[Tensor, "b 3 f H W"]) -> Float[Tensor, "b 3 f H W"]:
    """Pixels in [-1, 1]."""
    return frames.float() / 127.5 - 1


def charbonnier(error: Tensor, edge: float) -> Float[Tensor, ""]:
    """The mean of a smooth absolute value: quadratic below `edge`, linear above (Charbonnier et al. 1994)."""
    return (error.square() + edge**2).sqrt().mean() - edge


def coarse(error: Float[Tensor, "b 3 f h w"], edge: float) -> Float[Tensor, ""]:
    """The same at a half, a quarter and an eighth of the size: what is smooth must be right too."""
    x = error.transpose(1, 2).flatten(0, 1)
    total = error.new_zeros(())
    for _ in range(3):
        x = F.avg_pool2d(x, 2)
        total = total + charbonnier(x, edge)
    return total


def psnr(decoded: Tensor, frames: Tensor) -> Float[Tensor, ""]:
    """Peak signal to noise in dB, of pixels in [-1, 1], over the whole batch."""
    return -10 * ((decoded.clamp(-1, 1) - frames) / 2).square().mean().clamp(min=1e-10).log10()
