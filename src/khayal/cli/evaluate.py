"""`khayal evaluate`: how good a checkpoint is, in figures."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

_LINE_SECONDS = 30.0


@click.command()
@click.option("--model", "-m", metavar="M", help="A folder or a hub id; else the one khayal comes with.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write index.html and report.json there. Run again, it goes on where it was.",
)
@click.option("--dial", metavar="D", help="Of the world: 12 is dials 1 and 2 in turn; else the checkpoint's.")
@click.option(
    "--prompts", type=click.IntRange(2), default=512, show_default=True, metavar="N", help="In each table."
)
@click.option(
    "--clips",
    type=click.IntRange(4),
    default=2048,
    show_default=True,
    metavar="N",
    help="For the Fréchet distance.",
)
@click.option(
    "--continued", type=click.IntRange(1), default=64, show_default=True, metavar="N", help="For physics."
)
@click.option(
    "--scenes", type=click.IntRange(2), default=24, show_default=True, metavar="N", help="For the tasks."
)
@click.option(
    "--minutes", type=click.IntRange(1), default=6, show_default=True, metavar="N", help="Long videos."
)
@click.option(
    "--minute-seconds",
    type=click.FloatRange(1, 60),
    default=60.0,
    show_default=True,
    metavar="S",
    help="How long these are.",
)
@click.option(
    "--only",
    metavar="PARTS",
    help="Some of fidelity,reconstruction,distribution,physics,consistency,tasks,minute,storyboard,remix.",
)
@click.option("--workers", type=click.IntRange(0), metavar="N", help="Processes that render.")
@click.option("--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def evaluate(
    model: str | None,
    report: Path | None,
    dial: str | None,
    prompts: int,
    clips: int,
    continued: int,
    scenes: int,
    minutes: int,
    minute_seconds: float,
    only: str | None,
    workers: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Measure how good a checkpoint is, on clips of khayal's own world.

    \b
    khayal evaluate --report out/report
    khayal evaluate --model runs/out/embedded/transformer/model --prompts 64 --only fidelity
    khayal evaluate --only tasks,minute,storyboard,remix --report out/tasks

    A probe that was trained on the world's truth reads what the checkpoint makes. Its own accuracy on real
    clips is the ceiling, and is told beside every figure. Stopped, it goes on where it was.
    """
    from khayal.evaluate import evaluation
    from khayal.evaluate.page import check_folder, write_report

    if report is not None:
        check_folder(report)
    parts = tuple(part.strip() for part in only.split(",")) if only is not None else evaluation.PARTS
    choice = evaluation.Choice(
        dials=dial or "",
        parts=parts,
        num_prompts=prompts,
        num_clips=clips,
        num_continued=continued,
        num_scenes=scenes,
        num_minutes=minutes,
        minute_seconds=minute_seconds,
        num_workers=evaluation.default_workers() if workers is None else workers,
    )
    with _progress(is_quiet=as_json) as show:
        told, pictures = evaluation.evaluate(model, report, choice, device=device, show=show)
    if report is not None:
        write_report(report, told, pictures)
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    _print(told)
    if report is not None:
        click.echo(report / "index.html")


@contextmanager
def _progress(*, is_quiet: bool) -> Iterator[Any]:
    """A bar for each thing that is measured; a line now and then where there is no terminal."""
    if not sys.stderr.isatty():
        yield (lambda stage, done, total: None) if is_quiet else _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total, completed=done)
            progress.update(tasks[stage], total=total, completed=done)

        yield show


def _lines() -> Any:
    began: dict[str, tuple[float, int]] = {}
    last = 0.0

    def show(stage: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        start, before = began.setdefault(stage, (now, done))
        if now - last < _LINE_SECONDS and done < total:
            return
        last = now
        left = (now - start) / (done - before) * (total - done) if done > before else None
        estimate = f", {left / 60:.1f} minutes left" if left and done < total else ""
        click.echo(f"{stage}: {done} of {total}{estimate}", err=True)

    return show


def _print(told: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from khayal.evaluate.claims import ATTRIBUTES
    from khayal.evaluate.page import CEILING, ceiling, figures

    console = Console()
    shown = figures(told)
    if "fidelity" in told:
        _print_rows(console, CEILING, ceiling(told))
    for split, groups in told.get("fidelity", {}).items():
        table = Table(title=f"Prompt fidelity, {split}: share right / the probe's ceiling / chance, in %")
        table.add_column("prompts")
        names = [name for name in ATTRIBUTES if any(name in entry for entry in groups.values())]
        for name in names:
            table.add_column(name, justify="right")
        for group, entry in groups.items():
            cells = [_cell(entry[name]) if name in entry else "–" for name in names]
            table.add_row(f"{group} ({entry['prompts']}, {entry['casts']} casts)", *cells)
        console.print(table)
    for title, rows in shown:
        _print_rows(console, title, rows)


def _print_rows(console: Any, title: str, rows: list[tuple[str, str]]) -> None:
    from rich.table import Table

    table = Table(title=title, show_header=False)
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)


def _cell(entry: Mapping[str, Any]) -> str:
    shares = (entry["share"], entry["ceiling"]["share"], entry["chance"])
    return " / ".join("–" if share is None else f"{100 * share:.0f}" for share in shares)
