"""A text encoder that learns which is what, in the words that its transformer listens to already.

A model whose encoder names what there is, and not which colour belongs to which kind, cannot learn that from
videos: a cross-attention does not see where a token stands, so the tokens have to say it. Here the words for
one actor lend each other what tells them from other words of their class: “cube”, beside “red”, says cube and
a little of what “red” says, as “red” does of what “cube” says. So a place that asks for red finds the cube
too, in the directions to which the transformer listens already. (Written elsewhere, where it is deaf, the
same was learned by the encoder and not by the transformer.) What a word lends is what it says on average:
what it says in one caption depends on the words around it as well, and is not known before the last layer is
done. In the literature this is attribute binding (arXiv:2212.05032).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from khayal.checkpoint.folder import open_checkpoint
from khayal.checkpoint.tokenizer import Tokenizer
from khayal.errors import InputError
from khayal.model.text import NEIGHBOURS, AttentionLayer, TextBlock, UMT5Encoder
from khayal.train.caption_tokens import CaptionTokens
from khayal.train.chance import Chance
from khayal.train.comprehension import CaptionBatch, TextObjective
from khayal.train.denoising import inside
from khayal.train.hearing import save_with_text_encoder
from khayal.train.objective import Score
from khayal.train.parts import load_part

REST_WEIGHT = 3.0
"""Of the words that lend and borrow nothing, which stay as they are."""
_RIDGE = 1e-3
"""Beside the mean square of what is read: ten times more or less reads as well."""


@dataclass(frozen=True, kw_only=True)
class BindingConfig:
    """What is trained.

    Attributes:
        model: the checkpoint whose text encoder learns.
        classes: words for the colours and words for the kinds; those that the tokenizer cuts are left out.
        scenes: captions that say all of them, from which it is known what words of a class share.
        lent: how much of what tells a word from others of its class goes to its partner.
        reach: tokens between partners at most, and one.
        num_heads: that are added to each layer of the encoder; they begin by reading a word's neighbours.
        text_length: tokens of a caption that are read.
    """

    model: Path
    classes: tuple[frozenset[str], frozenset[str]]
    scenes: tuple[str, ...]
    lent: float = 0.7
    reach: int = 3
    num_heads: int = 3
    text_length: int = 64


class Binding(TextObjective[CaptionBatch]):
    """Learns to write, without being told which words are partners, what a rule makes of their tokens.

    Raises:
        InputError: no scene says a word of one of the classes.
    """

    def __init__(self, config: BindingConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        tokenizer = Tokenizer(config.model / "tokenizer", length=config.text_length)
        self._tokens = CaptionTokens(tokenizer)
        self._classes = [_single_tokens(tokenizer, words) for words in config.classes]
        given = cast(UMT5Encoder, load_part(config.model / "text_encoder", "text_encoder", torch.float32))
        self.text_encoder = given.with_more_heads(config.num_heads, torch.Generator().manual_seed(seed))
        self._given = [given.requires_grad_(False)]  # in a list, since it is not trained, nor kept
        ids, is_token = self._tokens.of(config.scenes)
        for of_class, words in zip(self._classes, config.classes, strict=True):
            if not torch.isin(ids, of_class).any():
                raise InputError(
                    f"No scene says one of these words: {', '.join(sorted(words)[:5])}, …",
                    why="what a class of words has in common is known from captions that say them",
                    fix="give captions of such scenes, and a model whose tokenizer has the words whole",
                )
        with torch.no_grad():
            self._own = self._said_by_words(ids, given(ids, is_token))
            self._lend(ids, is_token)

    def _said_by_words(
        self, ids: Int[Tensor, "b l"], text: Float[Tensor, "b l e"]
    ) -> Float[Tensor, "words e"]:
        """What tells each word from others of its class, on average; zero for all others."""
        own = text.new_zeros(self.text_encoder.config.vocab_size, text.shape[-1])
        for of_class in self._classes:
            shared = text[torch.isin(ids, of_class)].mean(0)
            for word in of_class[torch.isin(of_class, ids)]:
                own[word] = text[ids == word].mean(0) - shared
        return own

    def _lend(self, ids: Int[Tensor, "b l"], is_token: Bool[Tensor, "b l"]) -> None:
        """Have the new heads of the last layer lend, to begin with.

        What each place should borrow is read from what comes into the layer at the places beside it, by least
        squares, as far as one head for each of them can carry it. So it is learned at once that an English
        kind borrows from the word before, and an Arabic one from the word after.
        """
        encoder = self.text_encoder.encoder
        layer = cast(TextBlock, encoder.block[-1])
        attention = cast(AttentionLayer, layer.layer[0]).SelfAttention
        seen: list[Tensor] = []
        hooks = [
            attention.register_forward_pre_hook(lambda module, given: seen.append(given[0])),
            encoder.final_layer_norm.register_forward_pre_hook(lambda module, given: seen.append(given[0])),
        ]
        _, lent = self.bound(ids, is_token)
        self.text_encoder(ids, is_token)
        for hook in hooks:
            hook.remove()
        read, last = seen
        # What is written here goes through the norm after the layer.
        wanted = lent / encoder.final_layer_norm.weight * last.square().mean(-1, keepdim=True).sqrt()
        width, heads = self.text_encoder.config.d_kv, range(-self.config.num_heads, 0)
        read = read * is_token[..., None]
        steps = itertools.islice(itertools.cycle(NEIGHBOURS), len(heads))
        beside = torch.cat([_moved(read, step) for step in steps], -1)[is_token]
        wanted = wanted[is_token]
        square = beside.T @ beside
        ridge = _RIDGE * square.diagonal().mean() * torch.eye(len(square))
        readings = torch.linalg.solve(square + ridge, beside.T @ wanted).chunk(len(heads))
        for head, reading in zip(heads, readings, strict=True):
            u, sizes, vh = torch.linalg.svd(reading)
            rows = slice(head * width, (head + 1) * width or None)
            attention.v.weight[rows] = (u[:, :width] * sizes[:width].sqrt()).T
            attention.o.weight[:, rows] = (vh[:width] * sizes[:width, None].sqrt()).T
            attention.q.weight[rows] = 0  # which neighbour it is depends on the place alone

    def partners(self, ids: Int[Tensor, "b l"]) -> Int[Tensor, "n 3"]:
        """Row, and the places of a colour and of the kind that it goes with: the nearest that is free."""
        found = []
        in_class = [torch.isin(ids, of_class).tolist() for of_class in self._classes]
        for row, (is_colour, is_kind) in enumerate(zip(*in_class, strict=True)):
            taken: set[int] = set()
            for first in range(len(is_colour)):
                for second in range(first + 1, min(first + 1 + self.config.reach, len(is_colour))):
                    if taken & {first, second}:
                        continue
                    if is_colour[first] and is_kind[second]:
                        found.append((row, first, second))
                    elif is_kind[first] and is_colour[second]:
                        found.append((row, second, first))
                    else:
                        continue
                    taken |= {first, second}
        return torch.tensor(found, dtype=torch.int64).reshape(-1, 3)

    @torch.no_grad()
    def bound(
        self, ids: Int[Tensor, "b l"], is_token: Bool[Tensor, "b l"]
    ) -> tuple[Float[Tensor, "b l e"], Float[Tensor, "b l e"]]:
        """What the given encoder writes, and what partners add to each other's tokens.

        Tokens stay as long as they are: the norm at the end of an encoder would see to it anyway.
        """
        device = self.text_encoder.shared.weight.device
        text = self._given[0].to(device)(ids.to(device), is_token.to(device))
        rows, colours, kinds = self.partners(ids).unbind(1)
        lent = torch.zeros_like(text)
        own = self.config.lent * self._own
        lent[rows, kinds] = own[ids[rows, colours]].to(device)
        lent[rows, colours] = own[ids[rows, kinds]].to(device)
        told = text + lent
        told = told * text.norm(dim=-1, keepdim=True) / told.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        lent = torch.where(lent.any(dim=-1, keepdim=True), told - text, 0.0)
        return text, lent

    def forward(self, batch: CaptionBatch, chance: Chance) -> Score:
        """See `Objective`: the share of what is lent that is missed, and of the rest that is changed."""
        ids, is_token = self._tokens.of(batch.captions)
        given, lent = self.bound(ids, is_token)
        is_token, count = is_token.to(given.device), float(len(batch.captions))
        written = self.text_encoder(ids.to(given.device), is_token)
        errors, is_lent = (written - given - lent).square().sum(-1), lent.any(dim=-1)
        is_rest = is_token & ~is_lent
        rest = given[is_rest]
        missed = errors[is_lent].sum() / lent.square().sum().clamp(min=1e-6)
        changed = errors[is_rest].sum() / (rest - rest.mean(0)).square().sum()
        return Score(
            total=(missed + REST_WEIGHT * changed) * count,
            count=count,
            parts={"missed": missed.detach() * count, "changed": changed.detach() * count},
        )

    def to_device(self, batch: CaptionBatch, device: torch.device) -> CaptionBatch:
        """See `Objective`."""
        return batch

    def export(self, folder: Path, weights: Mapping[str, Tensor], batches: Iterator[CaptionBatch]) -> None:
        """The checkpoint with the encoder that learned."""
        given, learned = open_checkpoint(self.config.model), inside(weights, "text_encoder")
        save_with_text_encoder(
            folder, given, self.text_encoder.config, learned, self.config.model / "tokenizer"
        )

    def preview(self, model: Path, out: Path, device: torch.device) -> list[Path]:
        """Nothing: how much it misses is in the log."""
        return []


def _single_tokens(tokenizer: Tokenizer, words: frozenset[str]) -> Int[Tensor, "n"]:
    found = tokenizer.encode(sorted(words))
    is_whole = found.is_token.sum(1) == 2  # the word and the end
    return found.token_ids[is_whole, 0].unique()


def _moved(x: Float[Tensor, "b l d"], step: int) -> Float[Tensor, "b l d"]:
    """At each place what stands so many places on; zeros beyond the ends."""
    moved = torch.zeros_like(x)
    if step > 0:
        moved[:, :-step] = x[:, step:]
    else:
        moved[:, -step:] = x[:, :step]
    return moved
