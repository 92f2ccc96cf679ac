"""Prompts → token numbers, from the `tokenizer/` of a checkpoint folder."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ftfy
import torch
from jaxtyping import Bool, Int
from tokenizers import Tokenizer as TokenizerModel
from torch import Tensor

from khayal.checkpoint.configs import read_json
from khayal.errors import CheckpointError

WAN_TEXT_LENGTH = 512
_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|[\u064b-\u0652])+")


def clean(prompt: str) -> str:
    """A prompt as the Wan models were given it: mended encoding, no HTML entities, single spaces.

    Entities are resolved twice, because captions from the web are often escaped twice.
    """
    mended = html.unescape(html.unescape(ftfy.fix_text(prompt)))
    return re.sub(r"\s+", " ", mended).strip()


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """A batch of prompts, padded to one length.

    Attributes:
        token_ids: each prompt's tokens with the end token, then padding.
        is_token: False on padding.
        num_dropped: tokens that did not fit, for each prompt.
    """

    token_ids: Int[Tensor, "b l"]
    is_token: Bool[Tensor, "b l"]
    num_dropped: tuple[int, ...]


class Tokenizer:
    """The tokenizer of a checkpoint.

    Args:
        folder: the `tokenizer/` folder.
        length: tokens that the transformer reads; longer prompts lose their end, and `Tokens` says so.

    Raises:
        CheckpointError: where there is no usable tokenizer.json.
    """

    def __init__(self, folder: Path, *, length: int = WAN_TEXT_LENGTH) -> None:
        self.length = length
        self._model = _open_model(folder)
        self._model.no_padding()
        self._model.enable_truncation(length)
        names = _special_names(folder)
        self.pad_id = self._special_id(folder, names["pad_token"])
        self.end_id = self._special_id(folder, names["eos_token"])
        if self._model.encode("").ids != [self.end_id]:
            raise CheckpointError(
                f"The tokenizer in {folder} does not end a prompt with {names['eos_token']}",
                why="its post-processor is not T5's, so the encoder would see prompts it was not trained on",
                fix="save it again with the class T5TokenizerFast of transformers",
            )

    @property
    def num_ids(self) -> int:
        """All token numbers are below this."""
        return max(self._model.get_vocab(with_added_tokens=True).values()) + 1

    def encode(self, prompts: Sequence[str]) -> Tokens:
        """Clean the prompts and turn them into token numbers, padded to `length`."""
        encodings = self._model.encode_batch([clean(prompt) for prompt in prompts])
        token_ids = torch.full((len(encodings), self.length), self.pad_id)
        is_token = torch.zeros(token_ids.shape, dtype=torch.bool)
        for row, encoding in enumerate(encodings):
            token_ids[row, : len(encoding.ids)] = torch.tensor(encoding.ids)
            is_token[row, : len(encoding.ids)] = True
        dropped = tuple(sum(_num_words(rest) for rest in encoding.overflowing) for encoding in encodings)
        return Tokens(token_ids=token_ids, is_token=is_token, num_dropped=dropped)

    def words(self, text: str) -> list[tuple[str, tuple[str, ...]]]:
        """The words of a text as they stand there, each with the pieces that this tokenizer cuts it into.

        Numbers, punctuation and single letters are left out.
        """
        found = []
        for word in _WORD.findall(clean(text)):
            model = self._model
            normal = model.normalizer.normalize_str(word) if model.normalizer else word
            pieces = model.pre_tokenizer.pre_tokenize_str(normal) if model.pre_tokenizer else [(normal, None)]
            found.append((word, tuple(piece for piece, _ in pieces)))
        return found

    def _special_id(self, folder: Path, name: str) -> int:
        number = self._model.token_to_id(name)
        if number is None:
            raise CheckpointError(
                f"The tokenizer in {folder} has no token {name}", why="its tokenizer_config.json names it"
            )
        return int(number)


def _num_words(encoding: object) -> int:
    """Tokens of a piece without the end token, which every piece carries again."""
    mask: list[int] = encoding.special_tokens_mask  # type: ignore[attr-defined]
    return mask.count(0)


def _open_model(folder: Path) -> TokenizerModel:
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise CheckpointError(
            f"There is no tokenizer.json in {folder}",
            why="khayal reads the tokenizers format only" if (folder / "spiece.model").is_file() else "",
            fix='make one with transformers installed: python -c "from transformers import T5TokenizerFast; '
            f"T5TokenizerFast.from_pretrained('{folder}').save_pretrained('{folder}')\"",
        )
    try:
        return TokenizerModel.from_file(str(path))
    except Exception as error:  # the library raises nothing more precise
        raise CheckpointError(
            f"{path} cannot be read", why=str(error), fix="download the tokenizer again"
        ) from error


def _special_names(folder: Path) -> dict[str, str]:
    """The names of the padding and end tokens; a name is a string, or an object with a `content`."""
    names = {"pad_token": "<pad>", "eos_token": "</s>"}
    path = folder / "tokenizer_config.json"
    if path.is_file():
        settings = read_json(path)
        for key in names:
            name = settings.get(key) or names[key]
            name = name.get("content") if isinstance(name, dict) else name
            if not isinstance(name, str):
                raise CheckpointError(f"In {path}, “{key}” names no token")
            names[key] = name
    return names
