"""`khayal data`: your own videos, made ready for training."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from khayal.cli.options import Size

if TYPE_CHECKING:
    from khayal.data.pack import Report

_FROM_MODEL = "the model's"


@click.group()
def data() -> None:
    """Make folders of videos and captions ready for training.

    \b
    khayal data pack clips/ --out shards/ --model Wan-AI/Wan2.2-TI2V-5B-Diffusers
    khayal train recipes.finetune:transformer --data shards/ --out runs/out/mine
    """


@data.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="SHARDS",
    help="Where the shards go; what is there already is not made again.",
)
@click.option(
    "--model",
    "-m",
    metavar="M",
    envvar="KHAYAL_MODEL",
    show_envvar=True,
    show_default="the one that khayal comes with",
    help="The checkpoint that is to be trained: its autoencoder makes the latents.",
)
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A table of captions: csv, tsv, json, jsonl or parquet. Those named captions or metadata are found.",
)
@click.option(
    "--encoding",
    default="utf-8",
    metavar="E",
    help="Of captions that are not UTF-8, such as windows-1256.",
)
@click.option(
    "--seconds", "-s", type=float, metavar="S", show_default=_FROM_MODEL, help="Longer videos are cut."
)
@click.option(
    "--size", type=Size(), metavar="WxH", help="One size for all; else usual shapes, under --pixels."
)
@click.option(
    "--pixels",
    type=click.IntRange(1),
    metavar="N",
    show_default=_FROM_MODEL,
    help="The budget for a frame: width × height at most.",
)
@click.option(
    "--enlarge",
    type=click.FloatRange(1.0),
    default=1.25,
    show_default=True,
    metavar="F",
    help="Leave out what would have to be enlarged by more.",
)
@click.option(
    "--workers",
    type=click.IntRange(0),
    metavar="N",
    help="Processes that decode; by default one for each core, 0 for none beside this one.",
)
@click.option("--text/--no-text", default=True, show_default=True, help="Encode captions, for fine-tuning.")
@click.option(
    "--device", default="auto", show_default=True, metavar="D", help="auto, cpu, cuda, cuda:1, mps."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def pack(
    folder: Path,
    out: Path,
    enlarge: float,
    workers: int | None,
    text: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Encode a folder of videos and images with captions into shards of latents.

    \b
    khayal data pack clips/ --out shards/
    khayal data pack clips/ --out shards/ --manifest list.csv --size 832x480 --seconds 3

    A caption is in a file beside the video (ball.txt or ball.json beside ball.mp4) or in a table. What is
    left out is in SHARDS/report.txt, with the reason. Stopped, it goes on where it was: run it again.
    """
    from khayal.data.pack import PackConfig
    from khayal.data.pack import pack as run

    config = PackConfig(
        folder=folder,
        out=out,
        most_enlarged=enlarge,
        num_workers=_num_cores() if workers is None else workers,
        has_text=text,
        **chosen,
    )
    with _progress(is_quiet=as_json) as on_step:
        report = run(config, on_step)
    click.echo(json.dumps(_as_json(report, out), ensure_ascii=False) if as_json else _as_text(report, out))


def _num_cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return cores or 1


def _as_text(report: Report, out: Path) -> str:
    size = (
        f"{report.num_bytes / 1e9:.1f} GB" if report.num_bytes >= 1e8 else f"{report.num_bytes / 1e6:.1f} MB"
    )
    clips, files = _counted(sum(report.clips.values()), "clip"), _counted(report.num_files, "file")
    lines = [f"{out}: {clips} from {files}, in {_counted(report.num_shards, 'shard')} of {size} in all."]
    lines += [f"  {count:6} of {w}×{h}, {t} latent frames" for (w, h, t), count in report.clips.items()]
    if report.skipped:
        lines.append(f"{len(report.skipped)} left out; {out / 'report.txt'} names each:")
        lines += [f"  {count:6} × {why}" for why, count in report.reasons.items()]
    if report.notes:
        lines.append(f"{_counted(len(report.notes), 'note')} on what was taken: there too.")
    return "\n".join(lines)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _as_json(report: Report, out: Path) -> dict[str, Any]:
    return {
        "path": str(out),
        "clips": sum(report.clips.values()),
        "files": report.num_files,
        "shards": report.num_shards,
        "bytes": report.num_bytes,
        "buckets": [
            {"size": [w, h], "latent_frames": t, "clips": count} for (w, h, t), count in report.clips.items()
        ],
        "skipped": [vars(one) for one in report.skipped],
        "reasons": report.reasons,
        "notes": list(report.notes),
    }


@contextmanager
def _progress(*, is_quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr for each thing that is done, where somebody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=is_quiet or not console.is_terminal
    ) as bar:
        tasks: dict[str, Any] = {}

        def on_step(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=done, total=total)

        yield on_step
