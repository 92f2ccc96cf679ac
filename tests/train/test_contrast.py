"""A caption has to tell more of its picture than one that is nearly true."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from torch import Tensor

from khayal.data.captions import Passage
from khayal.errors import InputError
from khayal.train.chance import Chance
from khayal.train.loss import Levels, Mixture
from khayal.train.source import LatentBatch
from khayal.train.text_to_video import TextToVideo

NUM = 16


@pytest.fixture
def objective(prepared: Path) -> TextToVideo:
    (shape,) = tiny.transformer(prepared).objective.args  # type: ignore[attr-defined]
    torch.manual_seed(0)
    levels = Levels(shift_alone=2.0, uniform_share=0.0)
    mixture = Mixture(weights={"shared": 1.0}, levels=levels)
    return TextToVideo(replace(shape, mixture=mixture, contrast_weight=0.5, caption_dropout=0.0))


def batch_of(objective: TextToVideo, others: bool = True, same: bool = False) -> LatentBatch:
    """Single latent frames that are bright where the caption says so, and where the other one says not."""
    captions = ("a red square", "a blue disc")
    passages, signs = [], []
    for k in range(NUM):
        told = [captions[k % 2], captions[k % 2 if same else 1 - k % 2]]
        kinds = ("clip", "other") if others else ("clip",)
        passages.append(
            tuple(
                Passage(kind=kind, start=0, end=4, texts={"en": text})
                for kind, text in zip(kinds, told, strict=False)
            )
        )
        signs.append(1.0 - 2 * (k % 2))
    latents = torch.tensor(signs)[:, None, None, None, None].expand(NUM, 4, 1, 2, 2)
    return LatentBatch(
        latents=latents.contiguous(),
        stills=None,
        still_columns=(),
        passages=tuple(passages),
        frames_per_column=(4,),
        focus=torch.ones(NUM, 1, 2, 2),
    )


def scored(objective: TextToVideo, batch: LatentBatch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
    objective._checked = batch.autoencoder  # these latents are nobody's
    score = objective(batch, Chance(seed=0, step=step, batch_size=NUM, rows=range(NUM)))
    return score.total / score.count, {name: value / score.count for name, value in score.parts.items()}


def test_captions_that_say_the_same_cannot_be_told_apart(objective: TextToVideo) -> None:
    with torch.no_grad():
        plain, parts = scored(objective, batch_of(objective, others=False), 0)
        same, _ = scored(objective, batch_of(objective, same=True), 0)
    assert parts["told_apart"] == 0
    torch.testing.assert_close(same - plain, torch.tensor(0.5) * torch.tensor(2.0).log())


def test_captions_are_told_apart_in_the_end(objective: TextToVideo) -> None:
    optimiser = torch.optim.AdamW(objective.parameters(), lr=1e-2)
    shares = []
    for step in range(150):
        loss, parts = scored(objective, batch_of(objective), step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        shares.append(float(parts["told_apart"]))
    assert sum(shares[-20:]) / 20 > 0.9


def test_several_processes_are_refused(objective: TextToVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(InputError, match="several processes"):
        TextToVideo(objective.config)
    TextToVideo(replace(objective.config, contrast_weight=0.0))
