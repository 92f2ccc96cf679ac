"""The probe: a small network that reads videos of the world, and so scores models in `khayal evaluate`.

    khayal train recipes.probe:probe_clips --out RUN
    khayal train recipes.probe:probe --out RUN [--start src/khayal/evaluate/probe]
    khayal train recipes.probe:look --out RUN [--set of=src/khayal/evaluate/probe]

The `model/` of `look` is what lies in src/khayal/evaluate/probe/.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from recipes.embedded import DIALS, FPS, SECONDS, SIDE

from khayal.evaluate.labels import PROBE, labels_of
from khayal.evaluate.reading import open_probe
from khayal.train.config import OptimiserConfig, TrainConfig
from khayal.train.looking import Looking
from khayal.train.preparing import KeepConfig, Sample
from khayal.train.probing import LabelledClips, Probing
from khayal.world.clips import render_clip
from khayal.world.draw import Request, in_turn
from khayal.world.truth import Truth
from khayal.world.workers import in_order

PROBE_SEED = 1000
"""Another seed than the model's: the probe that scores has seen none of its clips."""


def probe_clips(run: Path, dials: str = DIALS, clips: int = 3000, workers: int = 2) -> KeepConfig:
    """Clips with all that is known about them, of both splits: what the probe learns from."""

    def clips_from(start: int) -> Iterator[Sample]:
        return in_order(partial(shown, dials), range(start, 1 << 62), workers)

    name = f"world dials {dials} seed {PROBE_SEED}, all combinations"
    return KeepConfig(clips=clips_from, name=name, num_clips=clips, per_shard=10)


def shown(dials: str, number: int) -> Sample:
    """One clip for the probe."""
    dial, index = in_turn(dials, number)
    request = Request(size=(SIDE, SIDE), seconds=SECONDS, fps=FPS, dial=dial, split="all")
    clip = render_clip(request, PROBE_SEED, index, is_segmented=False)
    return Sample(frames=clip.frames, passages=(), truth=clip.truth.to_json())


def clips_of(run: Path, frames: slice = slice(None)) -> LabelledClips:
    """The clips and what is true of them; dial 1 is learned soon, so those of higher dials come oftener."""
    return LabelledClips(
        run / "probe_clips",
        PROBE,
        label=lambda truth: labels_of(Truth.from_json(dict(truth))),
        times=lambda truth: 1 if truth["dial"] == 1 else 3,
        frames=frames,
    )


def probe(run: Path, batch: int = 10, rate: float = 5e-3) -> TrainConfig:
    """What scores the model, in `khayal evaluate`.

    On two free CPU cores with hardware for bfloat16 it sees about 19 clips a second, on one without about 3.
    """
    return TrainConfig(
        objective=partial(Probing, PROBE),
        source=lambda: clips_of(run),
        batch_size=batch,
        minutes=15,
        seed=PROBE_SEED,
        optimiser=_optimiser(rate),
        averages=(0.98,),
    )


def look(run: Path, of: str = "", batch: int = 40, rate: float = 5e-3) -> TrainConfig:
    """The probe's closer look at actors: it names their kinds.

    Args:
        of: the probe that finds them; that of the stage before, unless another one is named.
    """
    finder = Path(of) if of else run / "probe" / "model"
    return TrainConfig(
        objective=partial(Looking, open_probe(finder).config, finder),  # refused now, not after the training
        source=lambda: clips_of(run, PROBE.close_frames),
        batch_size=batch,
        minutes=15,
        seed=PROBE_SEED,
        optimiser=_optimiser(rate),
        averages=(0.98,),
    )


def _optimiser(rate: float) -> OptimiserConfig:
    return OptimiserConfig(
        matrix_learning_rate=rate, learning_rate=0.4 * rate, warmup_steps=20, decay_share=0.7
    )
