"""Where a result goes: found out before the work starts, and written so that it appears whole.

Work is done beside its target under a name with “.part” in it and renamed at the very end, so that an
older file stays until the new one is complete, and an interruption leaves nothing behind.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from khayal.errors import OutputError

SUFFIXES = (".mp4", ".webm", ".gif", ".png")


def check_output(path: str | Path, *, num_frames: int | None = None) -> Path:
    """Find out before the work starts whether `path` can be written.

    The format is told by the extension. A path that ends in “/” or has no extension is a folder of png
    frames; so is “.png” for more than one frame (its name without the extension); a single frame for a
    path without extension gets “.png”.

    Args:
        path: where the result is to go. An existing file is replaced when the new one is complete.
        num_frames: the length, where it is known; otherwise more than one frame is assumed.

    Returns:
        The path that will be written: a file with an extension, or a folder without.

    Raises:
        OutputError: the extension is unknown, the folder does not exist or cannot be written, or
            something that is not ours to replace stands at the path.
    """
    target = _target(path, num_frames)
    try:
        _check_parent(target)
        if is_folder(target):
            _check_folder(target)
        else:
            _check_file(target)
        _check_writable(target)
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written",
            why=error.strerror or str(error),
            fix="choose another name, in a folder that you can write to",
        ) from error
    return target


def is_folder(target: Path) -> bool:
    """True where a path that `check_output` returned stands for a folder of png frames."""
    return target.suffix.lower() not in SUFFIXES


def part_path(target: Path, label: str = "part") -> Path:
    """The name of unfinished work on `target`, beside it and with its extension: NAME.part.mp4."""
    return target.with_name(f"{target.stem if target.suffix else target.name}.{label}{target.suffix}")


@contextmanager
def part_of(target: Path, label: str = "part") -> Iterator[Path]:
    """A path for unfinished work on `target` that is gone afterwards, whatever happens."""
    path = part_path(target, label)
    _remove(path)
    try:
        yield path
    finally:
        _remove(path)


def _target(path: str | Path, num_frames: int | None) -> Path:
    text = os.fspath(path)
    target = Path(os.path.realpath(text)) if os.path.islink(text) else Path(text)
    suffix = target.suffix.lower()
    if not target.name:
        raise OutputError(f"“{text}” names no file", fix="give a file name, such as clip.mp4")
    if suffix == ".png" and num_frames != 1:
        return target.with_suffix("")
    if suffix in SUFFIXES or text.endswith("/"):
        return target
    if suffix:
        raise OutputError(
            f"{target} cannot be written",
            why=f"“{target.suffix}” is not a format that khayal knows",
            fix=f"end the name in {', '.join(SUFFIXES)}, or in / for a folder of png frames",
        )
    return target.with_suffix(".png") if num_frames == 1 else target


def _check_parent(target: Path) -> None:
    if target.parent.is_dir():
        return
    if target.parent.exists():
        raise OutputError(f"{target} cannot be written", why=f"{target.parent} is not a folder")
    raise OutputError(
        f"{target} cannot be written",
        why=f"the folder {target.parent} does not exist",
        fix=f"create it first: mkdir -p '{target.parent}'",
    )


def _check_writable(target: Path) -> None:
    """Permission bits do not tell (root, network drives, a full name): only making the file does."""
    part = part_path(target)
    try:
        part.open("xb").close()
    except FileExistsError:  # another run's, or left by one that was killed
        return
    part.unlink()


def _check_file(target: Path) -> None:
    if target.is_dir():
        raise OutputError(
            f"{target} cannot be written",
            why="it is a folder",
            fix=f"choose another name, or one inside it: {target / 'clip.mp4'}",
        )
    if target.exists() and not (target.is_file() and os.access(target, os.W_OK)):
        raise OutputError(
            f"{target} cannot be replaced",
            why="it is protected, or not an ordinary file",
            fix="choose another name",
        )


def _check_folder(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputError(
            f"The folder {target} cannot be made",
            why="a file has that name",
            fix=f"choose another name, or an extension for a video: {target}.mp4",
        )
    if not all(name.startswith("frame-") and name.endswith(".png") for name in os.listdir(target)):
        raise OutputError(
            f"{target} cannot be written",
            why="it is a folder with other files in it",
            fix=f"name a file inside it, such as {target / 'clip.mp4'}, or a new folder for png frames",
        )


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
