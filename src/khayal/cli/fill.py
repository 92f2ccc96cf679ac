"""`khayal fill`: what is missing is imagined."""

from __future__ import annotations

from typing import Any

import click

from khayal.cli.making import make
from khayal.cli.options import Keyframe, Span, fit_option, making_options, prompt_of
from khayal.tasks import FillRequest


@click.command()
@click.argument("words", nargs=-1, metavar="[CLIP] [PROMPT]...")
@making_options("With keyframes, the whole length.", default="up to the last keyframe")
@click.option("--missing", type=Span(), multiple=True, help="A span of the clip in seconds, again and again.")
@click.option(
    "--keyframe", "keyframes", type=Keyframe(), multiple=True, help="A still and its second, again and again."
)
@fit_option
def fill(
    words: tuple[str, ...],
    missing: tuple[tuple[float, float], ...],
    keyframes: tuple[tuple[float, str], ...],
    fit: str,
    **options: Any,
) -> None:
    """Imagine what is missing in a clip, or everything between stills.

    \b
    khayal fill ball.mp4 --missing 1.0-2.5
    khayal fill ball.mp4 "the ball bounces" --missing 0-1 --missing 3-4
    khayal fill --keyframe 0=a.png --keyframe 2=b.png "the ball rolls"

    All other frames come back as they are, at the model's rate and size.
    """
    given: dict[str, Any] = {"keyframes": keyframes, "missing": missing, "fit": fit}
    if not keyframes:
        if not words:
            raise click.UsageError("Missing argument 'CLIP'", ctx=click.get_current_context())
        given["clip"], words = words[0], words[1:]
    make(FillRequest, {"prompt": prompt_of(words), **given}, **options)
