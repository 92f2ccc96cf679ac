"""`khayal models`: the checkpoints that there are."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click


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
    estimated for a video of the model's own size and length in bfloat16, with --memory high and low.
    """
    from khayal.checkpoint.catalogue import known_models, local_models

    local = local_models([Path(folder) for folder in folders])
    here = {model.name for model in local}
    rows = [_row(model) for model in (*local, *(known for known in known_models() if known.name not in here))]
    if as_json:
        click.echo(json.dumps({"models": rows}, ensure_ascii=False))
        return
    _print_table([row for row in rows if "problem" not in row])
    for row in rows:
        if "problem" in row:
            click.echo(f"{row['name']} cannot be opened. {row['problem']}")


def _row(model: Any) -> dict[str, Any]:
    """What `--json` prints of a `khayal.checkpoint.catalogue` Entry or Broken."""
    from khayal.checkpoint.catalogue import Broken

    path = None if model.path is None else str(model.path)
    if isinstance(model, Broken):
        return {"name": model.name, "path": path, "problem": model.problem}
    return {
        "name": model.name,
        "path": path,
        "num_parameters": model.num_parameters,
        "num_bytes": model.num_bytes,
        "memory_bytes": _memory_bytes(model),
        "size": list(model.size),
        "seconds": model.seconds,
        "fps": round(float(model.fps), 3),
        "tasks": list(model.tasks),
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

    from khayal.tasks import TASKS

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("Model", no_wrap=True)
    for title in ("Here", "On disk", "Memory high / low", "Video", "Tasks"):
        table.add_column(title)
    for row in rows:
        memory, (width, height) = row["memory_bytes"], row["size"]
        table.add_row(
            row["name"],
            "yes" if row["path"] else "no",
            _bytes(row["num_bytes"]),
            f"{_bytes(memory['high'])} / {_bytes(memory['low'])}",
            f"{width}×{height}, {row['seconds']:g} s, {row['fps']:g} fps",
            "all eight" if len(row["tasks"]) == len(TASKS) else ", ".join(row["tasks"]),
        )
    # where the output goes to a file or a pipe, no line is cut or broken
    Console(width=None if sys.stdout.isatty() else 400, highlight=False, markup=False).print(table)


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
