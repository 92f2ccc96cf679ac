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
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from khayal.checkpoint.tokenizer import Tokenizer
from khayal.errors import InputError
from khayal.model.text import UMT5Encoder
from khayal.train.caption_tokens import CaptionTokens
from khayal.train.chance import Chance
from khayal.train.comprehension import TextObjective, worn
from khayal.train.denoising import inside
from khayal.train.hearing import Hearing, HearingConfig, save_with_text_encoder
from khayal.train.objective import Score
from khayal.train.parts import load_part
from khayal.train.source import Epochs, Reading
from khayal.train.text_to_video import preview_prompts

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
        hearing: the checkpoint whose transformer reads the text; scenes are in the teacher's wording.
        tokenizer: the folder of the tokenizer, whose first tokens are the model's own.
        text_length: tokens of a caption that the new model reads.
        words: all words that it will know.
        num_queries: of the transformer, in each step.
        replaced_share: tokens that are replaced by any others.
        prompts: what previews show.
    """

    hearing: HearingConfig
    tokenizer: Path
    text_length: int
    words: tuple[str, ...]
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
        learned = load_part(config.hearing.model / "text_encoder", "text_encoder", torch.float32)
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
        hearing = Hearing(config.hearing, longest=2 * config.text_length, seed=seed)
        self._hearing = [hearing]  # in a list, since it is not trained, nor kept

    def forward(self, batch: Wordings, chance: Chance) -> Score:
        """See `Objective`. The loss is the share of what the teacher's text does that is not done yet."""
        device = self.text_encoder.shared.weight.device
        hearing = self._hearing[0].to(device)
        queries = hearing.some(self.config.num_queries, chance.dice(_FOR_QUERIES))
        ids, is_token = self._tokens.of(batch.said)
        ids = worn(ids, self.config.replaced_share, self.text_encoder.config.vocab_size, chance)
        text = self.text_encoder(ids.to(device), is_token.to(device))
        text = F.pad(text, (0, 0, 0, self.config.text_length - ids.shape[1]))
        total = hearing.missed(text, batch.meant, queries).sum()
        return Score(total=total, count=float(len(batch.said)))

    def to_device(self, batch: Wordings, device: torch.device) -> Wordings:
        """See `Objective`."""
        return batch

    def export(self, folder: Path, weights: Mapping[str, Tensor], batches: Iterator[Wordings]) -> None:
        """The checkpoint with another text encoder, and with the words that it knows now."""
        save_with_text_encoder(
            folder,
            self._hearing[0].checkpoint,
            self.text_encoder.config,
            inside(weights, "text_encoder"),
            self.config.tokenizer,
            text_length=self.config.text_length,
            words=self.config.words,
        )

    def exported(self, folder: Path) -> dict[str, Tensor]:
        """The text encoder of a checkpoint that this stage made."""
        part = load_part(folder / "text_encoder", "text_encoder", torch.float32)
        return {f"text_encoder.{key}": weight.detach() for key, weight in part.named_parameters()}

    def preview(self, model: Path, out: Path, device: torch.device) -> list[Path]:
        """The prompts as users would see them."""
        return preview_prompts(self.config.prompts, model, out, device)
