"""What happens next: the model goes on from the first second of a real clip, and its tracks are compared."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from khayal.evaluate.labels import labels_of
from khayal.evaluate.measuring import Bench
from khayal.evaluate.reading import Admitted, read
from khayal.evaluate.scenes import SEED_OF_PHYSICS, Casting, played
from khayal.evaluate.store import Collected, Tensors, collect
from khayal.evaluate.tally import Tally
from khayal.world.captions import caption
from khayal.world.facts import facts_of
from khayal.world.truth import Truth

KNOWN_SECONDS = 1.0


def known_columns(columns: Sequence[int], fps: float) -> int:
    """Latent frames of the first second, at least one and not all."""
    count, frames = 0, 0
    for held in columns:
        frames += held
        count += frames <= round(KNOWN_SECONDS * fps)
    return min(max(count, 1), len(columns) - 1)


def measure(bench: Bench, casting: Casting, count: int) -> Tensors:
    """Continue so many clips; for each, tracks as read in it, in its reconstruction and in the real one."""
    casting = replace(casting, split="heldout", seed=SEED_OF_PHYSICS, is_still=True)
    maker, probe = bench.maker, bench.probe
    into = Collected(bench.folder / "continued")
    numbers = [number for clips in into.missing(count) for number in clips]
    num_known = known_columns(maker.columns, maker.fps)
    with closing(played(casting, numbers, bench.num_workers)) as stream:  # type: ignore[type-var]

        def make(clips: range) -> tuple[Tensors, list[dict[str, Any]]]:
            rendered = [next(stream) for _ in clips]
            frames = torch.from_numpy(np.stack([one.frames for one in rendered]))
            parts = [maker.encode(some) for some in frames.split(maker.at_once)]
            latents = torch.cat(parts)
            prompts = [told(one.truth) for one in rendered]
            made = maker.make(prompts, list(clips), known=latents[:, :, :num_known])
            returned = torch.cat([maker.decode(part) for part in latents.split(maker.at_once)])
            tensors: Tensors = {}
            for name, shown in (("made", made), ("returned", returned), ("real", frames)):
                reading = read(probe, shown, maker.fps)
                tensors |= {f"{name}_boxes": reading["boxes"], f"{name}_seen": reading["is_seen"] > 0}
            labels = [labels_of(one.truth, probe.config) for one in rendered]
            tensors["boxes"] = torch.cat([one.boxes for one in labels])
            tensors["seen"] = torch.cat([one.is_seen for one in labels])
            return tensors, [{"prompt": prompt} for prompt in prompts]

        collect(into, count, make, tell=lambda done: bench.show("clips continued", done, count))
    return into.read(count)


def told(truth: Truth) -> str:
    """The prompt of a continuation: a caption of medium length, in English."""
    dice = np.random.default_rng([truth.seed, truth.index, 11])
    return caption(facts_of(truth), "en", "medium", dice, truth.split).text


def tracks(measured: Tensors, start: int) -> dict[str, Any]:
    """Mean distances to the true track, in shares of the frame's width, over steps from `start` on.

    Only steps count at which the actor is truly in the picture and the probe finds it; how often it does
    not is said beside. `stands_still` is where the actor truly was at the last known step.
    """
    truth, is_true = measured["boxes"][..., :2], measured["seen"]
    found: dict[str, Any] = {}
    for name in ("made", "returned", "real"):
        is_found = measured[f"{name}_seen"] & is_true
        distance = (measured[f"{name}_boxes"][..., :2] - truth).norm(dim=-1)
        found[name] = _mean(distance, is_found, is_true, start)
    held = truth[:, :, start - 1 : start].expand_as(truth)
    was_there = is_true[:, :, start - 1 : start] & is_true
    found["stands_still"] = _mean((held - truth).norm(dim=-1), was_there, is_true, start)
    return found


def _mean(
    distance: Float[Tensor, "b n t"],
    is_found: Bool[Tensor, "b n t"],
    is_true: Bool[Tensor, "b n t"],
    start: int,
) -> dict[str, Any]:
    later = slice(start, None)
    counted = is_found[..., later]
    count, asked = int(counted.sum()), int(is_true[..., later].sum())
    mean = float(distance[..., later][counted].mean()) if count else None
    return {
        "distance": round(mean, 4) if mean is not None else None,
        "lost": round(1 - count / asked, 4) if asked else None,
    }


def permanence(is_seen: Float[Tensor, "b n t"], admitted: Admitted) -> dict[str, Any]:
    """Clips in which an actor appears, vanishes or changes its colour, between their first and last quarter.

    For worlds in which nobody enters or leaves.
    """
    there = is_seen.sigmoid() * admitted.colours[:, None]
    quarter = max(1, is_seen.shape[-1] // 4)
    first, last = there[..., :quarter].mean(-1) > 0.5, there[..., -quarter:].mean(-1) > 0.5
    new, gone = (last & ~first).sum(-1), (first & ~last).sum(-1)
    changed = torch.minimum(new, gone) > 0
    return {
        "appears": Tally.of((new > gone).tolist()).to_json(),
        "vanishes": Tally.of((gone > new).tolist()).to_json(),
        "changes_colour": Tally.of(changed.tolist()).to_json(),
    }
