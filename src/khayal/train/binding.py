"""A text encoder that learns which is what, for a transformer that goes on hearing the same.

A model whose encoder names what there is, and not which colour belongs to which kind, cannot learn that from
videos: the tokens do not say it. To take another encoder is to lose what the transformer knows of this one.
So the encoder gets more heads, which read the words beside each word, and write what they read where tokens
hardly differ and the transformer hardly listens. From there it learns, as in `comprehension`, to say whose
kind it is, while what captions do in the transformer's cross-attentions stays as it was. In the literature
this is attribute binding (arXiv:2212.05032).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from khayal.model.text import AttentionLayer, TextBlock, UMT5Encoder
from khayal.train.chance import Chance
from khayal.train.comprehension import Asking, AskingConfig, CaptionBatch
from khayal.train.denoising import inside
from khayal.train.hearing import Hearing, HearingConfig
from khayal.train.objective import Score
from khayal.train.parts import load_part

_FOR_QUERIES = 73


@dataclass(frozen=True, kw_only=True)
class BindingConfig(AskingConfig):
    """What is trained.

    Attributes:
        hearing: the checkpoint whose text encoder learns.
        num_heads: that are added to each layer.
        loudness: what the new heads of the last layer say at first, as a share of a token's length. At 0.3 a
            reading by colour, learned in two minutes, names 73% of kinds among several where it named 37%,
            and 4% of what captions do to the transformer is changed.
        hearing_weight: of the share that the transformer misses, beside what is not understood.
        num_heard: captions of a step with which that is measured.
        num_queries: of the transformer, for each of them.
    """

    hearing: HearingConfig
    num_heads: int = 3
    loudness: float = 0.3
    hearing_weight: float = 10.0
    num_heard: int = 12
    num_queries: int = 48


class Binding(Asking):
    """Learns to say what captions tell, and stays as it is to the transformer."""

    def __init__(self, config: BindingConfig, seed: int = 0) -> None:
        given = load_part(config.hearing.model / "text_encoder", "text_encoder", torch.float32)
        wider = cast(UMT5Encoder, given).with_more_heads(
            config.num_heads, torch.Generator().manual_seed(seed)
        )
        super().__init__(config, wider, seed)
        self.config = config
        hearing = Hearing(config.hearing, longest=2 * config.text_length, seed=seed)
        self._hearing = [hearing]  # in a list, since it is not trained, nor kept
        self._speak_aside(torch.Generator().manual_seed(seed))

    def is_matrix(self, key: str) -> bool:
        """What asks and answers: it begins from nothing, and so has a rate of its own."""
        return not key.startswith("text_encoder.")

    @torch.no_grad()
    def _speak_aside(self, generator: torch.Generator) -> None:
        """The new heads of the last layer write into the directions in which tokens differ least."""
        last: list[Tensor] = []
        hook = self.text_encoder.encoder.final_layer_norm.register_forward_pre_hook(
            lambda module, given: last.append(given[0])
        )
        ids, is_token = self._tokens.of(self.config.hearing.scenes)
        self.text_encoder(ids, is_token)
        hook.remove()
        tokens = last[0][is_token[:, : last[0].shape[1]]]
        quiet = torch.linalg.svd(tokens - tokens.mean(0), full_matrices=True).Vh[-3 * tokens.shape[1] // 8 :]
        layer = cast(TextBlock, self.text_encoder.encoder.block[-1])
        attention = cast(AttentionLayer, layer.layer[0]).SelfAttention
        said = attention.o.weight[:, -self.config.num_heads * self.text_encoder.config.d_kv :]
        drawn = torch.randn(said.shape[1], len(quiet), generator=generator) @ quiet
        length = tokens.square().sum(1).mean().sqrt()
        said.copy_(drawn.T * self.config.loudness * length / (said.shape[1] * len(quiet)) ** 0.5)

    def forward(self, batch: CaptionBatch, chance: Chance) -> Score:
        """See `Objective`."""
        score = super().forward(batch, chance)
        device = self.of_scenes.weight.device
        hearing = self._hearing[0].to(device)
        captions = batch.captions[: self.config.num_heard]
        text = self._text(captions, device)
        queries = hearing.some(self.config.num_queries, chance.dice(_FOR_QUERIES))
        missed = hearing.missed(text, captions, queries).mean() * score.count
        return Score(
            total=score.total + self.config.hearing_weight * missed,
            count=score.count,
            parts={**score.parts, "missed": missed.detach()},
        )

    def _text(self, captions: tuple[str, ...], device: torch.device) -> Float[Tensor, "b l e"]:
        """As the transformer reads it: cut, and zero after the ends."""
        length = self._hearing[0].length
        ids, is_token = self._tokens.of(captions)
        text = self.text_encoder(ids[:, :length].to(device), is_token[:, :length].to(device))
        return F.pad(text, (0, 0, 0, length - text.shape[1]))

    def export(self, folder: Path, weights: Mapping[str, Tensor], batches: Iterator[CaptionBatch]) -> None:
        """The checkpoint with the encoder that learned."""
        learned = inside(weights, "text_encoder")
        tokenizer = self.config.hearing.model / "tokenizer"
        self._hearing[0].save_with(folder, self.text_encoder.config, learned, tokenizer)
