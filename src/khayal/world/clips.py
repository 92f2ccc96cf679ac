"""One finished clip: frames, truth, and captions for the whole, for each shot and for each span of time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from khayal.world.captions import LANGUAGES, LENGTHS, caption
from khayal.world.draw import Request
from khayal.world.facts import facts_of
from khayal.world.record import record
from khayal.world.render import renderer
from khayal.world.theatre import Take, take
from khayal.world.truth import Truth

SEGMENT_SIDE = 64
SPAN_SECONDS = 2.0
SIDECAR = "khayal.world.clip/1"


@dataclass(frozen=True, kw_only=True)
class Passage:
    """Captions of frames [start, end), by language and length. `kind` is "clip", "shot" or "span"."""

    kind: str
    start: int
    end: int
    texts: dict[str, dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class WorldClip:
    """A rendered clip with all that is known about it."""

    frames: UInt8[np.ndarray, "f h w 3"]
    captions: tuple[Passage, ...]
    truth: Truth

    def to_json(self) -> dict[str, Any]:
        """What lies beside the video: captions with their times in seconds, then the truth."""
        fps = self.truth.fps
        return {
            "schema": SIDECAR,
            "fps": fps,
            "num_frames": self.truth.num_frames,
            "size": list(self.truth.size),
            "captions": [
                {
                    "kind": p.kind,
                    "start_seconds": round(p.start / fps, 4),
                    "end_seconds": round(p.end / fps, 4),
                    **p.texts,
                }
                for p in self.captions
            ],
            "truth": self.truth.to_json(),
        }


def segment_size(size: tuple[int, int]) -> tuple[int, int]:
    """The size of the segmentation pass: that of the frame, at most 64 on the short side."""
    short = min(size)
    scale = min(1.0, SEGMENT_SIDE / short)
    return round(size[0] * scale), round(size[1] * scale)


def render_clip(
    request: Request,
    seed: int,
    index: int,
    *,
    is_segmented: bool = True,
    window: tuple[int, int] | None = None,
) -> WorldClip:
    """Draw, simulate, film, render and caption the scene number `index` of a seed.

    Args:
        is_segmented: also count the pixels that show each actor, from a small second pass.
        window: frames [start, end) of a longer scene; only these are rendered and told.
    """
    taken = take(request, seed, index)
    scene, cast, views = taken.performance.scene, taken.performance.cast, taken.views
    chosen = range(*(window or (0, scene.num_frames)))
    frames = draw_take(taken, chosen)
    truth = record(taken)
    if is_segmented:
        seen = renderer().segment(cast, views, segment_size(scene.size), setting=scene.setting, frames=chosen)
        whole = np.full((scene.num_frames, *seen.shape[1:]), -1, dtype=np.int64)
        whole[chosen.start : chosen.stop] = seen
        truth = record(taken, whole)
    if window:
        truth = truth.cut(*window)
    return WorldClip(frames=frames, captions=tell(truth), truth=truth)


def draw_take(taken: Take, frames: range) -> UInt8[np.ndarray, "f h w 3"]:
    """Some frames of a take, in colour."""
    scene = taken.performance.scene
    drawn = renderer().draw(
        taken.performance.cast,
        taken.views,
        scene.size,
        setting=scene.setting,
        light=scene.light,
        sun=scene.sun,
        frames=frames,
    )
    return np.ascontiguousarray(drawn)


def tell(truth: Truth) -> tuple[Passage, ...]:
    """Captions for the whole, for each shot where there are several, and for each span of a longer clip."""
    passages = [_passage(truth, "clip", 0, truth.num_frames)]
    if len(truth.shots) > 1:
        passages += [_passage(truth, "shot", shot.start, shot.end) for shot in truth.shots]
    edges = spans(truth)
    if len(edges) > 2:
        passages += [_passage(truth, "span", a, b) for a, b in itertools.pairwise(edges)]
    return tuple(passages)


def spans(truth: Truth) -> list[int]:
    """Frames at which something new begins, at least two seconds apart, with both ends of the clip."""
    least = round(SPAN_SECONDS * truth.fps)
    edges = [0]
    for frame in sorted({a.start for a in truth.actions} | {s.start for s in truth.shots}):
        if frame - edges[-1] >= least and truth.num_frames - frame >= least:
            edges.append(frame)
    return [*edges, truth.num_frames]


def _passage(truth: Truth, kind: str, start: int, end: int) -> Passage:
    told = facts_of(truth, start, end)
    texts: dict[str, dict[str, str]] = {}
    for k, language in enumerate(LANGUAGES):
        rng = np.random.default_rng([truth.seed, truth.index, start, end, k])
        texts[language] = {
            length: caption(told, language, length, rng, truth.split).text for length in LENGTHS
        }
    return Passage(kind=kind, start=start, end=end, texts=texts)
