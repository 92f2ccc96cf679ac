"""`khayal animate`: a still comes alive."""

from __future__ import annotations

from typing import Any

import click

from khayal.cli.making import make
from khayal.cli.options import fit_option, making_options, prompt_of
from khayal.tasks import AnimateRequest


@click.command()
@click.argument("image")
@click.argument("prompt", nargs=-1)
@making_options()
@fit_option
def animate(image: str, prompt: tuple[str, ...], fit: str, **options: Any) -> None:
    """Bring an image to life: it becomes the first frame.

    \b
    khayal animate photo.jpg
    khayal animate photo.jpg "she turns and smiles" --seconds 4
    khayal animate drawing.png "the boat sails away" --fit pad --out boat.mp4

    Any image that Pillow reads, turned as its camera was. What is transparent is shown on white.
    """
    make(AnimateRequest, {"prompt": prompt_of(prompt), "image": image, "fit": fit}, **options)
