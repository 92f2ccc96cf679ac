"""The text encoder and the transformer, trained together on encoded clips."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from khayal.checkpoint.save import save_checkpoint
from khayal.checkpoint.tokenizer import Tokenizer
from khayal.clip import contact_sheet
from khayal.images import png_bytes
from khayal.model.text import UMT5Encoder
from khayal.model.transformer import SpacetimeTransformer
from khayal.train.caption_tokens import CaptionTokens
from khayal.train.denoising import Denoising, TextToVideoConfig, extent_of, inside
from khayal.train.parts import load_part, rebuilt
from khayal.train.source import LatentBatch

__all__ = ["TextToVideo", "TextToVideoConfig", "extent_of", "initialise", "preview_prompts"]

SHARD_BYTES = 15_900_000
"""Weights are written in files that fit where 16 MB are the limit."""


class TextToVideo(Denoising):
    """Learns velocity, and text with it where no text encoder is given, from fresh weights."""

    def __init__(self, config: TextToVideoConfig, seed: int = 0) -> None:
        super().__init__(config)
        self.transformer = SpacetimeTransformer(config.transformer)
        self.text_encoder = UMT5Encoder(config.text)
        generator = torch.Generator().manual_seed(seed)
        initialise(self.transformer, generator)
        self.text_encoder.initialise(generator)
        if config.text_encoder is not None:
            learned = load_part(config.text_encoder, "text_encoder", torch.float32)
            assert isinstance(learned, UMT5Encoder)
            self.text_encoder = learned
        self._tokens = CaptionTokens(Tokenizer(config.tokenizer, length=config.text_length))

    def encode_captions(self, captions: Sequence[str], batch: LatentBatch) -> Float[Tensor, "n l e"]:
        """See `Denoising`; gradients flow into the text encoder where it learns."""
        ids, is_token = self._tokens.of(captions)
        device = batch.latents.device
        text = self.text_encoder(ids.to(device), is_token.to(device))
        return F.pad(text, (0, 0, 0, self.config.text_length - ids.shape[1]))

    def blocks(self) -> Sequence[nn.Module]:
        """See `Objective`."""
        return [*self.transformer.blocks, *self.text_encoder.encoder.block]

    def units(self) -> Sequence[nn.Module]:
        """The blocks, and what computes in float32 beside them."""
        return [*self.blocks(), self.text_encoder, self.transformer.condition_embedder.time_embedder]

    def export(self, folder: Path, weights: Mapping[str, Tensor], batches: Iterator[LatentBatch]) -> None:
        """A checkpoint in diffusers layout, in bfloat16, that `khayal.open` runs."""
        config, dtype = self.config, torch.bfloat16
        transformer = inside(weights, "transformer")
        text_encoder = inside(weights, "text_encoder")
        save_checkpoint(
            folder,
            transformers=[rebuilt(SpacetimeTransformer, config.transformer, transformer, dtype)],
            autoencoder=load_part(config.autoencoder, "vae", dtype),
            text_encoder=rebuilt(UMT5Encoder, self.text_encoder.config, text_encoder, dtype),
            tokenizer=config.tokenizer,
            scheduler=config.scheduler,
            expand_timesteps=True,
            defaults=config.defaults,
            shard_bytes=SHARD_BYTES,
            overwrite=True,
        )

    def exported(self, folder: Path) -> dict[str, Tensor]:
        """See `Objective`."""
        found: dict[str, Tensor] = {}
        for role in ("transformer", "text_encoder"):
            learned = self.config.text_encoder if role == "text_encoder" else None
            part = load_part(learned or folder / role, role, torch.float32)
            found |= {f"{role}.{key}": weight.detach() for key, weight in part.named_parameters()}
        return found

    def preview(self, model: Path, out: Path, device: torch.device) -> list[Path]:
        """The prompts as users would see them."""
        return preview_prompts(self.config.prompts, model, out, device)


def preview_prompts(prompts: Sequence[str], model: Path, out: Path, device: torch.device) -> list[Path]:
    """What a checkpoint makes of some prompts: mp4 where PyAV is there, else contact sheets."""
    from khayal.studio import open

    studio = open(model, device=str(device))
    paths = []
    for number, prompt in enumerate(prompts):
        clip = studio.generate(prompt, seed=number)
        path = out.with_name(f"{out.name}-{number}.png")
        if clip.num_frames > 1 and find_spec("av"):
            path = path.with_suffix(".mp4")
            clip.save(path)
        else:
            path.write_bytes(png_bytes(contact_sheet(clip)))
        paths.append(path)
    return paths


@torch.no_grad()
def initialise(transformer: SpacetimeTransformer, generator: torch.Generator) -> None:
    """Fresh weights with the scales that Wan was trained from (arXiv:2503.20314).

    Xavier for the layers, small embeddings, a last layer of zeros: the first prediction is no velocity.
    """
    for name, parameter in transformer.named_parameters():
        if "norm" in name:
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
        elif name.endswith("scale_shift_table"):
            parameter.normal_(0, parameter.shape[-1] ** -0.5, generator=generator)
        elif name.endswith("bias") or name.startswith("proj_out"):
            parameter.zero_()
        elif "text_embedder" in name or "time_embedder" in name:
            parameter.normal_(0, 0.02, generator=generator)
        else:
            matrix = parameter.flatten(1)
            bound = math.sqrt(6 / sum(matrix.shape))
            parameter.uniform_(-bound, bound, generator=generator)
