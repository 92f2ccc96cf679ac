"""`khayal loop`: a clip that can be played round and round."""

from __future__ import annotations

from typing import Any

import click

from khayal.cli.making import make
from khayal.cli.options import fit_option, making_options, prompt_of
from khayal.tasks import LoopRequest


@click.command()
@click.argument("clip")
@click.argument("prompt", nargs=-1)
@making_options("What is added to close it.", default="half of the model's")
@fit_option
def loop(clip: str, prompt: tuple[str, ...], fit: str, **options: Any) -> None:
    """Close a clip, so that it can be played round and round.

    \b
    khayal loop ball.mp4
    khayal loop ball.mp4 --seconds 1 --out ball.gif
    """
    make(LoopRequest, {"prompt": prompt_of(prompt), "clip": clip, "fit": fit}, **options)
