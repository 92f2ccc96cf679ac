"""`khayal train`: run one stage of a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("recipe")
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="RUN",
    help="The folder of the whole run; each stage gets one of its own in it.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="SHARDS",
    help="Train on what khayal data pack made, in place of the recipe's own data.",
)
@click.option("--resume", is_flag=True, help="Go on where the stage is; begin where it is not begun.")
@click.option(
    "--start",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Begin with the weights of a small checkpoint or of an exported model, and a fresh optimiser.",
)
@click.option(
    "--minutes", type=float, metavar="N", help="End the stage after N minutes in all, decay included."
)
@click.option("--steps", type=click.IntRange(1), metavar="N", help="End the stage after N steps instead.")
@click.option(
    "--slice", "slice_minutes", type=float, metavar="N", help="Stop after N minutes, to be resumed."
)
@click.option("--set", "values", multiple=True, metavar="KEY=VALUE", help="A keyword of the recipe.")
@click.option("--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def train(
    recipe: str,
    out: Path,
    data: Path | None,
    resume: bool,
    start: Path | None,
    minutes: float | None,
    steps: int | None,
    slice_minutes: float | None,
    values: tuple[str, ...],
    device: str,
    as_json: bool,
) -> None:
    """Run one stage of a training recipe.

    \b
    khayal train recipes.embedded:autoencoder --out runs/out/a --minutes 90
    khayal train recipes.embedded:transformer --out runs/out/a --minutes 360 --slice 30 --resume
    khayal train recipes.finetune:transformer --data shards/ --out runs/out/mine
    torchrun --nproc-per-node 8 --no-python khayal train recipes.embedded:transformer --out runs/out/a

    A recipe is a Python function, module:function or file.py:function. Ctrl-C saves and stops; --resume
    goes on exactly there.
    """
    from khayal.components import pick_device
    from khayal.errors import InputError
    from khayal.train.loop import Sitting
    from khayal.train.packed import read_from
    from khayal.train.recipe import bounded, call_recipe, find_recipe, run_stage

    for name, value in (("--minutes", minutes), ("--slice", slice_minutes)):
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"{name} cannot be {value:g}", fix="give a number above 0")
    given = {}
    for text in values:
        key, sign, given_value = text.partition("=")
        if not sign:
            raise InputError(f"“{text}” is not KEY=VALUE")
        given[key] = given_value
    stage = bounded(call_recipe(find_recipe(recipe), out, given), minutes=minutes, num_steps=steps)
    if data is not None:
        stage = read_from(stage, data)
    folder = out / recipe.rpartition(":")[2]
    sitting = Sitting(
        device=pick_device(device), resume=resume, start=start, minutes=slice_minutes, is_shown=not as_json
    )
    outcome = run_stage(stage, folder, sitting)
    if as_json:
        told = {"path": str(outcome.model), "step": outcome.step, "is_finished": outcome.is_finished}
        click.echo(json.dumps(told))
    elif outcome.is_finished:
        click.echo(f"{recipe} is finished: {outcome.model}")
    else:
        click.echo(f"{recipe} stopped after step {outcome.step}; go on with --resume")
