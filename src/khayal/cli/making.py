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
from khayal.cli.interrupt import ends_at_once
from khayal.destination import check_output
from khayal.errors import OutputError
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
    requests = _requests(kind, given, options, variations)
    if "image" in given:
        from khayal.images import open_image

        open_image(given["image"])
    for request, path in zip(requests, _paths(requests, out, is_still=_is_still(requests[0])), strict=True):
        _check_either(request, path)
    with ends_at_once(as_json=as_json):
        import khayal.studio

    studio = khayal.studio.open(model, **machine)
    outs = _destinations(studio, requests, out)
    results = _make_each(studio, requests, outs, started=started, is_quiet=as_json)
    if as_json:
        whole = results[0] if variations == 1 else {"variations": results}
        click.echo(json.dumps(whole, ensure_ascii=False))


def _make_each(
    studio: Any, requests: list[Request], outs: list[str], *, started: float, is_quiet: bool
) -> list[dict[str, Any]]:
    """The results, each told when it is there; the first one's time counts from the start of the command."""
    results = []
    with console.Display(is_quiet=is_quiet) as display:
        for index, (request, path) in enumerate(zip(requests, outs, strict=True)):
            display.begin(f"{index + 1} of {len(requests)}" if len(requests) > 1 else "")
            results.append(_make_one(studio, request, path, display, started))
            started = time.monotonic()
            if not is_quiet:
                display.result(_report(results[-1]))
    return results


def _requests(
    kind: type[Request], given: Mapping[str, Any], options: Mapping[str, Any], variations: int
) -> list[Request]:
    """One for each variation, with seeds that follow one another."""
    settings = {name: value for name, value in options.items() if value is not None}
    first_seed = settings.pop("seed", None)
    first_seed = secrets.randbelow(_LARGEST_SEED) if first_seed is None else first_seed
    return [kind(**given, **settings, seed=first_seed + index) for index in range(variations)]


def _is_still(request: Request) -> bool:
    """True where one frame is asked for; a short length may come to one as well, as the model counts."""
    return request.seconds == 0 or request.num_frames == 1


def _paths(requests: list[Request], out: str | None, *, is_still: bool) -> list[str]:
    """A path for each request, as `--out` or the prompt says."""
    if out is not None:
        return [naming.numbered(out, index, len(requests)) for index in range(len(requests))]
    text = requests[0].prompt or Path(getattr(requests[0], "image", "")).stem
    suffix = ".png" if is_still else ".mp4"
    return [str(naming.default_path(text, request.seed or 0, suffix)) for request in requests]


def _check_either(request: Request, path: str) -> None:
    """Refuse what no length could make writable; the exact check needs the model's own rate."""
    try:
        check_output(path, num_frames=1 if _is_still(request) else None)
    except OutputError:
        check_output(path, num_frames=1)


def _destinations(studio: Any, requests: list[Request], out: str | None) -> list[str]:
    """A path for each request, all of them found to be writable at the length that it will have."""
    from khayal.clip import as_rate, resampled_length

    request = requests[0]
    num_frames = studio.plan(request).num_frames
    if request.fps is not None:
        num_frames = resampled_length(num_frames, studio.timeline.fps, as_rate(request.fps))
    paths = _paths(requests, out, is_still=num_frames == 1)
    for path in paths:
        check_output(path, num_frames=num_frames)
    return paths


def _make_one(
    studio: Any, request: Request, path: str, display: console.Display, started: float
) -> dict[str, Any]:
    clip = studio.run(request, on_step=display.on_step).for_file(path)
    display.note(*clip.details.get("notes", ()))
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
        "steps": details.get("steps"),
        "guidance": details.get("guidance"),
        "solver": details.get("solver"),
        "memory": details.get("memory"),
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
