"""A text encoder that learns new wordings for a transformer that stays as it is.

The transformer meets text in its cross-attentions only. So what a caption means to it is what they give for
its queries, and two captions that say the same should give the same. The encoder of a trained model, on the
plainest wording of each scene, is the teacher (distillation, arXiv:1503.02531); a copy of it, on any other
wording in any language, learns to cause the same. No clip is needed, and on two CPU cores 58 captions are
learned in a second, where the transformer learns about two canvases.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from khayal.checkpoint.folder import open_checkpoint
from khayal.checkpoint.save import save_checkpoint
from khayal.checkpoint.tokenizer import Tokenizer
from khayal.errors import InputError
from khayal.model.text import UMT5Encoder
from khayal.model.transformer import Block, SpacetimeTransformer
from khayal.train.caption_tokens import CaptionTokens
from khayal.train.chance import Chance
from khayal.train.comprehension import TextObjective, worn
from khayal.train.denoising import inside
from khayal.train.objective import Score
from khayal.train.parts import load_part, rebuilt
from khayal.train.source import Epochs, Reading
from khayal.train.text_to_video import SHARD_BYTES, preview_prompts

_FOR_QUERIES = 71


@dataclass(frozen=True, kw_only=True)
class Wordings:
    """Captions, and how the teacher is told the same."""

    said: tuple[str, ...]
    meant: tuple[str, ...]


class PairedCaptions:
    """Two captions of each scene, anew each time: a Source.

    Args:
        tellers: for each scene a way to say the same twice: in some wording, and in the teacher's.
    """

    def __init__(self, tellers: Sequence[Callable[[np.random.Generator], tuple[str, str]]]) -> None:
        self._tellers = tellers

    def __len__(self) -> int:
        return len(self._tellers)

    def batches(self, reading: Reading) -> Iterator[Wordings]:
        """See `Source`."""
        order = Epochs(len(self), reading.seed)
        for step in itertools.count(reading.start):
            scenes = order.batch(step, reading.batch_size, reading.rows)
            pairs = [
                self._tellers[scene](np.random.default_rng([reading.seed, step, row, 37]))
                for scene, row in zip(scenes, reading.rows, strict=True)
            ]
            said, meant = zip(*pairs, strict=True)
            yield Wordings(said=said, meant=meant)


@dataclass(frozen=True, kw_only=True)
class RewordingConfig:
    """What is trained.

    Attributes:
        model: the checkpoint whose transformer reads the text.
        tokenizer: the folder of the tokenizer, whose first tokens are the model's own.
        text_length: tokens of a caption that the new model reads.
        words: all words that it will know.
        scenes: captions in the teacher's wording: what the transformer asks of text is recorded with them.
        size, num_columns: latents at which it is recorded.
        num_queries: of those, in each step.
        replaced_share: tokens that are replaced by any others.
        prompts: what previews show.
    """

    model: Path
    tokenizer: Path
    text_length: int
    words: tuple[str, ...]
    scenes: tuple[str, ...]
    size: tuple[int, int]
    num_columns: int
    num_queries: int = 64
    replaced_share: float = 0.01
    prompts: tuple[str, ...] = ()


class Rewording(TextObjective[Wordings]):
    """Learns to make a transformer see the same, however it is said.

    Raises:
        InputError: the tokenizer has more tokens than the model.
    """

    def __init__(self, config: RewordingConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.checkpoint = open_checkpoint(config.model)
        learned = load_part(config.model / "text_encoder", "text_encoder", torch.float32)
        self.text_encoder = cast(UMT5Encoder, learned)
        self.text_encoder.requires_grad_(True)
        tokenizer = Tokenizer(config.tokenizer, length=config.text_length)
        if tokenizer.num_ids > self.text_encoder.config.vocab_size:
            raise InputError(
                f"The tokenizer in “{config.tokenizer}” has {tokenizer.num_ids} tokens",
                why=f"the model has room for {self.text_encoder.config.vocab_size}",
                fix="make one that extends the model's own: --set extends=MODEL/tokenizer",
            )
        self._tokens = CaptionTokens(tokenizer)
        self._teachers = [_Teacher(config, seed)]  # in a list, since it is not trained, nor kept

    def forward(self, batch: Wordings, chance: Chance) -> Score:
        """See `Objective`. The loss is the share of what the teacher's text does that is not done yet."""
        device = self.text_encoder.shared.weight.device
        teacher = self._teachers[0].to(device)
        bank = teacher.queries.shape[1]
        chosen = torch.from_numpy(chance.dice(_FOR_QUERIES).integers(0, bank, self.config.num_queries))
        queries = teacher.queries[:, chosen.to(device)]
        wanted = teacher.told(batch.meant, queries)
        ids, is_token = self._tokens.of(batch.said)
        ids = worn(ids, self.config.replaced_share, self.text_encoder.config.vocab_size, chance)
        text = self.text_encoder(ids.to(device), is_token.to(device))
        text = F.pad(text, (0, 0, 0, self.config.text_length - ids.shape[1]))
        missed = (teacher.read(text, queries) - wanted).square().mean(dim=(2, 3)) / teacher.scale[:, None]
        return Score(total=missed.mean(0).sum(), count=float(len(batch.said)))

    def to_device(self, batch: Wordings, device: torch.device) -> Wordings:
        """See `Objective`."""
        return batch

    def export(self, folder: Path, weights: Mapping[str, Tensor], batches: Iterator[Wordings]) -> None:
        """The checkpoint with another text encoder, and with the words that it knows now."""
        config, given, dtype = self.config, self.checkpoint, torch.bfloat16
        text_encoder = inside(weights, "text_encoder")
        save_checkpoint(
            folder,
            transformers=[load_part(given.path / "transformer", "transformer", dtype)],
            autoencoder=load_part(given.path / "vae", "vae", dtype),
            text_encoder=rebuilt(UMT5Encoder, self.text_encoder.config, text_encoder, dtype),
            tokenizer=config.tokenizer,
            scheduler=given.scheduler,
            expand_timesteps=given.expand_timesteps,
            defaults=replace(given.defaults, text_length=config.text_length, words=config.words),
            shard_bytes=SHARD_BYTES,
            overwrite=True,
        )

    def exported(self, folder: Path) -> dict[str, Tensor]:
        """The text encoder of a checkpoint that this stage made."""
        part = load_part(folder / "text_encoder", "text_encoder", torch.float32)
        return {f"text_encoder.{key}": weight.detach() for key, weight in part.named_parameters()}

    def preview(self, model: Path, out: Path, device: torch.device) -> list[Path]:
        """The prompts as users would see them."""
        return preview_prompts(self.config.prompts, model, out, device)


