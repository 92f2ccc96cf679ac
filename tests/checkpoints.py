"""Tiny random Wan checkpoints, written by diffusers and transformers, for tests.

Conditioning is made strong on purpose: a wrong prompt, noise level or position has to change the frames by
far more than any tolerance, or parity would prove nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

KINDS = ("wan2.1", "ti2v", "a14b")

CORPUS = (
    "a red ball bounces on the green grass while the sun goes down behind the hills",
    "two blue cubes slide slowly over a wooden table and stop, the camera turns to the left",
    "a woman in a yellow coat walks through the rain, slow motion, cinematic light, shallow depth of field",
    "an old ship sails into the storm; waves break over the bow; the crew shouts",
    "the cat jumps from the chair to the window, looks outside, then falls asleep",
    "overexposed, static, blurred details, subtitles, worst quality, low quality, ugly, deformed",
    "كرة حمراء تقفز على العشب الأخضر والشمس تغرب خلف التلال",
    "一只红色的球在绿色的草地上弹跳",
    "0123456789 <>&\"'!?.,;:-–—…()[]%#@/ ABCDEFGHIJKLMNOPQRSTUVWXYZ",
)


def make_tokenizer(folder: Path) -> int:
    """A T5-like unigram tokenizer trained on a few sentences; returns the size of its vocabulary."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=300,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "model_max_length": 512,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))
    return tokenizer.get_vocab_size()


def make_text_encoder(vocab_size: int, text_dim: int = 32) -> nn.Module:
    """A transformers UMT5 encoder whose positions matter."""
    from transformers import UMT5Config, UMT5EncoderModel

    config = UMT5Config(
        vocab_size=vocab_size,
        d_model=text_dim,
        d_kv=8,
        d_ff=2 * text_dim,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
    )
    model = UMT5EncoderModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "relative_attention_bias" in name:
                parameter.normal_(0, 2.0)
            elif "norm" in name:
                parameter.uniform_(0.5, 1.5)
    return model


def make_transformer(channels: int, text_dim: int = 32, **changes: object) -> nn.Module:
    """A diffusers Wan transformer: width 40, two layers, unequal rotary axes (8 for time, 6 and 6)."""
    from diffusers import WanTransformer3DModel

    shape: dict[str, object] = {
        "num_attention_heads": 2,
        "attention_head_dim": 20,
        "in_channels": channels,
        "out_channels": channels,
        "text_dim": text_dim,
        "freq_dim": 32,
        "ffn_dim": 80,
        "num_layers": 2,
        **changes,
    }
    model = WanTransformer3DModel(**shape).eval()
    # Most of the 512 text tokens are padding: sharper attention lets the few real ones be heard.
    louder = {"attn2.to_out": 4.0, "attn2.norm_k": 2.0, "text_embedder": 3.0, "time_proj": 4.0}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.uniform_(0.5, 1.5)
            elif "norm" in name:
                parameter.normal_(0, 0.2)
            elif "scale_shift_table" in name:
                parameter.normal_(0, 0.5)
            for part, factor in louder.items():
                if part in name:
                    parameter.mul_(factor)
    return model


def make_autoencoder(channels: int, *, is_residual: bool = False, **changes: object) -> nn.Module:
    """A diffusers Wan autoencoder of the 2.1 kind, or of the 2.2 kind where `is_residual`."""
    from diffusers import AutoencoderKLWan

    shape: dict[str, object] = {
        "base_dim": 8,
        "z_dim": channels,
        "num_res_blocks": 1,
        "latents_mean": torch.empty(channels).uniform_(-0.5, 0.5).tolist(),
        "latents_std": torch.empty(channels).uniform_(0.7, 1.5).tolist(),
    }
    if is_residual:
        shape |= {
            "decoder_base_dim": 12,
            "is_residual": True,
            "patch_size": 2,
            "in_channels": 12,
            "out_channels": 12,
            "scale_factor_spatial": 16,
        }
    model = AutoencoderKLWan(**(shape | changes)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("gamma"):
                parameter.uniform_(0.5, 1.5)
        model.decoder.conv_out.weight.mul_(2.0)
    return model


def make_scheduler(flow_shift: float) -> object:
    """UniPC as the Wan folders have it."""
    from diffusers import UniPCMultistepScheduler

    return UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        num_train_timesteps=1000,
        flow_shift=flow_shift,
    )


def make_checkpoint(folder: Path, kind: str = "ti2v", *, seed: int = 0) -> Path:
    """Write a whole diffusers folder of one of KINDS; the same seed gives the same weights."""
    from diffusers import WanPipeline
    from transformers import PreTrainedTokenizerFast

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vocab_size = make_tokenizer(folder / "tokenizer")
        channels = 12 if kind == "ti2v" else 8
        parts = {
            "tokenizer": PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer"),
            "text_encoder": make_text_encoder(vocab_size),
            "vae": make_autoencoder(channels, is_residual=kind == "ti2v"),
            "transformer": make_transformer(channels),
            "transformer_2": make_transformer(channels) if kind == "a14b" else None,
            "scheduler": make_scheduler({"wan2.1": 3.0, "ti2v": 5.0, "a14b": 12.0}[kind]),
        }
    pipeline = WanPipeline(
        **parts, boundary_ratio=0.875 if kind == "a14b" else None, expand_timesteps=kind == "ti2v"
    )
    pipeline.save_pretrained(folder)
    return folder
