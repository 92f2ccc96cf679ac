"""The probe that scores: clips in, what they show out, learned from the world's truth."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from khayal.model.probe import Probe, ProbeConfig, ProbeLabels, ProbeReading, resized
from khayal.train.chance import Chance
from khayal.train.objective import Objective, Score
from khayal.train.shards import ShardReader
from khayal.train.source import Epochs, Reading

_FOR_LOOKS, _FOR_GRAIN = 51, 52
IN_HALF_PRECISION = ("stem", "fine", "down", "deep", "up", "last", "norm", "where", "what", "around")
"""The parts that take the time."""


@dataclass(frozen=True, kw_only=True)
class ProbeBatch:
    """Clips in [-1, 1] and what they show."""

    frames: Float[Tensor, "b 3 f h w"]
    labels: ProbeLabels


class LabelledClips:
    """Clips from a folder that was kept with their truth, half of them mirrored: a Source.

    Args:
        label: gives the labels of one clip from its truth, as a batch of one.
        times: how often a clip comes in an epoch, from its truth.
        frames: which of its frames are read.
    """

    def __init__(
        self,
        folder: Path,
        config: ProbeConfig,
        label: Callable[[Mapping[str, Any]], ProbeLabels],
        times: Callable[[Mapping[str, Any]], int] = lambda truth: 1,
        frames: slice = slice(None),
    ) -> None:
        self._reader, self._config, self._frames = ShardReader(folder), config, frames
        truths = [self._reader.line(clip)["truth"] for clip in range(len(self._reader))]
        self._labels = joined([label(truth) for truth in truths])
        self._places = [clip for clip, truth in enumerate(truths) for _ in range(times(truth))]

    def __len__(self) -> int:
        return len(self._places)

    def batches(self, reading: Reading) -> Iterator[ProbeBatch]:
        """See `Source`."""
        order = Epochs(2 * len(self), reading.seed)
        for step in itertools.count(reading.start):
            places = order.batch(step, reading.batch_size, reading.rows)
            clips = [self._places[place // 2] for place in places]
            frames = self._reader.read("frames", clips)[:, self._frames]
            batch = ProbeBatch(
                frames=frames.permute(0, 4, 1, 2, 3).float() / 127.5 - 1,
                labels=chosen(self._labels, torch.tensor(clips)),
            )
            is_mirrored = torch.tensor([place % 2 == 1 for place in places])
            yield mirrored(batch, is_mirrored, self._config)


def moved(batch: ProbeBatch, device: torch.device) -> ProbeBatch:
    """The batch on a device."""
    names = [field.name for field in fields(ProbeLabels)]
    labels = ProbeLabels(**{name: getattr(batch.labels, name).to(device) for name in names})
    return ProbeBatch(frames=batch.frames.to(device, non_blocking=True), labels=labels)


def joined(labels: Sequence[ProbeLabels]) -> ProbeLabels:
    """Batches of labels, one after the other."""
    names = [field.name for field in fields(ProbeLabels)]
    return ProbeLabels(**{name: torch.cat([getattr(one, name) for one in labels]) for name in names})


def chosen(labels: ProbeLabels, rows: Tensor) -> ProbeLabels:
    """Some rows of a batch of labels."""
    return ProbeLabels(**{field.name: getattr(labels, field.name)[rows] for field in fields(labels)})


def mirrored(batch: ProbeBatch, is_mirrored: Tensor, config: ProbeConfig) -> ProbeBatch:
    """The same clips, some of them seen in a mirror: left and right change places in what they show."""
    labels, pick = batch.labels, is_mirrored
    frames = torch.where(pick[:, None, None, None, None], batch.frames.flip(-1), batch.frames)
    boxes = labels.boxes.clone()
    boxes[..., 0] = torch.where(pick[:, None, None], 1 - boxes[..., 0], boxes[..., 0])
    directions = torch.where(
        pick[:, None], _other_side(config.directions)[labels.directions], labels.directions
    )
    moves = torch.where(pick, _other_side(config.moves)[labels.moves], labels.moves)
    changed = replace(labels, boxes=boxes, directions=directions, moves=moves)
    return ProbeBatch(frames=frames, labels=changed)


def _other_side(names: Sequence[str]) -> Tensor:
    """For each name the number of its mirror image; then itself for "none" and, at −1, for not asked."""
    swaps = {"left": "right", "right": "left"}
    images = []
    for name in names:
        head, _, side = name.rpartition("_")
        other = swaps.get(side, side)
        images.append(names.index(f"{head}_{other}" if head else other))
    return torch.tensor([*images, len(names), -1])


class Probing(Objective[ProbeBatch]):
    """Learns to say what clips show, also where they are a little blurred, noisy, dark or pale."""

    def __init__(self, config: ProbeConfig, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # the layers draw their own weights
            torch.manual_seed(seed)
            self.probe = Probe(config)

    def forward(self, batch: ProbeBatch, chance: Chance) -> Score:
        """See `Objective`."""
        reading = self.probe(worn(resized(batch.frames, self.probe.config.side), chance))
        labels, count = batch.labels, float(len(batch.frames))
        terms = losses(reading, labels)
        parts = {name: term.detach() * count for name, term in (terms | rights(reading, labels)).items()}
        return Score(total=torch.stack(list(terms.values())).sum() * count, count=count, parts=parts)

    def to_device(self, batch: ProbeBatch, device: torch.device) -> ProbeBatch:
        """See `Objective`."""
        return moved(batch, device)

    def dtype_of(self, key: str, dtype: torch.dtype) -> torch.dtype:
        """See `Objective`."""
        return dtype if key.split(".")[1] in IN_HALF_PRECISION else torch.float32

    def blocks(self) -> Sequence[nn.Module]:
        """None: the whole is small."""
        return []

    def is_matrix(self, key: str) -> bool:
        """What maps one hidden space to another; not the pixels' layer, nor those that answer."""
        part = key.split(".")[1]
        hidden = ("fine", "down", "deep", "up", "last", "what", "around", "scene_token", "scene_steps")
        return key.endswith(".weight") and part in (*hidden, "actor_token", "actor_steps", "actor", "scene")

    def export(self, folder: Path, weights: Mapping[str, Tensor], batches: Iterator[ProbeBatch]) -> None:
        """config.json and weights in bfloat16, as khayal.evaluate opens them."""
        folder.mkdir(parents=True, exist_ok=True)
        plain = {key.removeprefix("probe."): value.to(torch.bfloat16) for key, value in weights.items()}
        save_file({key: value.contiguous() for key, value in plain.items()}, folder / "probe.safetensors")
        (folder / "config.json").write_text(json.dumps(asdict(self.probe.config), indent=1) + "\n")

    def exported(self, folder: Path) -> dict[str, Tensor]:
        """See `Objective`."""
        weights = load_file(folder / "probe.safetensors")
        return {f"probe.{key}": weight.float() for key, weight in weights.items()}

    def preview(self, model: Path, out: Path, device: torch.device) -> list[Path]:
        """Nothing: its answers are in the log, and `khayal evaluate` measures them on other clips."""
        return []


