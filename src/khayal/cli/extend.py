"""`khayal extend`: a clip goes on, or begins earlier."""

from __future__ import annotations

from typing import Any

import click

from khayal.cli.making import make
from khayal.cli.options import fit_option, making_options, prompt_of
from khayal.tasks import ExtendRequest


@click.command()
@click.argument("clip")
@click.argument("prompt", nargs=-1)
@making_options("What is added.")
@click.option("--backward", is_flag=True, help="Add before the clip, not after it.")
@fit_option
def extend(clip: str, prompt: tuple[str, ...], backward: bool, fit: str, **options: Any) -> None:
    """Let a clip go on, or begin earlier.

    \b
    khayal extend ball.mp4 --seconds 4
    khayal extend ball.mp4 "the ball rolls away" --seconds 60
    khayal extend ball.mp4 --backward --out longer.mp4

    Any video that FFmpeg reads. Its frames come back as they are, at the model's rate and size, with their
    sound; the clip itself is never changed.
    """
    given = {"prompt": prompt_of(prompt), "clip": clip, "backward": backward, "fit": fit}
    make(ExtendRequest, given, **options)
