"""The probe: a small network that reads videos of the world, and so scores models in `khayal evaluate`.

    khayal train recipes.probe:probe_clips --out RUN
    khayal train recipes.probe:probe --out RUN [--start src/khayal/evaluate/probe]

Its `model/` is what lies in src/khayal/evaluate/probe/.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from recipes.embedded import DIALS, FPS, SECONDS, SIDE

from khayal.evaluate.labels import PROBE, labels_of
from khayal.train.config import OptimiserConfig, TrainConfig
from khayal.train.preparing import KeepConfig, Sample
from khayal.train.probing import LabelledClips, Probing
from khayal.world.clips import render_clip
from khayal.world.draw import Request, in_turn
from khayal.world.truth import Truth
from khayal.world.workers import in_order

PROBE_SEED = 1000
"""Another seed than the model's: the probe that scores has seen none of its clips."""


def probe_clips(run: Path, dials: str = DIALS, clips: int = 3000, workers: int = 2) -> KeepConfig:
    """Small clips with all that is known about them, of both splits: what the probe learns from."""

    def clips_from(start: int) -> Iterator[Sample]:
        return in_order(partial(shown, dials), range(start, 1 << 62), workers)

    name = f"world dials {dials} seed {PROBE_SEED}, all combinations, at half size"
    return KeepConfig(clips=clips_from, name=name, num_clips=clips, per_shard=20)


def shown(dials: str, number: int) -> Sample:
    """One clip for the probe."""
    dial, index = in_turn(dials, number)
    request = Request(size=(SIDE, SIDE), seconds=SECONDS, fps=FPS, dial=dial, split="all")
    clip = render_clip(request, PROBE_SEED, index, is_segmented=False)
    return Sample(frames=halved(clip.frames), passages=(), truth=clip.truth.to_json())


def halved(frames: np.ndarray) -> np.ndarray:
    """f h w 3, uint8: each pixel the mean of four."""
    num_frames, height, width, _ = frames.shape
    fours = frames.reshape(num_frames, height // 2, 2, width // 2, 2, 3).astype(np.uint16)
    small: np.ndarray = ((fours.sum(axis=(2, 4)) + 2) // 4).astype(np.uint8)
    return small


def probe(run: Path, batch: int = 10, rate: float = 5e-3) -> TrainConfig:
    """What scores the model, in `khayal evaluate`; its weights go to src/khayal/evaluate/probe/.

    On two free CPU cores it sees about 19 clips a second. Dial 1 is learned within the first thousand
    steps, so clips of higher dials come three times as often.
    """
    return TrainConfig(
        objective=partial(Probing, PROBE),
        source=lambda: LabelledClips(
            run / "probe_clips",
            PROBE,
            label=lambda truth: labels_of(Truth.from_json(dict(truth))),
            times=lambda truth: 1 if truth["dial"] == 1 else 3,
        ),
        batch_size=batch,
        minutes=15,
        seed=PROBE_SEED,
        optimiser=OptimiserConfig(
            matrix_learning_rate=rate, learning_rate=0.4 * rate, warmup_steps=20, decay_share=0.7
        ),
        averages=(0.98,),
    )
