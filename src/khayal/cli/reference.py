"""The page docs/reference/cli.md, from the commands' own help.

python -m khayal.cli.reference > docs/reference/cli.md
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from khayal.cli.app import app

_WIDTH = 100

_HEAD = """\
# The command line

*Made by `python -m khayal.cli.reference`; a test fails where it differs from the commands.*

Exit codes: 0 done, 2 the input cannot be used, 130 stopped by Ctrl-C, 1 any other error. An error is one
sentence on stderr. With `--json`, stdout carries one JSON object and nothing else; an error leaves it empty
and is one JSON object in the last line of stderr:
`{"error": {"kind", "message", "what", "why", "fix", "exit_code"}}`, the middle three where they are known.
`KHAYAL_DEBUG=1` adds the traceback.

The result of a command that makes a video has `path`, `size`, `seconds`, `num_frames`, `fps` (as the file has
them), `seed`, `model`, `prompt`, `steps`, `guidance` (one scale for each expert), `solver`, `memory` (how the
model was kept), `notes` (what was changed: cropped, resampled, cut) and `took_seconds`; with `--enhance` also
`asked` (the prompt before), with `--report` also `report`; several variations
are a list of these under `variations`. A result that is given no name goes to a new file in the current
folder, named after the prompt and the seed; nothing is overwritten that was not named.
"""


def reference() -> str:
    """The whole page."""
    sections = (f"## {path}\n\n```\n{text}\n```\n" for path, text in _helps(app, "khayal", None))
    return "\n".join((_HEAD, *sections))


def _helps(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    settings = {**command.context_settings, "max_content_width": _WIDTH, "terminal_width": _WIDTH}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    yield context.command_path, command.get_help(context)
    for child in getattr(command, "commands", {}).values():
        yield from _helps(child, child.name or "", context)


if __name__ == "__main__":
    click.echo(reference(), nl=False)
