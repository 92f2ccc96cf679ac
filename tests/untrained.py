"""A small checkpoint of khayal's own architecture with random weights: every part real, nothing learned.

Prompts are read, noise is denoised and decoded, but what comes out is noise.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from khayal.checkpoint.defaults import Defaults
from khayal.checkpoint.save import save_checkpoint
from khayal.checkpoint.scheduler import SchedulerConfig
from khayal.model.chunk_autoencoder import ChunkAutoencoder, ChunkAutoencoderConfig
from khayal.model.text import UMT5Encoder, UMT5EncoderConfig
from khayal.model.transformer import SpacetimeTransformer, TransformerConfig

_TEXT_LENGTH = 128


def make_untrained(folder: Path, *, seed: int = 0) -> None:
    """Write the checkpoint; the same seed gives the same weights."""
    with TemporaryDirectory() as scratch:
        _save_untrained(folder, Path(scratch), seed)


def _save_untrained(folder: Path, tokenizer: Path, seed: int) -> None:
    vocab_size = _make_byte_tokenizer(tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        autoencoder = ChunkAutoencoder(ChunkAutoencoderConfig())
        transformer = SpacetimeTransformer(
            TransformerConfig(
                num_attention_heads=4,
                attention_head_dim=48,
                in_channels=autoencoder.latent_channels,
                out_channels=autoencoder.latent_channels,
                text_dim=128,
                ffn_dim=512,
                num_layers=4,
            )
        )
        text_encoder = UMT5Encoder(
            UMT5EncoderConfig(
                vocab_size=vocab_size, d_model=128, d_kv=32, d_ff=256, num_layers=2, num_heads=4
            )
        )
        text_encoder.initialise()
    save_checkpoint(
        folder,
        transformers=[transformer],
        autoencoder=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=SchedulerConfig(flow_shift=2.0),
        expand_timesteps=True,
        defaults=Defaults(
            fps=Fraction(12),
            seconds=4.0,
            size=(128, 128),
            steps=20,
            guidance=(4.0,),
            text_length=_TEXT_LENGTH,
        ),
    )


def _make_byte_tokenizer(folder: Path) -> int:
    """One token for each byte, so that it needs no text to be made from; returns how many there are."""
    special = ["<pad>", "</s>", "<unk>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*special, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", vocabulary["</s>"])]
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "model_max_length": _TEXT_LENGTH,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
    return len(vocabulary)
