"""`khayal models`: the checkpoints that there are."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from khayal.cli.interrupt import ends_at_once


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]...")
@click.option("--json", "as_json", is_flag=True, help="Print them as one JSON object.")
def models(folders: tuple[str, ...], as_json: bool) -> None:
    """List the models that khayal knows by name, and those on this machine.

    \b
    khayal models
    khayal models ~/checkpoints
    khayal "a red ball" --model Wan-AI/Wan2.2-TI2V-5B-Diffusers

    Those of the hub's cache are found by themselves; a FOLDER is a checkpoint, or holds some. Memory is
    estimated for a video of the model's own size and length in bfloat16, with --memory high and low; 1 GB is
    10⁹ bytes. Tasks are those that both the model and this version of khayal can do.
    """
    with _working(is_quiet=as_json) as tell:
        with ends_at_once(as_json=as_json):
            import khayal.memory  # noqa: F401 - torch, which takes seconds
        rows = list(_rows([Path(folder) for folder in folders], tell))
    if as_json:
        click.echo(json.dumps({"models": rows}, ensure_ascii=False))
        return
    _print_table([row for row in rows if "problem" not in row])
    for row in rows:
        if "problem" in row:
            click.echo(f"{row['name']} cannot be opened. {row['problem']}")


@contextmanager
def _working(*, is_quiet: bool) -> Iterator[Callable[[str], None]]:
    """A line on stderr that moves, for a terminal: estimates take a while. It takes what is said."""
    if is_quiet or not sys.stderr.isatty():
        yield lambda words: None
        return
    from rich.console import Console

    with Console(stderr=True).status("Starting") as status:
        yield status.update


def _rows(folders: list[Path], tell: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """The default model first, then those on this machine, then those that can be downloaded."""
    from khayal.checkpoint.catalogue import Broken, Entry, entry_of, known_models, local_models
    from khayal.checkpoint.folder import open_checkpoint

    tell("Looking for models")
    default = entry_of(open_checkpoint())
    found: dict[str, Entry | Broken] = {default.name: default}
    for model in (*local_models(folders), *known_models()):
        found.setdefault(model.name, model)
    for index, (name, model) in enumerate(found.items()):
        tell(f"Estimating memory {index + 1}/{len(found)}: {name}")
        yield _row(model)


def _row(model: Any) -> dict[str, Any]:
    """What `--json` prints of a `khayal.checkpoint.catalogue` Entry or Broken."""
    from khayal.checkpoint.catalogue import Broken
    from khayal.tasks import PLANNERS

    path = None if model.path is None else str(model.path)
    if isinstance(model, Broken):
        return {"name": model.name, "path": path, "problem": model.problem}
    possible = {request.task for request in PLANNERS}
    return {
        "name": model.name,
        "path": path,
        "num_parameters": model.num_parameters,
        "num_bytes": model.num_bytes,
        "memory_bytes": _memory_bytes(model),
        "size": list(model.size),
        "seconds": model.seconds,
        "fps": round(float(model.fps), 3),
        "tasks": [task for task in model.tasks if task in possible],
    }


def _memory_bytes(model: Any) -> dict[str, int]:
    """The estimate for the model's own size and length, in bfloat16, for the two ends of --memory."""
    import torch

    from khayal.checkpoint.keys import PARTS
    from khayal.memory import HIGH, LOW, Parts, Work, estimate
    from khayal.timeline import Timeline

    shape = model.shape
    part = next(part for part in PARTS if isinstance(shape.autoencoder, part.config_class))
    autoencoder: Any = part.skeleton(shape.autoencoder)
    timeline = Timeline(
        fps=model.fps, frames_per_latent=autoencoder.frames_per_latent, is_causal=autoencoder.is_causal
    )
    num_latents = len(timeline.frames_per_column(timeline.num_frames(model.seconds)))
    width, height = (side // autoencoder.spatial_ratio for side in model.size)
    parts = Parts(
        text=shape.text,
        transformer=shape.transformer,
        autoencoder=shape.autoencoder,
        dtype=torch.bfloat16,
        autoencoder_dtype=torch.float32,
        num_experts=shape.num_experts,
    )
    work = Work(latents=(num_latents, height, width))
    return {"high": estimate(parts, work, HIGH), "low": estimate(parts, work, LOW)}


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("Model", no_wrap=True)
    for title in ("Here", "On disk", "Memory high / low", "Video", "Tasks"):
        table.add_column(title, overflow="fold")
    for row in rows:
        memory, (width, height) = row["memory_bytes"], row["size"]
        table.add_row(
            row["name"],
            "yes" if row["path"] else "no",
            _bytes(row["num_bytes"]),
            f"{_bytes(memory['high'])} / {_bytes(memory['low'])}",
            f"{width}×{height}, {row['seconds']:g} s, {row['fps']:g} fps",
            ", ".join(row["tasks"]),
        )
    # where the output goes to a file or a pipe, no line is cut or broken
    Console(width=None if sys.stdout.isatty() else 400, highlight=False, markup=False).print(table)


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
