"""`khayal remix`: a clip imagined anew."""

from __future__ import annotations

from typing import Any

import click

from khayal.cli.making import make
from khayal.cli.options import Strength, fit_option, making_options, prompt_of
from khayal.tasks import RemixRequest


@click.command()
@click.argument("clip")
@click.argument("prompt", nargs=-1, required=True)
@making_options(None)
@click.option(
    "--strength",
    type=Strength(),
    default="mild",
    show_default=True,
    help="subtle, mild, strong, or a number up to 1: how much is imagined anew.",
)
@fit_option
def remix(clip: str, prompt: tuple[str, ...], strength: str | float, fit: str, **options: Any) -> None:
    """Imagine a clip anew: its layout and motion, with what the prompt says.

    \b
    khayal remix ball.mp4 "a blue cube slides on the snow"
    khayal remix ball.mp4 "the same at night" --strength subtle --out night.mp4
    """
    given = {"prompt": prompt_of(prompt), "clip": clip, "strength": strength, "fit": fit}
    make(RemixRequest, given, **options)
