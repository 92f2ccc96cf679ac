"""What the tasks make of what they are given: seams, loops, and whether what the prompt asks for happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from khayal.clip import Clip
from khayal.evaluate.claims import from_json, fulfilled
from khayal.evaluate.making import Maker
from khayal.evaluate.measuring import Bench
from khayal.evaluate.motion import Jumps, course, flicker, jumps
from khayal.evaluate.performing import Frames, Known, Performer
from khayal.evaluate.ratio import Ratio
from khayal.evaluate.reading import KEPT, heard, read
from khayal.evaluate.scenes import SEED_OF_TASKS, Casting, Played, about, calm, played
from khayal.evaluate.seams import Borders
from khayal.evaluate.store import Collected, Tensors, collect
from khayal.evaluate.tally import Tally
from khayal.joins import pinned
from khayal.model.probe import ProbeConfig
from khayal.studio import to_pixels
from khayal.tasks import (
    AnimateRequest,
    ConnectRequest,
    ExtendRequest,
    FillRequest,
    LoopRequest,
    Request,
)

TASKS = ("animate", "extend", "backward", "fill", "connect", "loop")
SAME_AS_REAL = ("animate", "extend", "backward", "fill")
"""Their results show the same time as the real clip, so that its frames can be compared one by one."""
MOST = 1.3
"""How much more than inside a picture may change at a seam."""
_PER_FILE = 8


def requests(
    frames: Frames, other: Frames, fps: Fraction, prompt: str, seed: int
) -> dict[str, tuple[Request, list[Frames]]]:
    """A request of each task about a clip, and the frames that are given with it.

    A half of the clip is known and the other is imagined; of what is filled, the middle third. Two clips are
    connected by as much as is known of each, and so a clip becomes a loop.
    """
    third, half = len(frames) // 3, len(frames) // 2
    first, last = frames[:half], frames[half:]

    def seconds(count: int) -> float:
        return float(count / fps)

    def clip(some: Frames) -> Clip:
        return Clip.from_frames(some, fps=fps)

    said: dict[str, Any] = {"prompt": prompt, "seed": seed}
    missing = ((seconds(third), seconds(len(frames) - third)),)
    return {
        "animate": (AnimateRequest(image=frames[0], **said), [frames[:1]]),
        "extend": (ExtendRequest(clip=clip(first), seconds=seconds(len(last)), **said), [first]),
        "backward": (
            ExtendRequest(clip=clip(last), seconds=seconds(half), backward=True, **said),
            [last],
        ),
        "fill": (FillRequest(clip=clip(frames), missing=missing, **said), [frames]),
        "connect": (
            ConnectRequest(first=clip(first), second=clip(other[half:]), seconds=seconds(half), **said),
            [first, other[half:]],
        ),
        "loop": (LoopRequest(clip=clip(first), seconds=seconds(half), **said), [first]),
    }


def measure(bench: Bench, casting: Casting, performer: Performer, count: int) -> Collected:
    """Do all tasks with so many scenes; keep how each result moves, and what the probe reads."""
    casting = calm(casting, SEED_OF_TASKS)
    into = Collected(bench.folder / "tasks", per_file=_PER_FILE)
    # each clip is connected with the next one
    numbers = [number for clips in into.missing(count) for number in (*clips, clips.stop)]
    with closing(played(casting, numbers, bench.num_workers)) as stream:  # type: ignore[type-var]

        def make(clips: range) -> tuple[Tensors, list[dict[str, Any]]]:
            scenes = [next(stream) for _ in range(len(clips) + 1)]
            rows, lines = [], []
            for number, scene, following in zip(clips, scenes, scenes[1:], strict=False):
                line = about(scene, number, len(casting.dials))
                row, borders = _one(bench, performer, number, (scene, following), line["text"])
                rows.append(row)
                lines.append(line | {"borders": borders})
            return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}, lines

        collect(into, count, make, tell=lambda done: bench.show("tasks, scenes", done, count))
    return into


def _one(
    bench: Bench, performer: Performer, number: int, scenes: tuple[Played, Played], prompt: str
) -> tuple[Tensors, dict[str, Any]]:
    maker, frames = bench.maker, scenes[0].frames
    fps = maker.checkpoint.timeline.fps
    returned = maker.decode(maker.encode(torch.from_numpy(frames)[None]))[0].numpy()
    row = {"real_motion": _motion(frames), "returned_motion": _motion(returned)}
    row |= _read(bench, "real", frames)
    borders: dict[str, Any] = {}
    for name, (request, given) in requests(frames, scenes[1].frames, fps, prompt, number).items():
        made, found, known = performer.perform(request, given)
        row |= {f"{name}_motion": _motion(made), f"{name}_known": known.to_row()[None]}
        if name == "animate":
            row |= _read(bench, "animate", made)
        borders[name] = {"seams": found.seams, "windows": found.windows, "chunks": found.chunks}
        if name in SAME_AS_REAL and len(made) >= len(frames):
            row[f"{name}_returned"] = _motion(as_known(bench.maker, frames, found))
        bench.picture(bench.folder, f"tasks-{name}", number, torch.from_numpy(made))
    return row, borders


@torch.inference_mode()
def as_known(maker: Maker, frames: Frames, borders: Borders) -> Frames:
    """What a model would make of a task that imagines exactly what happens: the autoencoder is all that errs.

    Args:
        frames: of the real clip, from the first frame of the result on.
        borders: of the result.
    """
    real = torch.from_numpy(frames)[None]
    truth = real[0].permute(3, 0, 1, 2).float() / 127.5 - 1
    given = [at for at in borders.given if at < len(frames)]
    pins = {at: truth[:, at] for at in borders.pins if at in given}
    made = torch.cat(list(pinned(maker.pieces(maker.encode(real)), pins)), dim=2)
    pixels = to_pixels(made)
    pixels[given] = frames[given]
    return pixels


def _motion(frames: Frames) -> Tensor:
    return torch.from_numpy(course([frames]).motion)[None]


def _read(bench: Bench, name: str, frames: Frames) -> Tensors:
    reading = read(bench.probe, torch.from_numpy(frames)[None], bench.maker.fps)
    return {f"{name}_{key}": reading[key] for key in KEPT}


def figures(
    measured: Tensors,
    lines: Sequence[Mapping[str, Any]],
    columns: Sequence[int],
    dial: int,
    config: ProbeConfig,
) -> dict[str, Any]:
    """All of them, from what was kept.

    Args:
        columns: pixel frames of each latent frame of a clip of the model.
    """
    told: dict[str, Any] = {"scenes": len(lines), "known": known(measured, TASKS), "seams": {}}
    for name in TASKS:
        seams, windows, chunks = (lines[0]["borders"][name][key] for key in ("seams", "windows", "chunks"))
        told["seams"][name] = at_seams(
            [jumps(row, seams, chunks, aside=windows) for row in _rows(measured, name)]
        )
        if name in SAME_AS_REAL and max(seams) < measured["real_motion"].shape[1]:
            real = [jumps(row, seams) for row in _rows(measured, "real")]
            told["seams"][name]["real"] = at_seams(real)["ratio"]
        if f"{name}_returned" in measured:
            returned = [jumps(row, seams, chunks) for row in measured[f"{name}_returned"].numpy()]
            told["seams"][name]["returned"] = at_seams(returned)["ratio"]
        if name == "loop":
            closing_jumps = [
                jumps(row, [0], chunks, aside=[*seams, *windows], is_loop=True)
                for row in _rows(measured, name)
            ]
            told["loop"] = at_seams(closing_jumps)
    borders = np.cumsum(columns)[:-1].tolist()
    told["flicker"] = {
        name: _flicker([flicker(row, borders) for row in _rows(measured, name)])
        for name in ("returned", "real")
    }
    told["animate"] = _asked(measured, lines, dial, config)
    return told


def _rows(measured: Tensors, name: str) -> Iterator[np.ndarray]:
    yield from measured[f"{name}_motion"].numpy()


def at_seams(found: Sequence[Jumps]) -> dict[str, Any]:
    """The change at seams against that inside, at other borders of chunks too; and clips without a jump."""
    seam, inside = [one.seam for one in found], [one.inside for one in found]
    return {
        "ratio": Ratio.of(seam, inside).to_json(),
        "borders": _flicker(found),
        "even": Tally.of(a <= MOST * b for a, b in zip(seam, inside, strict=True)).to_json(),
    }


def _flicker(found: Sequence[Jumps]) -> dict[str, Any]:
    return Ratio.of([one.border for one in found], [one.inside for one in found]).to_json()


def known(measured: Tensors, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """For each task, what was known in all clips together, and how much of it changed."""
    found = {}
    for name in names:
        total = measured[f"{name}_known"].sum(dim=0).tolist()
        found[name] = dict(zip(Known.__dataclass_fields__, map(int, total), strict=True))
    return found


def _asked(
    measured: Tensors, lines: Sequence[Mapping[str, Any]], dial: int, config: ProbeConfig
) -> dict[str, Any]:
    """What the prompt says happens in a still that came alive; and in the real clips, the ceiling."""
    found: dict[str, Any] = {}
    answers = {}
    for name in ("animate", "real"):
        told = heard({key: measured[f"{name}_{key}"] for key in KEPT}, dial, config)
        answers[name] = [
            fulfilled(from_json(line["claims"]), one) for line, one in zip(lines, told, strict=True)
        ]
    for key in ("motion", "direction", "pair"):
        made, real = (
            Tally.of(right for each in answers[name] for right in each[key]).to_json()
            for name in ("animate", "real")
        )
        found[key] = {"made": made, "real": real}
    return found
