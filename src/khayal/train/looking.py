"""The closer look of a probe: crops around actors in, their kinds out, learned from the world's truth.

Where actors are is taken from the truth, and shaken as much as a probe errs: so it is trained apart from the
probe that will find them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from khayal.model.look import FILE, Look, crops_of
from khayal.model.probe import ProbeConfig
from khayal.train.chance import Chance
from khayal.train.objective import Objective, Score
from khayal.train.probing import ProbeBatch, moved, worn

_FOR_MOMENTS, _FOR_ACTOR, _FOR_MOMENT = 53, 54, 55
MOMENTS = 3
"""At which an actor is looked at in one step of training."""
CENTRE_ERROR, SIZE_ERROR = 0.08, 0.1
"""Standard deviations of what boxes are shaken by, in their own size: of all moments alike, and of each."""
SMOOTHING = 0.05
"""Of the labels: some actors are hidden, and their kind cannot be seen."""
SOFT = 2
"""Pixels to each side over which crops are softened: at full size, as far as what the probe sees."""


class Looking(Objective[ProbeBatch]):
    """Learns to name the kind of who is in a box.

    Args:
        config: of the probe that finds the boxes later.
        of: its folder; what is exported is a copy of it, with this beside it.
    """

    def __init__(self, config: ProbeConfig, of: Path, seed: int = 0) -> None:
        super().__init__()
        self.config, self.of = config, of
        with torch.random.fork_rng(devices=[]):  # the layers draw their own weights
            torch.manual_seed(seed)
            self.look = Look(len(config.kinds), len(config.colours))

    def forward(self, batch: ProbeBatch, chance: Chance) -> Score:
        """See `Objective`. Of the batch's clips only the frames that are looked at are given."""
        labels, steps = batch.labels, self.config.close_steps
        is_seen = labels.is_seen[:, :, steps]
        is_there = (labels.kinds < len(self.config.kinds)) & is_seen.any(-1)
        clips, colours = is_there.nonzero(as_tuple=True)
        if len(clips) == 0:  # nobody is to be seen in these clips: a step that teaches nothing
            nothing = torch.stack([weight.sum() for weight in self.parameters()]).sum() * 0
            return Score(total=nothing, count=1.0, parts={"kind": nothing.detach()})
        moments = drawn_moments(is_seen, chance)[clips, colours]
        frames = batch.frames.transpose(1, 2)[clips[:, None], moments]
        boxes = shaken(labels.boxes[:, :, steps], chance)[clips[:, None], colours[:, None], moments]
        weights = is_seen[clips[:, None], colours[:, None], moments].float()
        crops = worn(crops_of(frames, boxes).transpose(1, 2), chance, SOFT, clips).transpose(1, 2)
        logits = self.look(crops, colours, weights)
        truth, count = labels.kinds[clips, colours], float(len(clips))
        loss = F.cross_entropy(logits, truth, reduction="sum", label_smoothing=SMOOTHING)
        right = (logits.argmax(-1) == truth).sum().float()
        return Score(total=loss, count=count, parts={"kind": loss.detach(), "kind_right": right})

    def to_device(self, batch: ProbeBatch, device: torch.device) -> ProbeBatch:
        """See `Objective`."""
        return moved(batch, device)

    def dtype_of(self, key: str, dtype: torch.dtype) -> torch.dtype:
        """See `Objective`."""
        return torch.float32

    def blocks(self) -> Sequence[nn.Module]:
        """None: the whole is small."""
        return []

    def is_matrix(self, key: str) -> bool:
        """What maps one hidden space to another; not the pixels' layer, nor the one that answers."""
        return key.endswith(".weight") and key.split(".")[1] in ("fine", "down", "deep", "moments")

    def export(self, folder: Path, weights: Mapping[str, Tensor], batches: Iterator[ProbeBatch]) -> None:
        """The probe as it was, and what looks closer beside it, in bfloat16."""
        shutil.copytree(self.of, folder, dirs_exist_ok=True)
        plain = {key.removeprefix("look."): value.to(torch.bfloat16) for key, value in weights.items()}
        save_file({key: value.contiguous() for key, value in plain.items()}, folder / FILE)

    def exported(self, folder: Path) -> dict[str, Tensor]:
        """See `Objective`."""
        return {f"look.{key}": weight.float() for key, weight in load_file(folder / FILE).items()}

    def preview(self, model: Path, out: Path, device: torch.device) -> list[Path]:
        """Nothing: its answers are in the log, and `khayal evaluate` measures them on other clips."""
        return []


def drawn_moments(is_seen: Tensor, chance: Chance) -> Tensor:
    """Some of an actor's moments, those first at which it is seen: b n t → b n MOMENTS."""
    dice = chance.normal(_FOR_MOMENTS, tuple(is_seen.shape[1:]), is_seen.device)
    return (10.0 * is_seen + dice).topk(min(MOMENTS, is_seen.shape[-1]), dim=-1).indices


def shaken(boxes: Float[Tensor, "b n t 4"], chance: Chance) -> Float[Tensor, "b n t 4"]:
    """Boxes off their places and sizes, a part of it at all moments alike."""
    count, steps = boxes.shape[1:3]
    whole = chance.normal(_FOR_ACTOR, (count, 1, 3), boxes.device)
    each = chance.normal(_FOR_MOMENT, (count, steps, 3), boxes.device)
    errors = whole + each
    side = boxes[..., 2:].amax(-1, keepdim=True)
    centres = boxes[..., :2] + CENTRE_ERROR * side * errors[..., :2]
    return torch.cat((centres, boxes[..., 2:] * (SIZE_ERROR * errors[..., 2:]).exp()), dim=-1)
