"""The command line: one file for each noun; bare `khayal "…"` generates."""

from khayal.cli.app import main

__all__ = ["main"]
