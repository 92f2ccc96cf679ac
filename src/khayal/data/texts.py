"""Encoded captions on disk, for training with a frozen text encoder: each caption once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from khayal.data.files import claim, fingerprint, read_json, write_whole
from khayal.errors import InputError

if TYPE_CHECKING:
    from khayal.checkpoint.contents import Checkpoint

FILE_BYTES = 128_000_000
_MANIFEST = "texts.json"
_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class TextStore:
    """A folder of encoded captions, found by the caption itself.

    It holds no open file, so that a batch that refers to it can be saved.

    Attributes:
        folder: `text/` beside the shards.
    """

    folder: Path

    @cached_property
    def encoder(self) -> str:
        """The fingerprint of the text encoder; empty where nothing was encoded."""
        manifest = self.folder / _MANIFEST
        return str(read_json(manifest)["encoder"]) if manifest.exists() else ""

    @cached_property
    def _homes(self) -> dict[str, Path]:
        homes: dict[str, Path] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                with safe_open(path, framework="pt") as file:
                    homes |= dict.fromkeys(file.keys(), path)
            except (SafetensorError, OSError) as error:
                raise InputError(
                    f"“{path}” cannot be read", why=str(error), fix="delete it and run khayal data pack again"
                ) from error
        return homes

    def missing(self, captions: Iterable[str]) -> list[str]:
        """Those that are not there, each once, in the order in which they come."""
        return [caption for caption in dict.fromkeys(captions) if _key(caption) not in self._homes]

    def read(self, caption: str) -> Float[Tensor, "l e"]:
        """The tokens of a caption as the text encoder gave them, without padding.

        Raises:
            InputError: it is not there.
        """
        key = _key(caption)
        if key not in self._homes:
            raise InputError(
                f"The caption “{caption[:60]}” is not encoded in “{self.folder}”",
                fix="run the same khayal data pack again, with --text",
            )
        with safe_open(self._homes[key], framework="pt") as file:
            tokens: Tensor = file.get_tensor(key)
            return tokens


def encode_texts(
    store: TextStore,
    captions: Iterable[str],
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
) -> Iterator[tuple[int, int]]:
    """Encode what is missing of some captions, and the empty one, which guidance needs.

    Yields:
        After each batch: how many captions are there, and how many of the batch are longer than is read.

    Raises:
        InputError: the folder was begun with another text encoder.
    """
    claim(store.folder / _MANIFEST, {"encoder": fingerprint(checkpoint.path / "text_encoder")})
    wanted = dict.fromkeys(["", *captions])
    missing = store.missing(wanted)
    if not missing:
        return
    tokenizer, encoder = checkpoint.tokenizer(), checkpoint.load_text_encoder(device, dtype)
    done: dict[str, Tensor] = {}
    number = len(list(store.folder.glob("*.safetensors")))
    for start in range(0, len(missing), _AT_ONCE):
        batch = missing[start : start + _AT_ONCE]
        tokens = tokenizer.encode(batch)
        with torch.inference_mode():
            text = encoder(tokens.token_ids.to(device), tokens.is_token.to(device)).cpu()
        for caption, row, length in zip(batch, text, tokens.is_token.sum(1).tolist(), strict=True):
            done[_key(caption)] = row[:length].clone()
        num_done = len(wanted) - len(missing) + start + len(batch)
        yield num_done, sum(dropped > 0 for dropped in tokens.num_dropped)
        is_last = start + _AT_ONCE >= len(missing)
        if is_last or sum(tensor.nbytes for tensor in done.values()) >= FILE_BYTES:
            write_whole(store.folder / f"text-{number:06d}.safetensors", save(done))
            done, number = {}, number + 1


def padded(texts: Sequence[Float[Tensor, "_ e"]], length: int) -> Float[Tensor, "n l e"]:
    """Texts in one tensor, zero after their ends, as transformers read them."""
    whole = texts[0].new_zeros(len(texts), length, texts[0].shape[1])
    for row, text in zip(whole, texts, strict=True):
        row[: len(text)] = text
    return whole


def _key(caption: str) -> str:
    return hashlib.sha256(caption.encode()).hexdigest()[:32]
