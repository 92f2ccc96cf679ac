"""A recipe as users write them, for a model of a few thousand parameters."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import moving_shapes

from khayal.checkpoint.defaults import Defaults
from khayal.model.chunk_autoencoder import ChunkAutoencoderConfig
from khayal.model.text import UMT5EncoderConfig
from khayal.model.transformer import TransformerConfig
from khayal.train.compression import Compression, CompressionConfig
from khayal.train.config import KeepingConfig, OptimiserConfig, TrainConfig
from khayal.train.preparing import EncodeConfig, KeepConfig, TokenizerConfig
from khayal.train.shards import Crops, FrameShards, LatentShards
from khayal.train.text_to_video import TextToVideo, TextToVideoConfig

NUM_CLIPS = 12


def frames(run: Path) -> KeepConfig:
    return KeepConfig(clips=moving_shapes.clips, name="shapes", num_clips=NUM_CLIPS, per_shard=5)


def tokenizer(run: Path) -> TokenizerConfig:
    def texts() -> list[str]:
        samples = itertools.islice(moving_shapes.clips(0), 50)
        return [text for s in samples for passage in s.passages for text in passage.texts.values()]

    return TokenizerConfig(texts=texts, num_tokens=100)


def autoencoder(run: Path, steps: int = 12) -> TrainConfig:
    shape = ChunkAutoencoderConfig(
        latent_channels=4, unshuffle=2, widths=(8, 8, 12), encoder_depths=(1, 0, 1), decoder_depths=(0, 0, 1)
    )
    return TrainConfig(
        objective=partial(Compression, CompressionConfig(autoencoder=shape)),
        source=lambda: FrameShards(run / "frames", Crops(num_frames=8, side=16)),
        batch_size=4,
        num_steps=steps,
        optimiser=OptimiserConfig(warmup_steps=2, learning_rate=5e-3),
        keeping=KeepingConfig(tensorboard=False),
        averages=(0.9,),
    )


def encode(run: Path) -> EncodeConfig:
    return EncodeConfig(
        clips=moving_shapes.clips,
        name="shapes",
        num_frames=moving_shapes.NUM_FRAMES,
        autoencoder=run / "autoencoder" / "model",
        num_clips=NUM_CLIPS,
        mirrored=moving_shapes.mirrored,
        per_shard=5,
    )


def transformer(
    run: Path,
    steps: int = 12,
    batch: int = 4,
    matrices: str = "muon",
    precision: str = "bfloat16",
    every: int = 3,
    tensorboard: bool = False,
) -> TrainConfig:
    objective = TextToVideoConfig(
        transformer=TransformerConfig(
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=4,
            out_channels=4,
            text_dim=16,
            freq_dim=16,
            ffn_dim=32,
            num_layers=2,
        ),
        text=UMT5EncoderConfig(vocab_size=100, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2),
        tokenizer=run / "tokenizer",
        autoencoder=run / "autoencoder" / "model",
        defaults=Defaults(
            fps=Fraction(8), seconds=2.0, size=(32, 32), steps=3, guidance=(2.0,), text_length=24
        ),
        short_columns=2,
        prompts=("a red square moves to the left",),
    )
    return TrainConfig(
        objective=partial(TextToVideo, objective),
        source=lambda: LatentShards(run / "encode"),
        batch_size=batch,
        num_steps=steps,
        precision=precision,  # type: ignore[arg-type]
        optimiser=OptimiserConfig(warmup_steps=2, learning_rate=2e-3, matrices=matrices),  # type: ignore[arg-type]
        keeping=KeepingConfig(full_steps=every, tensorboard=tensorboard),
        averages=(0.9, 0.99),
    )


def transformer_that_reads(run: Path, steps: int = 12) -> TrainConfig:
    """The same, with the text encoder that `transformer` made, as it is."""
    config = transformer(run, steps)
    (objective,) = config.objective.args  # type: ignore[attr-defined]
    objective = replace(objective, text_encoder=run / "transformer" / "model" / "text_encoder")
    return replace(config, objective=partial(TextToVideo, objective))
