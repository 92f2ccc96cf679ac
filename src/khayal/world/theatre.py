"""From a seed to a played and filmed scene: draw, play, film, check; what is broken is drawn again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from khayal.world.camera import film, screen_boxes
from khayal.world.check import fault
from khayal.world.draw import Request, draw_scene
from khayal.world.heldout import belongs
from khayal.world.perform import Performance, perform
from khayal.world.render import Views

MAX_ATTEMPTS = 10_000
"""A draw takes a quarter of a millisecond, and at dial 1 one in 25 is of the held-out split."""


@dataclass(frozen=True, kw_only=True)
class Take:
    """A scene that is fit to be drawn.

    Attributes:
        boxes: for each frame and actor left, top, right, bottom in 0…1 of the frame, and the nearest depth.
        rejected: how many scenes were thrown away before it, by reason.
    """

    performance: Performance
    views: Views
    boxes: Float[np.ndarray, "f a 5"]
    rejected: dict[str, int]


def take(request: Request, seed: int, index: int) -> Take:
    """The scene number `index` of a seed. The same for any number of workers, and on every machine."""
    rejected: Counter[str] = Counter()
    for attempt in range(MAX_ATTEMPTS):
        scene = draw_scene(request, seed, index, attempt)
        if not belongs(scene, request.split):
            rejected["another split"] += 1
            continue
        performance = perform(scene)
        views = film(performance)
        boxes = screen_boxes(performance, views)
        reason = fault(performance, views, boxes)
        if not reason:
            return Take(performance=performance, views=views, boxes=boxes, rejected=dict(rejected))
        rejected[reason] += 1
    raise AssertionError(f"no sound scene in {MAX_ATTEMPTS} draws: {dict(rejected)}")
