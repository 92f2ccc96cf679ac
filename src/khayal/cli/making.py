"""From the options of a command to files on disk: what generate and animate share."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from khayal.cli import console, naming
from khayal.destination import check_output
from khayal.tasks import Request

_MACHINE = ("device", "dtype", "memory")
_LARGEST_SEED = 2**32
"""Drawn seeds are below this: short enough to be typed again."""


def make(
    kind: type[Request],
    given: Mapping[str, Any],
    *,
    model: str | None,
    variations: int,
    out: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Check everything that can be checked, then make one video for each variation.

    Args:
        kind: the request of the task, whose name is the studio's method.
        given: what is the command's own: the prompt, an image.
        model: a checkpoint folder or hub id, None for the default.
        variations: how many, with seeds that follow one another.
        out: the path of the result, None for a new one in the current folder.
        as_json: True for one JSON object on stdout instead of sentences.
        options: the machine's (device, dtype, memory) and the fields of the request.

    Raises:
        KhayalError: before the work starts for what cannot be used or written.
    """
    started = time.monotonic()
    machine = {name: options.pop(name) for name in _MACHINE}
    settings = {name: value for name, value in options.items() if value is not None}
    first_seed = settings.pop("seed", None)
    first_seed = secrets.randbelow(_LARGEST_SEED) if first_seed is None else first_seed
    requests = [kind(**given, **settings, seed=first_seed + index) for index in range(variations)]
    if "image" in given:
        from khayal.images import open_image

        open_image(given["image"])
    outs = _destinations(requests, out)
    import khayal

    studio = khayal.open(model, **machine)  # a download has a bar of its own
    results = []
    with console.Display(is_quiet=as_json) as display:
        for index, (request, path) in enumerate(zip(requests, outs, strict=True)):
            display.begin(f"{index + 1} of {variations}" if variations > 1 else "")
            results.append(_make_one(studio, request, path, display, started))
            started = time.monotonic()
            if not as_json:
                display.result(_report(results[-1]))
    if as_json:
        whole = results[0] if variations == 1 else {"variations": results}
        click.echo(json.dumps(whole, ensure_ascii=False))


def _destinations(requests: list[Request], out: str | None) -> list[str]:
    """A path for each request, all of them found to be writable."""
    is_still = requests[0].seconds == 0 or requests[0].num_frames == 1
    if out is None:
        image = getattr(requests[0], "image", None)
        text = requests[0].prompt or Path(image or "").stem
        suffix = ".png" if is_still else ".mp4"
        outs = [str(naming.default_path(text, request.seed or 0, suffix)) for request in requests]
    else:
        outs = [naming.numbered(out, index, len(requests)) for index in range(len(requests))]
    for path in outs:
        check_output(path, num_frames=1 if is_still else None)
    return outs


def _make_one(
    studio: Any, request: Request, path: str, display: console.Display, started: float
) -> dict[str, Any]:
    clip = studio.run(request, on_step=display.on_step)
    for note in clip.details.get("notes", ()):
        display.note(note)
    saved = clip.save(path)
    return _result(clip, saved, time.monotonic() - started)


def _result(clip: Any, path: Path, took: float) -> dict[str, Any]:
    """What `--json` prints."""
    details = clip.details
    return {
        "path": str(path),
        "size": list(clip.size),
        "seconds": round(clip.seconds, 3),
        "num_frames": clip.num_frames,
        "fps": round(float(clip.fps), 3),
        "seed": details["seed"],
        "model": details["model"],
        "prompt": details["prompt"],
        "notes": list(details.get("notes", ())),
        "took_seconds": round(took, 1),
    }


def _report(result: Mapping[str, Any]) -> str:
    width, height = result["size"]
    shape = f"{width}×{height}"
    if result["num_frames"] > 1:
        shape += f", {result['seconds']:.3g} s ({result['num_frames']} frames at {result['fps']:g} fps)"
    return (
        f"{result['path']}\n{shape}, seed {result['seed']}, took {console.duration(result['took_seconds'])}"
    )
