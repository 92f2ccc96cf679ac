"""Storyboards as files: TOML, with every mistake named by its place."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from khayal.errors import InputError, OutputError
from khayal.tasks import Character, Shot

EXAMPLE = """\
# A storyboard. To make the video: khayal storyboard FILE

# Said of every shot, after its own prompt.
prompt = "On the grass, in daylight."

# The whole length in seconds, shared by the shots that name none.
# seconds = 16

# The cast: described once, called by name in braces. An image or a clip helps a character keep its look.
[cast.ball]
description = "a small red ball"
# image = "ball.png"
# clip = "ball.mp4"

[[shot]]
prompt = "{ball} bounces"
seconds = 4

[[shot]]
prompt = "{ball} rolls to the right"
seconds = 4
# cut = false          # goes on from the shot before, without a cut

[[shot]]
prompt = "a blue cube slides to the left"
# image = "cube.png"   # its first frame
# clip = "cube.mp4"    # what it begins with, shown as it is
"""

_SHOT_KEYS = ("prompt", "seconds", "image", "clip", "cut")
_CAST_KEYS = ("description", "image", "clip")
_KEYS = ("prompt", "seconds", "shot", "cast")


def write_example(path: str | Path) -> str:
    """Write a commented example; a file that is there stays.

    Raises:
        OutputError: there is such a file, or it cannot be written.
    """
    path = Path(path)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(EXAMPLE.replace("FILE", path.name, 1))
    except FileExistsError:
        raise OutputError(f"{path} is there already", fix="choose another name") from None
    except OSError as error:
        raise OutputError(f"{path} cannot be written", why=error.strerror or str(error)) from error
    return str(path)


def read_storyboard(path: str | Path) -> dict[str, Any]:
    """The fields of a StoryboardRequest that a file gives; paths in it are seen from its folder.

    Raises:
        InputError: it is missing, is no TOML, has unknown keys, or values that are of no use.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"There is no storyboard {path}", fix=f"for an example: khayal storyboard --new {path}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The storyboard {path} cannot be read", why=str(error)) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"The storyboard {path} is no TOML", why=str(error)) from error
    _check_keys(data, _KEYS, f"In {path}")
    found: dict[str, Any] = {}
    if "prompt" in data:
        found["prompt"] = _text(data, "prompt", f"In {path}")
    if "seconds" in data:
        found["seconds"] = data["seconds"]
    cast = data.get("cast", {})
    shots = data.get("shot", [])
    if not isinstance(cast, dict) or not all(isinstance(one, dict) for one in cast.values()):
        raise InputError(f"In {path}, the cast is not a table", fix="write it as [cast.NAME]")
    if not isinstance(shots, list) or not all(isinstance(one, dict) for one in shots):
        raise InputError(f"In {path}, the shots are not a list", fix="begin each with [[shot]]")
    found["shots"] = [_shot(one, f"In {path}, shot {n}", path.parent) for n, one in enumerate(shots, start=1)]
    found["cast"] = [
        _character(name, one, f"In {path}, {name} of the cast", path.parent) for name, one in cast.items()
    ]
    return found


def _shot(data: Mapping[str, Any], where: str, folder: Path) -> Shot:
    _check_keys(data, _SHOT_KEYS, where)
    is_cut = data.get("cut", True)
    if not isinstance(is_cut, bool):
        raise InputError(f"{where}, “cut” is neither true nor false")
    seconds = data.get("seconds")
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float)):
        raise InputError(f"{where}, “seconds” is no number")
    given = {name: _file(data, name, where, folder) for name in ("image", "clip")}
    with _placed(where):
        return Shot(prompt=_text(data, "prompt", where), seconds=seconds, is_cut=is_cut, **given)


def _character(name: str, data: Mapping[str, Any], where: str, folder: Path) -> Character:
    _check_keys(data, _CAST_KEYS, where)
    given = {key: _file(data, key, where, folder) for key in ("image", "clip")}
    with _placed(where):
        return Character(name=name, description=_text(data, "description", where), **given)


def _file(data: Mapping[str, Any], name: str, where: str, folder: Path) -> Path | None:
    if name not in data:
        return None
    path = folder / _text(data, name, where)
    if not path.is_file():
        raise InputError(
            f"{where}, the {name} {path} is missing", fix="paths are seen from the storyboard's folder"
        )
    return path


def _text(data: Mapping[str, Any], name: str, where: str) -> str:
    value = data.get(name, "")
    if not isinstance(value, str):
        raise InputError(f"{where}, “{name}” is no text", fix="put it in quotes")
    return value


def _check_keys(data: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in data:
        if key not in known:
            raise InputError(
                f"{where}, there is an unknown key “{key}”", fix=f"the keys are {', '.join(known)}"
            )


@contextmanager
def _placed(where: str) -> Iterator[None]:
    """Errors inside tell where in the file they are."""
    try:
        yield
    except InputError as error:
        what = f"{where}: {error.what[:1].lower()}{error.what[1:]}"
        raise InputError(what, why=error.why, fix=error.fix) from None
