"""What a transformer hears of text: a caption means to it what its cross-attentions give for its queries.

So two text encoders that cause the same there are one to it. How far they do is measured, and learned from,
without a clip.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from khayal.checkpoint.contents import Checkpoint
from khayal.checkpoint.folder import open_checkpoint
from khayal.checkpoint.save import save_checkpoint
from khayal.checkpoint.tokenizer import Tokenizer
from khayal.model.text import UMT5Encoder, UMT5EncoderConfig
from khayal.model.transformer import Block, SpacetimeTransformer
from khayal.train.caption_tokens import CaptionTokens
from khayal.train.parts import load_part, rebuilt
from khayal.train.text_to_video import SHARD_BYTES


@dataclass(frozen=True, kw_only=True)
class HearingConfig:
    """Whose hearing it is, and with what it is recorded what the transformer asks of text.

    Attributes:
        model: a checkpoint's folder.
        scenes: captions of which it makes videos.
        size, num_columns: of their latents.
    """

    model: Path
    scenes: tuple[str, ...]
    size: tuple[int, int]
    num_columns: int


class Hearing(nn.Module):
    """A trained model as it hears and reads text; nothing of it learns.

    Attributes:
        checkpoint: the model.
        length: tokens of a prompt, padding and all.
        queries: what its transformer asks of text in each block, while it makes videos of the scenes.
        scale: for each block, how much what it hears differs between scenes.

    Args:
        longest: tokens of a caption that are heard at most; more than the model reads, to hear those out
            that are too long for it.
    """

    queries: Float[Tensor, "blocks n heads hd"]
    scale: Float[Tensor, " blocks"]

    def __init__(self, config: HearingConfig, *, longest: int, seed: int = 0) -> None:
        super().__init__()
        model, scenes = config.model, config.scenes
        self.checkpoint = open_checkpoint(model)
        self.length = self.checkpoint.defaults.text_length
        self._tokens = CaptionTokens(Tokenizer(model / "tokenizer", length=longest))
        encoder = load_part(model / "text_encoder", "text_encoder", torch.float32)
        transformer = load_part(model / "transformer", "transformer", torch.float32)
        self.text_encoder = cast(UMT5Encoder, encoder)
        self.transformer = cast(SpacetimeTransformer, transformer)
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("queries", self._asked(config, generator))
        self.register_buffer("scale", torch.ones(len(self.queries)))
        heard = self.told(scenes, self.queries[:, :: max(1, self.queries.shape[1] // 256)])
        self.register_buffer("scale", heard.var(dim=1).mean(dim=(1, 2)))
        self.requires_grad_(False)

    def missed(
        self,
        text: Float[Tensor, "b l e"],
        captions: Sequence[str],
        queries: Float[Tensor, "blocks q heads hd"],
    ) -> Float[Tensor, " b"]:
        """The share of what captions do to the transformer that another encoder's text misses, or adds."""
        wanted = self.told(captions, queries)
        errors = (self.read(text, queries) - wanted).square().mean(dim=(2, 3))
        return (errors / self.scale[:, None]).mean(0)

    def some(self, num: int, dice: np.random.Generator) -> Float[Tensor, "blocks num heads hd"]:
        """Some of the queries."""
        chosen = torch.from_numpy(dice.integers(0, self.queries.shape[1], num))
        return self.queries[:, chosen.to(self.queries.device)]

    def read(
        self,
        text: Float[Tensor, "b l e"],
        queries: Float[Tensor, "blocks q heads hd"],
        bias: Float[Tensor, "b 1 1 l"] | None = None,
    ) -> Float[Tensor, "blocks b q d"]:
        """What each block hears from each text, for the same queries."""
        text = self.transformer.condition_embedder.text_embedder(text[:, None])[:, 0]
        heard = []
        for block, asked in zip(self.transformer.blocks, queries, strict=True):
            attention = cast(Block, block).attn2
            keys, values = attention.keys_values(text)
            heard.append(attention.attend(asked.expand(len(text), -1, -1, -1), keys, values, bias))
        return torch.stack(heard)

    @torch.no_grad()
    def told(
        self, captions: Sequence[str], queries: Float[Tensor, "blocks q heads hd"]
    ) -> Float[Tensor, "blocks b q d"]:
        """What each block hears from captions; those that are too long for the model are heard out."""
        text, is_heard = self._encode(captions)
        bias = torch.zeros(is_heard.shape, device=text.device).masked_fill(~is_heard, -torch.inf)
        return self.read(text, queries, bias[:, None, None])

    def _encode(self, captions: Sequence[str]) -> tuple[Float[Tensor, "b l e"], Bool[Tensor, "b l"]]:
        """Text, zero after its ends, and which of these places the transformer attends to."""
        ids, is_token = self._tokens.of(captions)
        device = self.text_encoder.shared.weight.device
        text = self.text_encoder(ids.to(device), is_token.to(device))
        text = F.pad(text, (0, 0, 0, max(0, self.length - ids.shape[1])))
        ends = is_token.sum(1, keepdim=True).clamp(min=self.length)
        return text, (torch.arange(text.shape[1]) < ends).to(device)

    @torch.no_grad()
    def _asked(self, config: HearingConfig, generator: torch.Generator) -> Tensor:
        """Queries of all blocks on the way from noise to videos of the scenes, at Wan's noise levels.

        Of each latent, half are those of the tokens to which the text tells most, where actors are.
        """
        per_latent, shift = 64, self.checkpoint.scheduler.flow_shift
        size, num_columns = config.size, config.num_columns
        seen: list[Tensor] = []
        hooks = [
            cast(Block, block).attn2.norm_q.register_forward_hook(lambda module, given, out: seen.append(out))
            for block in self.transformer.blocks
        ]
        found: list[list[Tensor]] = [[] for _ in hooks]
        levels = torch.linspace(1, 0, 9)
        levels = shift * levels / (1 + (shift - 1) * levels)
        channels, heads = self.transformer.config.in_channels, self.transformer.config.num_attention_heads
        for caption in config.scenes:
            text, is_heard = self._encode([caption])
            context = self.transformer.prepare(
                text[:, None, : int(is_heard.sum())],
                shots=torch.zeros(1, num_columns, dtype=torch.int64),
                positions=torch.arange(num_columns)[None].float(),
                size=size,
            )
            latents = torch.randn(1, channels, num_columns, *size, generator=generator)
            for level, lower in itertools.pairwise(levels.tolist()):
                timesteps = torch.full((1, num_columns), level * 1000)
                velocity = self.transformer(latents, timesteps, context)
                latents = latents + (lower - level) * velocity
                for block, asked in enumerate(seen):
                    asked = asked[0].unflatten(-1, (heads, -1))
                    attention = cast(Block, self.transformer.blocks[block]).attn2
                    keys, values = (part[:, 0] for part in context.keys_values[block])  # type: ignore[index]
                    heard = attention.attend(asked[None], keys, values)[0]
                    half = min(per_latent // 2, len(asked))
                    told = (heard - heard.mean(0)).square().sum(-1).topk(half).indices
                    others = torch.randint(0, len(asked), (half,), generator=generator)
                    found[block].append(asked[torch.cat((told, others))])
                seen.clear()
        for hook in hooks:
            hook.remove()
        return torch.stack([torch.cat(asked) for asked in found])


def save_with_text_encoder(
    folder: Path,
    given: Checkpoint,
    text: UMT5EncoderConfig,
    weights: Mapping[str, Tensor],
    tokenizer: Path,
    **defaults: Any,
) -> None:
    """A checkpoint with another text encoder, of this shape, and with some of its defaults changed."""
    dtype = torch.bfloat16
    save_checkpoint(
        folder,
        transformers=[load_part(given.path / "transformer", "transformer", dtype)],
        autoencoder=load_part(given.path / "vae", "vae", dtype),
        text_encoder=rebuilt(UMT5Encoder, text, weights, dtype),
        tokenizer=tokenizer,
        scheduler=given.scheduler,
        expand_timesteps=given.expand_timesteps,
        defaults=replace(given.defaults, **defaults),
        shard_bytes=SHARD_BYTES,
        overwrite=True,
    )