def worn(
    frames: Float[Tensor, "m 3 f h w"], chance: Chance, reach: int = 1, clips: Tensor | None = None
) -> Float[Tensor, "m 3 f h w"]:
    """Clips as an imperfect decoder might give them: each is softened, grained, made darker or paler.

    Args:
        frames: a batch's clips, or pieces of them.
        reach: over how many pixels to each side they are softened at most.
        clips: which of the batch's clips each piece is of, where they are pieces.
    """
    dice = [chance.dice(_FOR_LOOKS, row) for row in chance.rows]
    of = slice(None) if clips is None else clips

    def drawn(low: float, high: float) -> Tensor:
        values = torch.tensor([float(one.uniform(low, high)) for one in dice])
        return values.to(frames.device)[of][:, None, None, None, None]

    padded = F.pad(frames.flatten(1, 2), (reach,) * 4, mode="replicate")
    soft = F.avg_pool2d(padded, 2 * reach + 1, stride=1).view_as(frames)
    softness, is_soft = drawn(0, 1), drawn(0, 1) < 0.6
    frames = torch.where(is_soft, torch.lerp(frames, soft, softness), frames)
    level = drawn(-0.06, 0.06).clamp(min=0)
    grain = chance.normal(_FOR_GRAIN, tuple(frames.shape[1:]), frames.device)[of]
    return frames * drawn(0.9, 1.08) + drawn(-0.06, 0.06) + level * grain


