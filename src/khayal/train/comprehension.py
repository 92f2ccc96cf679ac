"""A text encoder that learns to read before there is a picture: captions in, what their clips show out.

In a picture the words of a caption are a faint signal: a wrong colour costs two parts in a hundred of the
loss, and only at noise levels near one. The truth of a world says the same without noise, so the encoder
learns its language from that, in minutes, and the transformer has only to learn what it looks like.

It is asked as a transformer asks: what is known of the actor of each colour is read by one attention over
the tokens, as a place in the picture that is red will attend to what is said of the red one. So the word for
a kind has to carry whose kind it is. What is known of the whole scene is read from the mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from khayal.checkpoint.tokenizer import Tokenizer
from khayal.errors import InputError
from khayal.model.probe import ProbeConfig, ProbeLabels
from khayal.model.text import UMT5Encoder, UMT5EncoderConfig
from khayal.train.caption_tokens import CaptionTokens
from khayal.train.chance import Chance
from khayal.train.denoising import inside
from khayal.train.objective import Objective, Score
from khayal.train.parts import load_part, rebuilt, save_part
from khayal.train.probing import answer_loss, joined, share_right
from khayal.train.shards import ShardReader
from khayal.train.source import Batch, Epochs, Reading

_FOR_WORDS = 61


@dataclass(frozen=True, kw_only=True)
class CaptionBatch:
    """Captions and what they say."""

    captions: tuple[str, ...]
    labels: ProbeLabels


def truths_in(folders: Sequence[Path], most: int | None = None) -> list[Mapping[str, Any]]:
    """What is true of the clips in shards, or of the first of them; a folder that is not there has none.

    Raises:
        InputError: of no clip it is known what is true.
    """
    readers = [ShardReader(folder) for folder in folders if folder.exists()]
    lines = (reader.line(clip) for reader in readers for clip in range(len(reader)))
    truths = list(itertools.islice((line["truth"] for line in lines if "truth" in line), most))
    if not truths:
        raise InputError(
            f"Nothing can be read from the clips in “{folders[0]}”",
            why="no truth stands beside them, which only clips of khayal's world have",
            fix="encode clips of the world: khayal train recipes.embedded:encode",
        )
    return truths


def worn(ids: Int[Tensor, "b l"], share: float, num_ids: int, chance: Chance) -> Int[Tensor, "b l"]:
    """Tokens of captions with some of them replaced by any others."""
    rows = [chance.dice(_FOR_WORDS, row) for row in chance.rows]
    is_odd = torch.tensor(np.stack([dice.random(ids.shape[1]) for dice in rows]))
    other = torch.tensor(np.stack([dice.integers(3, num_ids, ids.shape[1]) for dice in rows]))
    return torch.where(is_odd < share, other, ids)


class LabelledCaptions:
    """Captions of clips whose truth stands in shards, worded anew each time: a Source.

    Args:
        folders: of shards; one that is not there has none.
        tell: gives a way to caption a clip, from its truth, with the labels of what the caption says.
        times: how often a clip comes in an epoch, from its truth.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        tell: Callable[[Mapping[str, Any]], Callable[[np.random.Generator], tuple[str, ProbeLabels]]],
        times: Callable[[Mapping[str, Any]], int] = lambda truth: 1,
    ) -> None:
        truths = truths_in(folders)
        self._tellers = [tell(truth) for truth in truths for _ in range(times(truth))]

    def __len__(self) -> int:
        return len(self._tellers)

    def batches(self, reading: Reading) -> Iterator[CaptionBatch]:
        """See `Source`."""
        order = Epochs(len(self), reading.seed)
        for step in itertools.count(reading.start):
            clips = order.batch(step, reading.batch_size, reading.rows)
            told = [
                self._tellers[clip](np.random.default_rng([reading.seed, step, row, 29]))
                for clip, row in zip(clips, reading.rows, strict=True)
            ]
            captions, labels = zip(*told, strict=True)
            yield CaptionBatch(captions=captions, labels=joined(labels))


@dataclass(frozen=True, kw_only=True)
class ComprehensionConfig:
    """What is trained, and what is asked of it.

    Attributes:
        text_encoder: the folder of a text encoder that stays as it is, so that what can be read from it is
            measured; None where it learns.
        names: what there is to say, in the order of the labels.
        replaced_share: tokens that are replaced by any others, so that a word which was never met does not
            hide the rest.
        text_length: tokens of a caption that are read.
    """

    text: UMT5EncoderConfig
    tokenizer: Path
    names: ProbeConfig
    text_encoder: Path | None = None
    replaced_share: float = 0.04
    text_length: int = 96


class TextObjective(Objective[Batch]):
    """Trains a text encoder; a subclass sets `text_encoder`."""

    text_encoder: UMT5Encoder

    def dtype_of(self, key: str, dtype: torch.dtype) -> torch.dtype:
        """All in float32: it is small."""
        return torch.float32

    def blocks(self) -> Sequence[nn.Module]:
        """See `Objective`."""
        return list(self.text_encoder.encoder.block)

    def is_matrix(self, key: str) -> bool:
        """The layers inside the blocks."""
        return ".block." in key and "norm" not in key and "relative_attention" not in key