class _Teacher(nn.Module):
    """A trained model as it hears and reads text.

    Attributes:
        queries: what its transformer asks of text in each block, while it makes videos of the scenes.
        scale: for each block, how much what it hears differs between scenes.
    """

    queries: Float[Tensor, "blocks n heads hd"]
    scale: Float[Tensor, " blocks"]

    def __init__(self, config: RewordingConfig, seed: int) -> None:
        super().__init__()
        checkpoint = open_checkpoint(config.model)
        self.length = checkpoint.defaults.text_length
        self._tokens = CaptionTokens(Tokenizer(config.model / "tokenizer", length=2 * config.text_length))
        encoder = load_part(config.model / "text_encoder", "text_encoder", torch.float32)
        transformer = load_part(config.model / "transformer", "transformer", torch.float32)
        self.text_encoder = cast(UMT5Encoder, encoder)
        self.transformer = cast(SpacetimeTransformer, transformer)
        shift = checkpoint.scheduler.flow_shift
        self.register_buffer("queries", self._asked(config, shift, torch.Generator().manual_seed(seed)))
        self.register_buffer("scale", torch.ones(len(self.queries)))
        heard = self.told(config.scenes, self.queries[:, :: max(1, self.queries.shape[1] // 256)])
        self.register_buffer("scale", heard.var(dim=1).mean(dim=(1, 2)))
        self.requires_grad_(False)

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
    def _asked(self, config: RewordingConfig, shift: float, generator: torch.Generator) -> Tensor:
        """Queries of all blocks on the way from noise to videos of the scenes, at Wan's noise levels.

        Of each latent, half are those of the tokens to which the text tells most, where actors are.
        """
        per_latent = 64
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
                shots=torch.zeros(1, config.num_columns, dtype=torch.int64),
                positions=torch.arange(config.num_columns)[None].float(),
                size=config.size,
            )
            latents = torch.randn(1, channels, config.num_columns, *config.size, generator=generator)
            for level, lower in itertools.pairwise(levels.tolist()):
                timesteps = torch.full((1, config.num_columns), level * 1000)
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
