"""Clips in memory, for training: no disk, no video coding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from khayal.errors import InputError
from khayal.world.clips import WorldClip, render_clip
from khayal.world.draw import Request
from khayal.world.workers import in_order


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Where training clips are cut from.

    Attributes:
        scene_seconds: how long the scene lasts from which a clip is taken, anywhere; 0: the clip itself.
    """

    scene_seconds: float = 0.0


def _make(request: Request, windows: Windows, seed: int, is_segmented: bool, index: int) -> WorldClip:
    if windows.scene_seconds <= request.seconds:
        return render_clip(request, seed, index, is_segmented=is_segmented)
    scene = replace(request, seconds=windows.scene_seconds)
    room = scene.num_frames - request.num_frames
    start = int(np.random.default_rng([seed, index, 99]).integers(room + 1))
    window = (start, start + request.num_frames)
    return render_clip(scene, seed, index, is_segmented=is_segmented, window=window)


def stream(
    seed: int,
    *,
    start: int = 0,
    count: int | None = None,
    request: Request | None = None,
    num_workers: int = 0,
    is_segmented: bool = False,
    windows: Windows | None = None,
) -> Iterator[WorldClip]:
    """Clips number `start`, `start` + 1, … of a seed: `clip.frames`, `clip.captions`, `clip.truth`.

    The same seed gives the same clips for any number of workers; close the iterator to stop them.

    Args:
        count: how many clips; None goes on for ever.
        request: size, seconds, dial, split (see `Request`).
        num_workers: processes beside this one; one for each core is fastest. 0 renders here.
        is_segmented: count visible pixels too, at the cost of a second, small pass.
        windows: take each clip from anywhere in a longer scene.
    """
    if start < 0 or (count is not None and count < 0):
        raise InputError(f"Clips cannot be numbered from {start}, {count} of them", fix="choose 0 or more")
    end = start + count if count is not None else 1 << 62
    work = partial(_make, request or Request(), windows or Windows(), seed, is_segmented)
    return in_order(work, range(start, end), num_workers)
