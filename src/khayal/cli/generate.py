"""`khayal generate`: a sentence becomes a video."""

from __future__ import annotations

from typing import Any

import click

from khayal.cli.making import make
from khayal.cli.options import making_options, prompt_of
from khayal.tasks import GenerateRequest


@click.command()
@click.argument("prompt", nargs=-1, required=True)
@making_options()
def generate(prompt: tuple[str, ...], **options: Any) -> None:
    """Make a video from a sentence.

    \b
    khayal "a red ball bounces on the grass"
    khayal generate "waves at night" --seconds 4 --size 1280x704 --fps 24
    khayal generate "a cat in the snow" --seed 7 --steps 30 --out cat.gif
    khayal generate "a paper boat" --variations 4
    khayal generate "a portrait in oil" --seconds 0 --out portrait.png
    khayal generate - --json < prompt.txt

    A prompt may tell of several shots: "First a red ball rolls. Then cut to a blue cube." What is longer
    than the model makes at once is made window after window: --seconds 60.

    The prompt may be several words without quotes; “-” reads it from stdin. Length, size, rate,
    steps, guidance and solver that are not given are the model's own, kept in its folder.
    """
    make(GenerateRequest, {"prompt": prompt_of(prompt)}, **options)
