"""Captions as batches of token numbers, tokenized once where they come again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from khayal.checkpoint.tokenizer import Tokenizer

MOST_REMEMBERED = 1 << 16
"""Captions, about 25 MB: captions that are worded anew each time would fill the memory of a long run."""


class CaptionTokens:
    """Remembers the tokens of the captions that it has seen; of very many, it begins anew."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._numbers: dict[str, np.ndarray] = {}

    def of(self, captions: Sequence[str]) -> tuple[Int[Tensor, "n l"], Bool[Tensor, "n l"]]:
        """Their tokens, as long as the longest of them, and which of these places are tokens."""
        if len(self._numbers) > MOST_REMEMBERED:
            self._numbers.clear()
        unknown = sorted({caption for caption in captions if caption not in self._numbers})
        if unknown:
            found = self._tokenizer.encode(unknown)
            counts = found.is_token.sum(1).tolist()
            for caption, numbers, count in zip(unknown, found.token_ids.numpy(), counts, strict=True):
                self._numbers[caption] = numbers[:count].copy()
        tokens = [self._numbers[caption] for caption in captions]
        ids = np.zeros((len(tokens), max(map(len, tokens))), dtype=np.int64)
        is_token = np.zeros(ids.shape, dtype=bool)
        for row, numbers in enumerate(tokens):
            ids[row, : len(numbers)] = numbers
            is_token[row, : len(numbers)] = True
        return torch.from_numpy(ids), torch.from_numpy(is_token)
