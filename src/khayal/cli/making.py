"""From the options of a command to files on disk: what the commands of the eight tasks share."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from khayal import provenance
from khayal.cli import console, naming
from khayal.cli.interrupt import ends_at_once
from khayal.cli.resuming import Unfinished
from khayal.destination import check_originals, check_output
from khayal.errors import InputError, OutputError
from khayal.tasks import Request

_MACHINE = ("device", "dtype", "memory")
_LARGEST_SEED = 2**32
"""Drawn seeds are below this: short enough to be typed again."""


@dataclass(frozen=True, kw_only=True)
class _Ways:
    """What a command does besides making the video."""

    enhance: str | None
    is_resuming: bool
    report: str | None


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
        options: the machine's (device, dtype, memory), the ways (enhance, resume, report), and the fields of
            the request.

    Raises:
        KhayalError: before the work starts for what cannot be used or written.
    """
    started = time.monotonic()
    machine = {name: options.pop(name) for name in _MACHINE}
    ways = _Ways(
        enhance=options.pop("enhance"), is_resuming=options.pop("resume"), report=options.pop("report")
    )
    if ways.is_resuming:
        _take_seed(options, out, variations)
    requests = _requests(kind, given, options, variations)
    _check_media(requests[0])
    for request, path in zip(requests, _paths(requests, out, is_still=_is_still(requests[0])), strict=True):
        _check_either(request, path)
    if ways.report is not None:
        from khayal.process import check_report

        check_report(ways.report)
    with ends_at_once(as_json=as_json):
        import khayal.studio

    studio = khayal.studio.open(model, **machine)
    asked = requests[0].prompt
    if ways.enhance is not None:
        prompt = _enhanced(requests[0], ways.enhance, studio)
        requests = [replace(request, prompt=prompt) for request in requests]
    outs = _destinations(studio, requests, out)
    results = _make_each(studio, requests, outs, ways, asked=asked, started=started, is_quiet=as_json)
    if as_json:
        whole = results[0] if variations == 1 else {"variations": results}
        click.echo(json.dumps(whole, ensure_ascii=False))


def _make_each(
    studio: Any,
    requests: list[Request],
    outs: list[str],
    ways: _Ways,
    *,
    asked: str,
    started: float,
    is_quiet: bool,
) -> list[dict[str, Any]]:
    """The results, each told when it is there; the first one's time counts from the start of the command."""
    results = []
    with console.Display(is_quiet=is_quiet) as display:
        if requests[0].prompt != asked:
            display.note(f"The prompt became: {requests[0].prompt}")
        for index, (request, path) in enumerate(zip(requests, outs, strict=True)):
            display.begin(f"{index + 1} of {len(requests)}" if len(requests) > 1 else "")
            clip, result = _make_one(studio, request, path, display, started, is_resuming=ways.is_resuming)
            if request.prompt != asked:
                result["asked"] = asked
            if ways.report is not None:
                from khayal.process import write_report

                folder = Path(ways.report)
                folder = folder / str(index + 1) if len(requests) > 1 else folder
                folder.mkdir(exist_ok=True)
                result["report"] = str(write_report(folder, clip, result))
            results.append(result)
            started = time.monotonic()
            if not is_quiet:
                display.result(_report(result))
    return results


def _take_seed(options: dict[str, Any], out: str | None, variations: int) -> None:
    """Go on with the seed of the run that was interrupted."""
    if out is None:
        raise InputError("A run can be resumed where it is named", fix="give the result a name with --out")
    if options.get("seed") is None:
        numbers = range(variations)
        seeds = [Unfinished(naming.numbered(out, number, variations)).seed for number in numbers]
        firsts = [seed - number for number, seed in zip(numbers, seeds, strict=True) if seed is not None]
        options["seed"] = firsts[0] if firsts else None


def _check_media(request: Request) -> None:
    """Open what the user gave: a slip must not cost the time that models take to load."""
    for medium in request.media:
        if medium.is_still:
            from khayal.images import open_image

            open_image(medium.given)
        else:
            from khayal.video_reader import scan

            scan(medium.given)


def _enhanced(request: Request, endpoint: str, studio: Any) -> str:
    """The prompt, expanded by an endpoint, or by the grammar of khayal's own models."""
    from khayal import prompts

    if not request.prompt.strip():
        raise InputError("There is no prompt to enhance", fix="give one, or leave --enhance out")
    if endpoint:
        key, model = (os.environ.get(f"KHAYAL_ENHANCE_{name}", "") for name in ("KEY", "MODEL"))
        return prompts.by_endpoint(request.prompt, endpoint, key=key, model=model)
    if studio.timeline.is_causal:
        raise InputError(
            "This model was trained on other captions than khayal's grammar writes",
            fix="name an endpoint that expands the prompt: --enhance http://localhost:8080/v1",
        )
    return prompts.by_grammar(request.prompt, request.seed or 0)


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
    media = requests[0].media
    text = requests[0].prompt or (Path(media[0].given).stem if media else "")
    suffix = ".png" if is_still else ".mp4"
    return [str(naming.default_path(text, request.seed or 0, suffix)) for request in requests]


def _check_either(request: Request, path: str) -> None:
    """Refuse originals, and what no length could make writable; the exact check needs the model's rate."""
    check_originals(Path(path), [medium.given for medium in request.media])
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
    studio: Any,
    request: Request,
    path: str,
    display: console.Display,
    started: float,
    *,
    is_resuming: bool,
) -> tuple[Any, dict[str, Any]]:
    unfinished = Unfinished(path)
    keep = unfinished.begin(request, studio.checkpoint.name) if is_resuming else None
    clip = studio.run(request, on_step=display.on_step, keep=keep).for_file(path)
    display.note(*clip.details.get("notes", ()))
    saved = clip.save(path)
    given = [Path(medium.given) for medium in request.media if isinstance(medium.given, str | Path)]
    size = {"size": clip.size, "fps": float(clip.fps), "num_frames": clip.num_frames}
    provenance.sign(saved, {**clip.details, **size}, parents=given)
    if keep is not None:
        unfinished.end()
    return clip, _result(clip, saved, time.monotonic() - started)


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
