"""`khayal world`: clips of a simulated world whose captions are true."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from khayal.cli.options import Size

_SCENE = (
    click.option(
        "--seed", type=click.IntRange(0), default=0, show_default=True, metavar="S", help="Which clips."
    ),
    click.option(
        "--size", type=Size(), default="128x128", show_default=True, metavar="WxH", help="Multiples of 16."
    ),
    click.option(
        "--seconds", "-s", type=float, default=4.0, show_default=True, metavar="S", help="Up to 60."
    ),
    click.option("--fps", type=int, default=12, show_default=True, metavar="F", help="Frames per second."),
    click.option(
        "--dial",
        type=click.IntRange(1, 5),
        default=5,
        show_default=True,
        help="How much of the world is used: 1 is two kinds of actor and three motions, 5 everything.",
    ),
    click.option(
        "--split",
        type=click.Choice(["train", "heldout", "all"]),
        default="train",
        show_default=True,
        help="Whether combinations that are kept for evaluation appear.",
    ),
    click.option("--play", default="", metavar="NAME", help="Only scenes of one play, such as push or hide."),
)


def _scene_options(command: Any) -> Any:
    for option in reversed(_SCENE):
        command = option(command)
    return command


@click.group()
def world() -> None:
    """Render captioned clips of a simulated world whose truth is known.

    \b
    khayal world preview --seed 7
    khayal world render --count 1000 --seed 1 --out clips/ --workers 8
    khayal world render --count 200 --seed 1 --split heldout --out unseen/
    """


@world.command()
@click.option("--count", type=click.IntRange(1), required=True, metavar="N", help="How many clips.")
@click.option("--out", "-o", type=click.Path(path_type=Path, file_okay=False), required=True, metavar="DIR")
@_scene_options
@click.option(
    "--workers", type=click.IntRange(0), metavar="N", help="Processes; by default one for each core."
)
@click.option(
    "--segment/--no-segment", default=True, show_default=True, help="Count each actor's visible pixels."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def render(
    count: int, out: Path, seed: int, workers: int | None, segment: bool, as_json: bool, **scene: Any
) -> None:
    """Render a folder of clips: 000000.mp4 with 000000.json (captions and truth) beside it.

    \b
    khayal world render --count 1000 --seed 1 --out clips/
    khayal world render --count 50 --size 160x96 --seconds 20 --out long/

    Stopped, it goes on where it was: run it again, and only what is missing is rendered.
    """
    from khayal.world.draw import Request
    from khayal.world.folder import count_rejected, missing, render_folder

    num_workers = (
        len(os.sched_getaffinity(0)) if workers is None and hasattr(os, "sched_getaffinity") else workers
    )
    if num_workers is None:
        num_workers = os.cpu_count() or 1
    making = render_folder(
        out,
        count=count,
        seed=seed,
        request=Request(**scene),
        num_workers=num_workers,
        is_segmented=segment,
    )
    todo = len(missing(out, count))
    written = list(_with_progress(making, todo, is_quiet=as_json))
    rejected = count_rejected(written)
    if as_json:
        click.echo(
            json.dumps({"path": str(out), "rendered": len(written), "count": count, "rejected": rejected})
        )
        return
    click.echo(f"{out}: {len(written)} clips rendered, {count - len(written)} were there already.")
    broken = {reason: n for reason, n in rejected.items() if reason != "another split"}
    if broken:
        told = ", ".join(f"{n} {reason}" for reason, n in broken.items())
        click.echo(f"{sum(broken.values())} broken scenes were drawn again: {told}.")


def _with_progress(making: Any, total: int, *, is_quiet: bool) -> Any:
    """Pass clips on and show on stderr how many there are."""
    if is_quiet or not sys.stderr.isatty():
        yield from making
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Rendering"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(making, total=total)


@world.command()
@_scene_options
@click.option(
    "--count", type=click.IntRange(1, 200), default=24, show_default=True, metavar="N", help="Clips."
)
@click.option("--out", "-o", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="A png.")
@click.option("--workers", type=click.IntRange(0), default=0, metavar="N", help="Processes beside this one.")
def preview(seed: int, count: int, out: Path | None, workers: int, **scene: Any) -> None:
    """Draw one contact sheet of many clips, with their captions.

    \b
    khayal world preview --seed 7
    khayal world preview --seed 7 --dial 1 --out small.png
    """
    from khayal.destination import check_output
    from khayal.world.draw import Request
    from khayal.world.feed import stream
    from khayal.world.sheet import contact_sheet

    path = out or Path(f"world-{seed}.png")
    request = Request(**scene)
    check_output(path)
    contact_sheet(stream(seed, count=count, request=request, num_workers=workers)).save(path)
    click.echo(path)
