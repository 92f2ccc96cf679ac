"""Captions as batches of token numbers; each caption is tokenized once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from khayal.checkpoint.tokenizer import Tokenizer


class CaptionTokens:
    """Remembers the tokens of every caption that it has seen."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._numbers: dict[str, list[int]] = {}

    def of(self, captions: Sequence[str]) -> tuple[Int[Tensor, "n l"], Bool[Tensor, "n l"]]:
        """Their tokens, as long as the longest of them, and which of these places are tokens."""
        tokens = [self._of_one(caption) for caption in captions]
        longest = max(map(len, tokens))
        ids = torch.zeros(len(tokens), longest, dtype=torch.int64)
        is_token = torch.zeros(len(tokens), longest, dtype=torch.bool)
        for row, numbers in enumerate(tokens):
            ids[row, : len(numbers)] = torch.tensor(numbers)
            is_token[row, : len(numbers)] = True
        return ids, is_token

    def _of_one(self, caption: str) -> list[int]:
        if caption not in self._numbers:
            tokens = self._tokenizer.encode([caption])
            self._numbers[caption] = tokens.token_ids[0, : int(tokens.is_token.sum())].tolist()
        return self._numbers[caption]