def losses(reading: ProbeReading, labels: ProbeLabels) -> dict[str, Tensor]:
    """What is wrong with each answer, to be summed."""
    is_actor = labels.kinds < reading.kinds.shape[-1] - 1
    kind = F.cross_entropy(reading.kinds.flatten(0, 1), labels.kinds.flatten(), reduction="none")
    there = is_actor.flatten().float()
    apart = (reading.boxes - labels.boxes).abs().mean(-1)
    seen = labels.is_seen.float()
    inside = share_inside(labels.boxes, reading.where.shape[-2], reading.where.shape[-1])
    under = (reading.where + inside.clamp(min=1e-6).log()).flatten(-2).logsumexp(-1)
    num_seen = seen.sum().clamp(min=1)
    return {
        "kind": (kind * there).sum() / there.sum().clamp(min=1) + 2 * kind.mean(),
        "motion": answer_loss(reading.motions.flatten(0, 1), labels.motions.flatten()),
        "direction": answer_loss(reading.directions.flatten(0, 1), labels.directions.flatten()),
        "seen": 3 * F.binary_cross_entropy_with_logits(reading.is_seen, seen),
        "box": 10 * (apart * seen).sum() / num_seen,
        "where": -0.3 * (under * seen).sum() / num_seen,
        "setting": answer_loss(reading.settings, labels.settings),
        "light": answer_loss(reading.lights, labels.lights),
        "move": answer_loss(reading.moves, labels.moves),
        "cut": F.binary_cross_entropy_with_logits(reading.is_cut, labels.is_cut.float()),
    }


def answer_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy over what is asked for."""
    asked = (labels >= 0).float()
    wrong = F.cross_entropy(logits, labels.clamp(min=0), reduction="none")
    return (wrong * asked).sum() / asked.sum().clamp(min=1)


def share_inside(boxes: Tensor, height: int, width: int) -> Float[Tensor, "b n t h w"]:
    """How much of each cell of a grid lies in a box, given by its centre and its width and height."""
    shares = []
    for axis, count in ((1, height), (0, width)):
        low = torch.arange(count, device=boxes.device) / count
        begin = (boxes[..., axis] - boxes[..., axis + 2] / 2)[..., None]
        end = (boxes[..., axis] + boxes[..., axis + 2] / 2)[..., None]
        overlap = torch.minimum(end, low + 1 / count) - torch.maximum(begin, low)
        shares.append((overlap * count).clamp(0, 1))
    return shares[0][..., :, None] * shares[1][..., None, :]


def share_right(logits: Tensor, truth: Tensor, is_asked: Tensor) -> Float[Tensor, ""]:
    """How many of the answers that are asked for are right; 0 where none is."""
    return ((logits.argmax(-1) == truth) & is_asked).sum() / is_asked.sum().clamp(min=1)


def rights(reading: ProbeReading, labels: ProbeLabels) -> dict[str, Tensor]:
    """How often answers are right, for the log."""
    is_actor = labels.kinds < reading.kinds.shape[-1] - 1

    everywhere = torch.ones_like(labels.settings, dtype=torch.bool)
    found = (reading.kinds.argmax(-1) < reading.kinds.shape[-1] - 1) == is_actor
    return {
        "kind_right": share_right(reading.kinds, labels.kinds, is_actor),
        "colours_right": found.all(-1).float().mean(),
        "motion_right": share_right(reading.motions, labels.motions, labels.motions >= 0),
        "direction_right": share_right(reading.directions, labels.directions, labels.directions >= 0),
        "setting_right": share_right(reading.settings, labels.settings, everywhere),
        "light_right": share_right(reading.lights, labels.lights, everywhere),
        "move_right": share_right(reading.moves, labels.moves, labels.moves >= 0),
    }
