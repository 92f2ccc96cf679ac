"""A tiny model on a causal autoencoder of Wan's shape: to measure seams and drift there. It is not shipped.

    khayal train recipes.causal:frames --out RUN           clips of 4k+1 frames
    khayal train recipes.causal:tokenizer --out RUN
    khayal train recipes.causal:autoencoder --out RUN      Wan 2.2's layers, 3.8M parameters
    khayal train recipes.causal:encode --out RUN
    khayal train recipes.causal:comprehension --out RUN
    khayal train recipes.causal:transformer --out RUN
    khayal evaluate --model RUN/transformer/model --only tasks,minute

All else is as in `recipes.embedded`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from recipes import embedded
from recipes.embedded import FPS, SEED, comprehension, mirror, tokenizer

from khayal.checkpoint.folder import EMBEDDED
from khayal.model.wan_autoencoder import WanAutoencoderConfig
from khayal.train.compression import Compression, CompressionConfig
from khayal.train.config import TrainConfig
from khayal.train.preparing import EncodeConfig, KeepConfig
from khayal.train.shards import Crops, FrameShards
from khayal.train.text_to_video import TextToVideo

__all__ = ["autoencoder", "comprehension", "encode", "frames", "tokenizer", "transformer"]

NUM_FRAMES = 49
DIALS = "1"
LATENT_CHANNELS = embedded.AUTOENCODER.latent_channels
AUTOENCODER = WanAutoencoderConfig(
    base_dim=16,
    decoder_base_dim=16,
    z_dim=LATENT_CHANNELS,
    latents_mean=(0.0,) * LATENT_CHANNELS,
    latents_std=(1.0,) * LATENT_CHANNELS,
    is_residual=True,
    in_channels=12,
    out_channels=12,
    patch_size=2,
    scale_factor_spatial=16,
)


def frames(run: Path, dials: str = DIALS, clips: int = 240, workers: int = 2) -> KeepConfig:
    """Clips as frames, 2.4 MB each."""
    name = f"world dials {dials} seed {SEED}, {NUM_FRAMES} frames"
    return KeepConfig(clips=embedded.world(dials, workers, NUM_FRAMES / FPS), name=name, num_clips=clips)


def autoencoder(run: Path, batch: int = 4, side: int = 64) -> TrainConfig:
    """Crops of 17 frames, whose latents are to be the embedded model's."""
    shape = CompressionConfig(
        autoencoder=AUTOENCODER, motion_weight=1.0, latents_of=EMBEDDED / "vae", latent_weight=1.0
    )
    crops = Crops(num_frames=17, side=side)
    return replace(
        embedded.autoencoder(run, batch, side),
        objective=partial(Compression, shape),
        source=lambda: FrameShards(run / "frames", crops),
        minutes=15,
    )


def encode(run: Path, dials: str = DIALS, clips: int = 1200, workers: int = 2) -> EncodeConfig:
    """Clips as latents. There are no stills: the first latent frame is one."""
    return EncodeConfig(
        clips=embedded.kept(run / "frames", otherwise=embedded.world(dials, workers, NUM_FRAMES / FPS)),
        name=f"world dials {dials} seed {SEED}, {NUM_FRAMES} frames",
        num_frames=NUM_FRAMES,
        autoencoder=run / "autoencoder" / "model",
        num_clips=clips,
        still_columns=(),
        mirrored=mirror,
    )


def transformer(run: Path, batch: int = 32, rate: float = 8e-3, dials: str = DIALS) -> TrainConfig:
    """The embedded model's transformer, whose weights it can start from, on other latents."""
    shape = embedded.learns(run, dials)
    shape = replace(shape, short_share=0.0, defaults=replace(shape.defaults, seconds=NUM_FRAMES / FPS))
    config = embedded.transformer(run, batch, rate=rate, dials=dials)
    return replace(config, objective=partial(TextToVideo, shape, SEED), minutes=30)
