"""Flow matching on captioned latents: what every objective with a transformer shares, but for its text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float, Num
from torch import Tensor

from khayal.checkpoint.defaults import Defaults
from khayal.checkpoint.keys import PARTS
from khayal.checkpoint.scheduler import SchedulerConfig
from khayal.data.captions import Passage
from khayal.data.files import fingerprint
from khayal.errors import InputError
from khayal.flow import velocity
from khayal.model.text import UMT5EncoderConfig
from khayal.model.transformer import SpacetimeTransformer, TransformerConfig
from khayal.train.chance import Chance
from khayal.train.loss import (
    Canvases,
    Extent,
    Mixture,
    Table,
    arrange,
    as_timesteps,
    flow_matching_loss,
    noise_canvases,
)
from khayal.train.objective import Objective, Score
from khayal.train.source import LatentBatch, sent

_TRANSFORMER = next(part for part in PARTS if part.module_class is SpacetimeTransformer)
_FOR_NOISE, _FOR_CAPTION, _FOR_WINDOW = 3, 4, 6
_SHARPNESS = 20.0
"""Of what is won by telling captions apart: a difference of a tenth in the squared error is nearly all."""
_WINDOW_PATTERNS = ("prefix", "suffix", "ends")  # the caption is of the whole scene: something must be known
_SHORT_PATTERNS = ("shared", "prefix", "suffix", "ends", "middle", "independent", "images")


@dataclass(frozen=True, kw_only=True)
class TextToVideoConfig:
    """What is trained, and on which mixture.

    Attributes:
        tokenizer: the folder of the tokenizer.
        autoencoder: the folder of the autoencoder that made the latents; it goes into the exported model.
        text_length: tokens of a caption that the transformer reads.
        caption_weights: how often each kind of caption is drawn, by name; 1 where it is not named.
        caption_dropout: how often the caption is left empty, for guidance.
        short_share: share of the run that learns from pieces of clips.
        short_columns: latent frames of such a piece.
        window_columns: latent frames that the model makes at once. Of a clip that has more, a scene that goes
            on, it sees a window of which something is known, and half of the time what stands long before
            it too, as in a long video. None where all clips are as long as what is made.
        focus_weight: how much more than the rest of the picture what a clip is about counts in the loss at
            first, where the data says where that is. It falls to nothing over the run, since weights
            that depend on the clip bend the prediction while much is still open.
        contrast_weight: how much it counts that a clip's own caption must tell more of it than one that is
            nearly true, where the data has such a one (a passage of the kind "other").
        text_encoder: the folder of a text encoder that has learned already, and stays as it is; None where
            it learns too.
        scheduler, defaults: how the exported model is sampled when nobody says otherwise.
        prompts: what previews show.

    Raises:
        InputError: a window of which nothing could be known.
    """

    transformer: TransformerConfig
    text: UMT5EncoderConfig
    tokenizer: Path
    autoencoder: Path
    defaults: Defaults
    mixture: Mixture = field(default_factory=Mixture)
    caption_weights: Mapping[str, float] = field(default_factory=dict)
    caption_dropout: float = 0.1
    short_share: float = 0.25
    short_columns: int = 4
    window_columns: int | None = None
    focus_weight: float = 0.0
    contrast_weight: float = 0.0
    text_encoder: Path | None = None
    scheduler: SchedulerConfig = field(default_factory=lambda: SchedulerConfig(flow_shift=2.0))
    prompts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.window_columns is not None and self.window_columns < 2:
            raise InputError(
                f"A window of {self.window_columns} latent frames cannot be learned from",
                why="something of it has to be known",
                fix="take 2 or more",
            )

    @property
    def text_length(self) -> int:
        """Tokens of a caption that the transformer reads."""
        return self.defaults.text_length


@dataclass(frozen=True)
class _Drawn:
    """The canvases of one step: what they are, how many each clip makes, and what they are made from."""

    kind: str
    pieces: int
    chance: Chance
    tables: list[Table]
    latents: Float[Tensor, "b c t h w"]
    stills: Float[Tensor, "b c k h w"] | None


class Denoising(Objective[LatentBatch]):
    """Learns the velocity of noised latents from captions; where their text comes from is the subclass's.

    A subclass sets `transformer`, and says in `encode_captions` how captions become text.
    """

    transformer: SpacetimeTransformer

    def __init__(self, config: TextToVideoConfig) -> None:
        super().__init__()
        if config.contrast_weight and dist.is_initialized() and dist.get_world_size() > 1:
            raise InputError(
                "Captions cannot be told apart by several processes",
                why="what has a second caption is predicted twice, and the others would wait for ever",
                fix="train on one device, or with a contrast weight of 0",
            )
        self.config = config
        self._checked = ""

    @abstractmethod
    def encode_captions(self, captions: Sequence[str], batch: LatentBatch) -> Float[Tensor, "n l e"]:
        """Captions to text on the device of the batch, zero after their ends, padded as in sampling."""

    def forward(self, batch: LatentBatch, chance: Chance) -> Score:
        """See `Objective`."""
        self._check(batch)
        if len(batch.passages) != len(chance.rows):  # packs of samples
            chance = chance.split(len(batch.passages) // len(chance.rows))
        focus_weight = self.config.focus_weight * (1 - chance.progress)
        is_focused = batch.focus is not None and focus_weight > 0
        if is_focused:
            batch = with_weights(batch, focus_weight)
        extents = [extent_of(batch, clip) for clip in range(len(batch.passages))]
        drawn = self._draw(batch, extents, chance)
        least_scored = self.config.mixture.levels.least_scored
        canvases = arrange(drawn.tables, drawn.latents, drawn.stills, least_scored=least_scored)
        canvases = canvases.weighed() if is_focused else canvases
        text = self._encode(batch, extents if drawn.kind == "shots" else None, chance)
        noise = drawn.chance.normal(_FOR_NOISE, canvases.clean.shape[1:], canvases.clean.device)
        predicted = self._predict(text, drawn, canvases, noise)
        total = flow_matching_loss(predicted, canvases, noise)
        if self.config.contrast_weight:
            told_apart = torch.zeros((), device=total.device)
            is_alone = canvases.clean.shape[2] == 1 and batch.focus is not None
            if is_alone and all(map(_nearly_true, batch.passages)):
                other = self._encode(batch, None, chance, of=_nearly_true)
                wrong = self._predict(other, drawn, canvases, noise)
                margin = self._margin(predicted, wrong, canvases, noise, batch.focus)
                total = total + self.config.contrast_weight * F.softplus(-_SHARPNESS * margin).sum()
                told_apart = (margin.detach() > 0).sum()
            return Score(total=total, count=canvases.num_scored, parts={"told_apart": told_apart})
        return Score(total=total, count=canvases.num_scored)

    def _predict(
        self,
        text: Float[Tensor, "n s l e"],
        drawn: _Drawn,
        canvases: Canvases,
        noise: Float[Tensor, "b c t h w"],
    ) -> Float[Tensor, "b c t h w"]:
        _, _, t, h, w = canvases.clean.shape
        by_shot = [table.shots for table in drawn.tables if table.shots is not None]
        context = self.transformer.prepare(
            text.repeat_interleave(drawn.pieces, dim=0),
            shots=torch.from_numpy(np.stack(by_shot)) if by_shot else torch.zeros(1, t, dtype=torch.int64),
            positions=canvases.positions,
            size=(h, w),
            keep_text=False,
        )
        predicted: Tensor = self.transformer(
            noise_canvases(canvases, noise), as_timesteps(canvases.sigmas), context
        )
        return predicted

    def _margin(
        self,
        right: Float[Tensor, "b c t h w"],
        wrong: Float[Tensor, "b c t h w"],
        canvases: Canvases,
        noise: Float[Tensor, "b c t h w"],
        focus: Num[Tensor, "b t h w"] | None,
    ) -> Float[Tensor, "b"]:
        """By how much the error is smaller with the right caption, where the actors are.

        In the difference all cancels that the two captions share, which is nearly everything.
        """
        assert focus is not None, "asked only where there is a focus"
        truth = velocity(canvases.clean, noise)
        less = ((wrong - truth).square() - (right - truth).square()).mean(dim=1)
        return (less * focus).sum(dim=(1, 2, 3)) / focus.sum(dim=(1, 2, 3)).clamp(min=1e-3)

    def _check(self, batch: LatentBatch) -> None:
        """Latents of another autoencoder would train in silence, and decode to nothing."""
        if batch.autoencoder == self._checked:
            return
        if batch.autoencoder != fingerprint(self.config.autoencoder):
            raise InputError(
                "The latents do not belong to this model",
                why=f"they were not made by the autoencoder in {self.config.autoencoder}",
                fix="pack the media again with the model that is to be trained: khayal data pack --model",
            )
        self._checked = batch.autoencoder

    def _draw(self, batch: LatentBatch, extents: Sequence[Extent], chance: Chance) -> _Drawn:
        """The canvases of a step. Early in a run most are pieces of clips; images are of all stills."""
        mixture, short = self.config.mixture, self.config.short_columns
        latents, stills, t = batch.latents, batch.stills, batch.latents.shape[2]
        window = self.config.window_columns or t
        is_scene = t > window
        if is_scene:
            dice = chance.dice(_FOR_WINDOW)
            weights = {name: mixture.weights.get(name, 0.0) for name in _WINDOW_PATTERNS}
            length = window
            if dice.random() < 0.5 or not any(weights.values()):
                weights, length = {"anchors": 1.0}, min(t, 2 * window)  # half of it is the window
            first = int(dice.integers(t - length + 1))
            latents, stills, t = latents[:, :, first : first + length], None, length
            extents = [Extent(num_columns=length)] * len(extents)
            mixture = replace(mixture, weights=weights)
        is_early = chance.progress < self.config.short_share and t % short == 0 and t > short and not is_scene
        if is_early:
            weights = {name: mixture.weights.get(name, 0.0) for name in _SHORT_PATTERNS}
            mixture = replace(mixture, weights=weights if sum(weights.values()) else {"shared": 1.0})
        kind, tables = mixture.draw(extents, chance)
        if kind == "images":
            pieces, kinds = len(batch.still_columns) or 1, {"images": 1.0}
        elif is_early:
            pieces, kinds = t // short, {**mixture.weights, "images": 0.0}
        else:
            return _Drawn(kind, 1, chance, tables, latents, stills)
        chance = chance.split(pieces)
        if kind == "images":
            latents = latents.repeat_interleave(pieces, dim=0)
            stills = None if stills is None else stills.repeat_interleave(pieces, dim=0)
            extents = [extent for extent in extents for _ in range(pieces)]
        else:
            latents, stills = latents.unflatten(2, (pieces, short)).transpose(1, 2).flatten(0, 1), None
            extents = [Extent(num_columns=short)] * len(latents)
        tables = replace(mixture, weights=kinds).draw(extents, chance)[1]
        return _Drawn(kind, pieces, chance, tables, latents, stills)

    def _encode(
        self,
        batch: LatentBatch,
        extents: Sequence[Extent] | None,
        chance: Chance,
        of: Callable[[Sequence[Passage]], Sequence[Passage]] = lambda passages: passages,
    ) -> Float[Tensor, "b s l e"]:
        """The text of a step: of one caption for each clip, or of one for each of its shots."""
        num_shots = max((extent.num_shots for extent in extents), default=1) if extents else 1
        captions = []
        for clip, passages in enumerate(batch.passages):
            dice = chance.dice(_FOR_CAPTION, chance.rows.start + clip)
            captions += self._captions(of(passages), num_shots, dice)
        return self.encode_captions(captions, batch).unflatten(0, (-1, num_shots))

    def _captions(self, passages: Sequence[Passage], num_shots: int, dice: np.random.Generator) -> list[str]:
        """One caption of the whole, or one for each shot; all of them empty now and then."""
        if dice.random() < self.config.caption_dropout:
            return [""] * num_shots
        by_shot = [passage for passage in passages if passage.kind == "shot"]
        chosen = by_shot if num_shots > 1 and by_shot else [passages[0]]
        told = [self._pick(passage, dice) for passage in chosen]
        return told + told[-1:] * (num_shots - len(told))

    def _pick(self, passage: Passage, dice: np.random.Generator) -> str:
        names = sorted(passage.texts)
        weights = np.cumsum([self.config.caption_weights.get(name, 1.0) for name in names])
        return passage.texts[names[int(np.searchsorted(weights, dice.random() * weights[-1], side="right"))]]

    def to_device(self, batch: LatentBatch, device: torch.device) -> LatentBatch:
        """See `Objective`."""
        latents = sent(batch.latents, device).float()
        stills = None if batch.stills is None else sent(batch.stills, device).float()
        focus = None if batch.focus is None else sent(batch.focus, device)
        if focus is not None and not focus.is_floating_point():
            focus = focus.float() / 255
        return replace(batch, latents=latents, stills=stills, focus=focus)

    def dtype_of(self, key: str, dtype: torch.dtype) -> torch.dtype:
        """The transformer computes as it is loaded for sampling; a small text encoder in float32."""
        module, _, name = key.partition(".")
        return _TRANSFORMER.dtype_of(name, dtype) if module == "transformer" else torch.float32

    def is_matrix(self, key: str) -> bool:
        """The layers inside the blocks; not embeddings, norms, tables and the last layer."""
        inside = ".blocks." in key or ".block." in key
        return inside and key.endswith(".weight") and "norm" not in key and "relative_attention" not in key


def _nearly_true(passages: Sequence[Passage]) -> list[Passage]:
    return [passage for passage in passages if passage.kind == "other"]


def extent_of(batch: LatentBatch, clip: int) -> Extent:
    """What there is to draw from in a clip: a column belongs to the shot of most of its frames."""
    edges = np.cumsum((0, *batch.frames_per_column))
    cuts = [passage for passage in batch.passages[clip] if passage.kind == "shot"]
    of_column = []
    for start, end in pairwise(edges):
        shared = [min(end, shot.end) - max(start, shot.start) for shot in cuts]
        of_column.append(int(np.argmax(shared)) if shared else 0)
    return Extent(
        num_columns=batch.latents.shape[2],
        still_columns=batch.still_columns,
        shot_of_column=tuple(of_column),
    )


def with_weights(batch: LatentBatch, focus_weight: float) -> LatentBatch:
    """The batch with one channel more: how much each place counts, on average 1 over each clip."""
    assert batch.focus is not None, "asked only where there is a focus"
    weights = 1 + focus_weight * batch.focus
    weights = (weights / weights.mean(dim=(1, 2, 3), keepdim=True))[:, None]
    stills = batch.stills
    if stills is not None:
        stills = torch.cat((stills, weights[:, :, list(batch.still_columns)]), dim=1)
    return replace(batch, latents=torch.cat((batch.latents, weights), dim=1), stills=stills)


def inside(weights: Mapping[str, Tensor], module: str) -> dict[str, Tensor]:
    """The weights of one submodule, by their names in it."""
    start = module + "."
    return {key.removeprefix(start): value for key, value in weights.items() if key.startswith(start)}
