"""A tiny model on a causal autoencoder of Wan's shape: to measure seams and drift there. It is not shipped.

    khayal train recipes.causal:frames --out RUN           clips of 4k+1 frames
    khayal train recipes.causal:autoencoder --out RUN      Wan 2.2's layers, 3.8M parameters
    khayal train recipes.causal:encode --out RUN
    khayal train recipes.causal:transformer --out RUN --start src/khayal/embedded
    khayal evaluate --model RUN/transformer/model --only tasks,minute

The autoencoder learns to make the embedded model's latents. So the transformer begins with that one's
weights, which do well as they are (`--steps 1` leaves them so), and its text is read by that one's text
encoder.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from recipes import embedded
from recipes.embedded import FPS, SEED, mirror

from khayal.checkpoint.folder import EMBEDDED
from khayal.model.wan_autoencoder import WanAutoencoderConfig
from khayal.train.compression import Compression, CompressionConfig
from khayal.train.config import OptimiserConfig, TrainConfig
from khayal.train.preparing import EncodeConfig, KeepConfig
from khayal.train.shards import Crops, FrameShards, LatentShards
from khayal.train.text_to_video import TextToVideo

__all__ = ["autoencoder", "encode", "frames", "transformer"]

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
        minutes=50,
    )


def encode(run: Path, dials: str = DIALS, clips: int = 240, workers: int = 2) -> EncodeConfig:
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


def transformer(run: Path, batch: int = 16, rate: float = 2e-3, dials: str = DIALS) -> TrainConfig:
    """The embedded model's transformer on these latents; meant to begin with its weights."""
    shape = embedded.learns(
        run, dials, tokenizer=EMBEDDED / "tokenizer", text_encoder=EMBEDDED / "text_encoder"
    )
    shape = replace(shape, short_share=0.0, defaults=replace(shape.defaults, seconds=NUM_FRAMES / FPS))
    return TrainConfig(
        objective=partial(TextToVideo, shape, SEED),
        source=lambda: LatentShards(run / "encode"),
        batch_size=batch,
        minutes=12,
        seed=SEED,
        optimiser=OptimiserConfig(matrix_learning_rate=rate, decay_share=0.5),
    )
