"""`khayal connect`: two clips become one."""

from __future__ import annotations

from typing import Any

import click

from khayal.cli.making import make
from khayal.cli.options import fit_option, making_options, prompt_of
from khayal.tasks import ConnectRequest


@click.command()
@click.argument("first", metavar="CLIP")
@click.argument("second", metavar="CLIP")
@click.argument("prompt", nargs=-1)
@making_options("What is imagined between them.", default="half of the model's")
@fit_option
def connect(first: str, second: str, prompt: tuple[str, ...], fit: str, **options: Any) -> None:
    """Make one clip of two: what leads from the first to the second is imagined.

    \b
    khayal connect a.mp4 b.mp4
    khayal connect a.mp4 b.mp4 "the ball rolls into the snow" --seconds 2 --out both.mp4
    """
    make(
        ConnectRequest, {"prompt": prompt_of(prompt), "first": first, "second": second, "fit": fit}, **options
    )
