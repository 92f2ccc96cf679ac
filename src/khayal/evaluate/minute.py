"""A long video: whether it stays as it began, whether its windows can be seen, who is there at its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import torch

from khayal.evaluate.fidelity import kinds_there
from khayal.evaluate.measuring import Bench
from khayal.evaluate.motion import QUALITIES, Course, course, ends, flicker, jumps
from khayal.evaluate.performing import Frames, Performer, frames_of, known_in
from khayal.evaluate.ratio import Ratio
from khayal.evaluate.reading import KEPT, Admitted, read
from khayal.evaluate.scenes import SEED_OF_MINUTES, Casting, Played, calm, played, prompt_of
from khayal.evaluate.seams import borders_of
from khayal.evaluate.store import Collected, Tensors, collect
from khayal.evaluate.tally import Tally
from khayal.evaluate.tasks import at_seams, known
from khayal.model.probe import ProbeConfig
from khayal.tasks import GenerateRequest
from khayal.world.draw import MAX_SECONDS

DRIFT = 0.05
"""How much the end may differ from the beginning."""


def measure(bench: Bench, casting: Casting, performer: Performer, count: int, seconds: float) -> Collected:
    """Make so many long videos, and render scenes that are as long; keep how both look, frame by frame.

    The prompt is the caption of the first seconds of the scene, as many as a clip of the model has.
    """
    timeline = bench.maker.checkpoint.timeline
    num_frames = min(timeline.num_frames(seconds), int(MAX_SECONDS * timeline.fps))
    casting = calm(casting, SEED_OF_MINUTES, num_frames)
    into = Collected(bench.folder / f"minute-{seconds:g}", per_file=1)
    numbers = [number for clips in into.missing(count) for number in clips]
    with closing(played(casting, numbers, bench.num_workers)) as stream:  # type: ignore[type-var]

        def make(clips: range) -> tuple[Tensors, list[dict[str, Any]]]:
            scene = next(stream)
            return _one(bench, performer, clips.start, scene, seconds, len(casting.dials))

        collect(into, count, make, tell=lambda done: bench.show("long videos", done, count))
    return into


def _one(
    bench: Bench, performer: Performer, number: int, scene: Played, seconds: float, num_dials: int
) -> tuple[Tensors, list[dict[str, Any]]]:
    beginning = scene.truth.cut(0, min(bench.maker.num_frames, scene.truth.num_frames))
    prompt = prompt_of(beginning, number, num_dials)
    rollout = performer.begin(GenerateRequest(prompt=prompt.text, seconds=seconds, seed=number))
    borders = borders_of(rollout.plan)
    tensors: Tensors = {}
    for name, chunks in (("made", frames_of(rollout)), ("real", iter([scene.frames]))):
        both = _Ends(bench.maker.num_frames)
        found = course(both.watch(chunks))
        tensors |= {f"{name}_{key}": torch.from_numpy(getattr(found, key))[None] for key in QUALITIES}
        for part, frames in (("first", both.first), ("last", both.last)):
            reading = read(bench.probe, torch.from_numpy(np.stack(frames))[None], bench.maker.fps)
            tensors |= {f"{name}_{part}_{key}": reading[key] for key in KEPT}
        if name == "made":
            kept = torch.from_numpy(np.stack([*both.first, *both.last]))
            bench.picture(bench.folder, "minute-made", number, kept)
    tensors["made_known"] = known_in(rollout).to_row()[None]
    line = {"text": prompt.text, "windows": borders.windows, "chunks": borders.chunks}
    return tensors, [line]


class _Ends:
    """Lets the frames of a video pass, and keeps the first and the last of them."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.first: list[np.ndarray] = []
        self.last: deque[np.ndarray] = deque(maxlen=count)

    def watch(self, chunks: Iterable[Frames]) -> Iterator[Frames]:
        """The same frames."""
        for frames in chunks:
            self.first += list(frames[: self.count - len(self.first)])
            self.last.extend(frames)
            yield frames


def figures(
    measured: Tensors, lines: Sequence[Mapping[str, Any]], dial: int, config: ProbeConfig
) -> dict[str, Any]:
    """Drift, windows, and who keeps kind and colour, from what was kept."""
    told: dict[str, Any] = {"clips": len(lines), "known": known(measured, ("made",))["made"], "drift": {}}
    told["num_frames"] = measured["made_luma"].shape[1]
    for name in ("made", "real"):
        told["drift"][name] = _drift([*_courses(measured, name)])
    windows, chunks = lines[0]["windows"], lines[0]["chunks"]
    rows = [one.motion for one in _courses(measured, "made")]
    told["windows"] = at_seams([jumps(row, windows, chunks) for row in rows]) if windows else None
    if chunks:
        found = [flicker(row, chunks) for row in rows]
        told["flicker"] = Ratio.of([one.border for one in found], [one.inside for one in found]).to_json()
    told["kept"] = {name: _kept(measured, name, Admitted.at(dial, config)) for name in ("made", "real")}
    return told


def _courses(measured: Tensors, name: str) -> Iterator[Course]:
    for row in zip(*(measured[f"{name}_{key}"].numpy() for key in QUALITIES), strict=True):
        yield Course(**dict(zip(QUALITIES, row, strict=True)))


def _drift(courses: Sequence[Course]) -> dict[str, Any]:
    """For each quality, as shares of the beginning: by how much clips change, and in which direction all do.

    `size` counts a clip that darkens and one that brightens as two changes; in `mean` they cancel.
    """
    both = [ends(one) for one in courses]
    told = {}
    for name in QUALITIES:
        first = np.array([one[name][0] for one in both])
        last = np.array([one[name][1] for one in both])
        told[name] = {
            "size": Ratio.of(np.abs(last - first), first).to_json(),
            "mean": Ratio.of(last - first, first).to_json(),
        }
    return told


def _kept(measured: Tensors, name: str, admitted: Admitted) -> dict[str, Any]:
    """Of those who are there at the beginning, how many are at the end, of the same kind and colour."""
    first, last = (kinds_there(measured[f"{name}_{part}_kinds"], admitted) for part in ("first", "last"))
    is_there = first >= 0
    return Tally.of((first == last)[is_there].tolist()).to_json()
