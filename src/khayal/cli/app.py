"""The `khayal` command: which subcommand is meant, and how it ends."""

from __future__ import annotations

import difflib
import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import click

import khayal
from khayal.cli.animate import animate
from khayal.cli.connect import connect
from khayal.cli.data import data
from khayal.cli.evaluate import evaluate
from khayal.cli.extend import extend
from khayal.cli.fill import fill
from khayal.cli.generate import generate
from khayal.cli.interrupt import STOPPED
from khayal.cli.keys import keys
from khayal.cli.loop import loop
from khayal.cli.models import models
from khayal.cli.remix import remix
from khayal.cli.serve import serve
from khayal.cli.storyboard import storyboard
from khayal.cli.train import train
from khayal.cli.verify import verify
from khayal.cli.world import world
from khayal.errors import Cancelled, KhayalError

_IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".heic")
_CLIPS = (".mp4", ".webm", ".mov", ".mkv", ".gif", ".avi", ".m4v")


class PromptGroup(click.Group):
    """A group whose default command is `generate`: what names no command is a prompt."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._with_command(args))

    def _with_command(self, args: list[str]) -> list[str]:
        if not args or args[0] in self.commands or args[0] in ("-h", "--help", "--version"):
            return args or ["--help"]
        word = args[0]
        if word == "help":
            return [*args[1:], "--help"]
        if " " not in word and not word.startswith("-"):
            self._refuse_slips(word)
        return ["generate", *args]

    def _refuse_slips(self, word: str) -> None:
        """A misspelt command or a forgotten verb must not cost minutes of generation."""
        close = difflib.get_close_matches(word.lower(), self.commands, n=1, cutoff=0.75)
        if close:
            raise click.UsageError(
                f"“{word}” is not a command. Did you mean: khayal {close[0]}? "
                f"To make a video of that word: khayal generate {word}"
            )
        if word.lower().endswith(_IMAGES) and os.path.exists(word):
            raise click.UsageError(f"“{word}” is an image. To bring it to life: khayal animate {word}")
        if word.lower().endswith(_CLIPS) and os.path.exists(word):
            raise click.UsageError(f"“{word}” is a clip. To let it go on: khayal extend {word}")


@click.group(
    cls=PromptGroup,
    subcommand_metavar="PROMPT | COMMAND ...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(khayal.__version__, message="khayal %(version)s")
def app() -> None:
    """Make videos on this machine: a sentence becomes a video, a still comes alive.

    \b
    khayal "a red ball bounces on the grass"
    khayal "waves at night" --seconds 4 --size 1280x704 --seed 7 --out waves.mp4
    khayal animate photo.jpg "she turns and smiles"
    khayal extend clip.mp4 "she walks away" --seconds 60
    khayal fill clip.mp4 --missing 1.0-2.5
    khayal loop clip.mp4
    khayal storyboard --new story.toml
    khayal models

    Bare khayal "…" is the same as khayal generate "…".
    """


for task in (generate, animate, extend, fill, connect, loop, remix, storyboard):
    app.add_command(task)
app.add_command(models)
app.add_command(world)
app.add_command(data)
app.add_command(train)
app.add_command(evaluate)
app.add_command(serve)
app.add_command(keys)
app.add_command(verify)


def main(given: Sequence[str]) -> NoReturn:
    """Run the command line and exit.

    Exit codes: 0 done; 2 the input cannot be used; 130 stopped by Ctrl-C; 1 anything else that is not the
    user's wish. What went wrong is one sentence on stderr; with `--json` it is one JSON object there, and
    stdout stays empty. KHAYAL_DEBUG=1 adds the traceback.
    """
    signal.signal(signal.SIGTERM, _terminate)
    if not _is_debugging():
        warnings.simplefilter("ignore")  # those of libraries are for developers
    sys.exit(_run(list(given), as_json="--json" in given))


def _run(args: list[str], *, as_json: bool) -> int:
    try:
        return app.main(args, prog_name="khayal", standalone_mode=False) or 0
    except KhayalError as error:
        details = {"what": error.what, "why": error.why, "fix": error.fix}
        return _fail(str(error), type(error).__name__, error.exit_code, as_json=as_json, **details)
    except click.ClickException as error:
        return _fail(_sentence(error), type(error).__name__, error.exit_code, as_json=as_json)
    except click.Abort as error:
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise  # click says Abort for an EOFError too, and that would be our fault
        return _fail(str(Cancelled()), Cancelled.__name__, STOPPED, as_json=as_json)


def _fail(sentence: str, kind: str, exit_code: int, *, as_json: bool, **details: Any) -> int:
    if _is_debugging():
        traceback.print_exc()
    if as_json:
        told = {"kind": kind, "message": sentence, **details, "exit_code": exit_code}
        click.echo(json.dumps({"error": told}, ensure_ascii=False), err=True)
    else:
        click.echo(sentence if exit_code == STOPPED else f"Error: {sentence}", err=True)
    return exit_code


def _sentence(error: click.ClickException) -> str:
    sentence = error.format_message()
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{sentence.rstrip('.?')}. See: {error.ctx.command_path} --help"
    return sentence


def _is_debugging() -> bool:
    return os.environ.get("KHAYAL_DEBUG", "") not in ("", "0")


def _terminate(signum: int, frame: Any) -> NoReturn:
    """What is unfinished is removed on the way out, as with Ctrl-C."""
    sys.exit(128 + signum)
