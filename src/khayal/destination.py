"""Where a result goes: found out before the work starts, and written so that it appears whole.

Work is done beside its target, under a name that no other file and no other run has (NAME.3f9a2c.part.mp4),
and renamed at the very end: an older file stays until the new one is complete, an interruption leaves
nothing behind, and nothing is removed that this run did not make.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from khayal.errors import OutputError

SUFFIXES = (".mp4", ".webm", ".gif", ".png")
FRAME_NAME = "frame-{:05d}.png"
_FRAME_NAMES = re.compile(r"frame-\d{5,}\.png")


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


def check_originals(target: Path, originals: Iterable[str | Path]) -> None:
    """Refuse to write over a file from which the result is made.

    Raises:
        OutputError: the target is one of them.
    """
    for original in originals:
        if os.path.exists(target) and os.path.exists(original) and os.path.samefile(target, original):
            raise OutputError(
                f"{target} is not overwritten",
                why="the video is made from it",
                fix="choose another name",
            )


def is_folder(target: Path) -> bool:
    """True where a path that `check_output` returned stands for a folder of png frames."""
    return target.suffix.lower() not in SUFFIXES


def part_of(target: Path, label: str = "part", *, suffix: str | None = None) -> AbstractContextManager[Path]:
    """A new file for unfinished work on `target`, beside it, that is gone afterwards, whatever happens.

    Args:
        target: what becomes of it at the end.
        label: a word for what it is.
        suffix: its extension, where that is not the target's.
    """
    path = _part_path(target, label, target.suffix if suffix is None else suffix)
    return _unfinished(path, lambda: path.open("xb").close())


def part_folder_of(target: Path) -> AbstractContextManager[Path]:
    """A new folder for unfinished work on `target`, beside it, that is gone afterwards."""
    path = _part_path(target, "part")
    return _unfinished(path, path.mkdir)


@contextmanager
def _unfinished(path: Path, make: Callable[[], None]) -> Iterator[Path]:
    is_ours = True
    try:
        try:
            make()
        except FileExistsError:
            is_ours = False
            raise
        yield path
    finally:
        if is_ours and path.is_dir():
            shutil.rmtree(path)
        elif is_ours:
            path.unlink(missing_ok=True)


def replace_folder(made: Path, target: Path) -> None:
    """Rename `made` to `target`; an older folder there goes at the end, or comes back.

    No call of the system exchanges two folders everywhere, so there is a moment between two renames.

    Raises:
        OutputError: something other than frames came into the older folder meanwhile.
    """
    old = _part_path(target, "old")
    try:
        if target.exists():
            _check_folder(target)
            os.replace(target, old)
        os.replace(made, target)
    finally:
        if old.exists():
            if made.exists():  # the second rename did not happen
                os.replace(old, target)
            else:
                shutil.rmtree(old)


def _part_path(target: Path, label: str, suffix: str = "") -> Path:
    """A readable name that nobody has."""
    stem = target.name if is_folder(target) else target.stem
    while True:
        path = target.with_name(f"{stem}.{secrets.token_hex(3)}.{label}{suffix}")
        if not os.path.lexists(path):
            return path


def _target(path: str | Path, num_frames: int | None) -> Path:
    text = os.fspath(path)
    target = Path(os.path.realpath(text)) if os.path.islink(text) else Path(text)
    suffix = target.suffix.lower()
    if text == "-":
        raise OutputError(
            "A video cannot be written to stdout",
            why="it is made beside its place and renamed when it is complete",
            fix="give a file name, such as clip.mp4",
        )
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
    with part_of(target, suffix=""):
        pass


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
    if not all(entry.is_file() and _FRAME_NAMES.fullmatch(entry.name) for entry in target.iterdir()):
        raise OutputError(
            f"{target} cannot be written",
            why="it is a folder with other files in it",
            fix=f"name a file inside it, such as {target / 'clip.mp4'}, or a new folder for png frames",
        )