class Comprehension(TextObjective[CaptionBatch]):
    """Learns to say what captions tell, from fresh weights; or says how much of it an encoder tells."""

    def __init__(self, config: ComprehensionConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        if config.text_encoder is None:
            self.text_encoder = UMT5Encoder(config.text)
            self.text_encoder.initialise(torch.Generator().manual_seed(seed))
            self.text_encoder.read_neighbours()
        else:
            given = load_part(config.text_encoder, "text_encoder", torch.float32)
            self.text_encoder = cast(UMT5Encoder, given)
        self._nobody = len(config.names.kinds)
        names, width = config.names, self.text_encoder.config.d_model
        self._for_actors = [len(names.kinds) + 1, len(names.motions) + 1, len(names.directions) + 1]
        self._for_scenes = [len(names.settings), len(names.lights), len(names.moves)]
        with torch.random.fork_rng(devices=[]):  # the layers draw their own weights
            torch.manual_seed(seed)
            self.asking = nn.Linear(width, len(names.colours), bias=False)
            self.answering = nn.Linear(width, width)
            # Not from zeros: until they have grown nothing tells the encoder what to write. From zeros, 400
            # steps taught it less than 80 do so.
            self.of_actors = nn.Linear(width, sum(self._for_actors))
            self.of_scenes = nn.Linear(width, sum(self._for_scenes))
        self._tokens = CaptionTokens(Tokenizer(config.tokenizer, length=config.text_length))

    def forward(self, batch: CaptionBatch, chance: Chance) -> Score:
        """See `Objective`."""
        ids, is_token = self._tokens.of(batch.captions)
        device = self.of_scenes.weight.device
        ids = worn(ids, self.config.replaced_share, self.text_encoder.config.vocab_size, chance)
        is_token = is_token.to(device)
        text = self.text_encoder(ids.to(device), is_token)
        labels, count = batch.labels, float(len(batch.captions))
        truths = (
            labels.kinds,
            labels.motions,
            labels.directions,
            labels.settings,
            labels.lights,
            labels.moves,
        )
        terms, parts = [], {}
        for name, logits, truth in zip(_NAMES, self._told(text, is_token), truths, strict=True):
            logits, truth = logits.flatten(0, -2), truth.flatten()
            terms.append(answer_loss(logits, truth))
            is_asked = (truth >= 0) & (truth < logits.shape[-1] - (name in _FOR_ACTORS))
            if name == "kind":  # most colours have nobody, and that is soon learned
                terms.append(answer_loss(logits, torch.where(is_asked, truth, -1)))
            parts[f"{name}_right"] = share_right(logits, truth, is_asked) * count
            if name == "kind":
                among = is_asked & is_among_others(labels.kinds, self._nobody).flatten()
                parts["kind_among_others_right"] = share_right(logits, truth, among) * count
        return Score(total=torch.stack(terms).sum() * count, count=count, parts=parts)

    def _told(self, text: Float[Tensor, "b l e"], is_token: Bool[Tensor, "b l"]) -> list[Tensor]:
        """Kinds, motions and directions of the actor of each colour, then setting, light and camera move."""
        asked = self.asking(text).transpose(1, 2).masked_fill(~is_token[:, None], -torch.inf)
        heard = asked.softmax(-1) @ self.answering(text)
        mean = text.sum(1) / is_token.sum(1, keepdim=True).to(text)
        actors = self.of_actors(heard).split(self._for_actors, dim=-1)
        return [*actors, *self.of_scenes(mean).split(self._for_scenes, dim=-1)]

    def to_device(self, batch: CaptionBatch, device: torch.device) -> CaptionBatch:
        """See `Objective`."""
        names = [field.name for field in fields(ProbeLabels)]
        labels = ProbeLabels(**{name: getattr(batch.labels, name).to(device) for name in names})
        return CaptionBatch(captions=batch.captions, labels=labels)

    def export(self, folder: Path, weights: Mapping[str, Tensor], batches: Iterator[CaptionBatch]) -> None:
        """The encoder alone, as in a checkpoint's text_encoder/."""
        plain = inside(weights, "text_encoder")
        save_part(folder, rebuilt(UMT5Encoder, self.text_encoder.config, plain, torch.float32))

    def exported(self, folder: Path) -> dict[str, Tensor]:
        """The encoder of a checkpoint or of this stage, with answers still to be learned.

        Raises:
            InputError: the encoder is given already, and stays as it is.
        """
        if self.config.text_encoder:
            return super().exported(folder)
        where = folder / "text_encoder" if (folder / "text_encoder").is_dir() else folder
        part = load_part(where, "text_encoder", torch.float32)
        found = {f"text_encoder.{key}": weight.detach() for key, weight in part.named_parameters()}
        return {key: weight.detach() for key, weight in self.named_parameters()} | found

    def preview(self, model: Path, out: Path, device: torch.device) -> list[Path]:
        """Nothing: what it understands is in the log."""
        return []


def is_among_others(kinds: Int[Tensor, "b n"], nobody: int) -> Bool[Tensor, "b n"]:
    """True for all colours of a caption that names several kinds, so that it matters which is whose."""
    lowest = kinds.masked_fill(kinds >= nobody, nobody).amin(1)
    highest = kinds.masked_fill(kinds >= nobody, -1).amax(1)
    return (lowest < highest)[:, None].expand_as(kinds)


_NAMES = ("kind", "motion", "direction", "setting", "light", "move")
_FOR_ACTORS = _NAMES[:3]
