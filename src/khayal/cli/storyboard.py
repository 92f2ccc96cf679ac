"""`khayal storyboard`: several shots with the same characters and places."""

from __future__ import annotations

from typing import Any

import click

from khayal.cli.making import make
from khayal.cli.options import fit_option, making_options
from khayal.storyboard import read_storyboard, write_example
from khayal.tasks import StoryboardRequest


@click.command()
@click.argument("file")
@click.option("--new", is_flag=True, help="Write a commented example to FILE, to begin from.")
@making_options("Total length, shared by the shots that name none.")
@fit_option
def storyboard(file: str, new: bool, fit: str, **options: Any) -> None:
    """Make one video of several shots, described in a file.

    \b
    khayal storyboard --new story.toml
    khayal storyboard story.toml --out story.mp4

    Each shot has its prompt and its seconds, and may begin with an image or a clip; the cast is described
    once. A single prompt can do as well: khayal "First … Then cut to …".
    """
    if new:
        click.echo(write_example(file))
        return
    given = read_storyboard(file)
    if options["seconds"] is not None:
        given.pop("seconds", None)
    make(StoryboardRequest, {**given, "fit": fit}, **options)
