"""The command line: one file for each noun; bare `khayal "…"` generates."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from khayal.cli.interrupt import ends_at_once

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; see `khayal.cli.app.main`."""
    given = sys.argv[1:] if args is None else list(args)
    with ends_at_once(as_json="--json" in given):
        from khayal.cli import app
    app.main(given)
