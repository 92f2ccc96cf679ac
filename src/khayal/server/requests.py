"""What clients may ask for: the request types of `khayal.tasks`, read from and written as JSON.

Nothing here knows the tasks by name: whatever `khayal.tasks` plans, the server takes.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from khayal import tasks
from khayal.errors import InputError

FILE = "$file"
"""The key under which a request's JSON names a file of its job's inputs."""


class Text(str):
    """A value of a form, where everything is text: it may stand for a number."""

    __slots__ = ()


_SAME_SHAPE = 0.05
_JSON_TYPES: Mapping[type, tuple[type, ...]] = {str: (str, Text), float: (float, int)}


def kinds() -> dict[str, type[tasks.Request]]:
    """The request type of every task that this khayal can make."""
    return {kind.task: kind for kind in tasks.PLANNERS}


def fields_of(kind: type) -> dict[str, Any]:
    """The fields of a request type with their annotations."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def build(task: str, fields: Mapping[str, Any], folder: Path | None = None) -> tasks.Request:
    """A request from JSON.

    Args:
        task: one of `kinds()`.
        fields: of the request; files are named by `{"$file": NAME}`.
        folder: where those files lie; None where only the values are to be checked.

    Raises:
        InputError: an unknown task or field, or a value that no model could use.
    """
    known = kinds()
    if task not in known:
        raise InputError(f"This khayal cannot {task}", fix=f"take one of {', '.join(known)}")
    return typing.cast(tasks.Request, _build(known[task], fields, folder, task))


def _build(kind: type, given: Mapping[str, Any], folder: Path | None, where: str) -> Any:
    hints = fields_of(kind)
    unknown = sorted(set(given) - set(hints))
    if unknown:
        raise InputError(f"{where} has no field “{unknown[0]}”", fix=f"take some of {', '.join(hints)}")
    required = {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    missing = sorted(required - {name for name, value in given.items() if value is not None})
    if missing:
        raise InputError(f"{missing[0]} is missing", fix=f"{where} needs it")
    values = {name: _value(hints[name], value, folder, name) for name, value in given.items()}
    try:
        return kind(**values)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:  # of a quite different type
        raise InputError(
            f"The fields of {where} have values of a wrong type", why=str(error)[:200]
        ) from error


def _value(hint: Any, value: Any, folder: Path | None, name: str) -> Any:
    """JSON as the type that the field has.

    Where anything may stand, it is a picture or a clip, and only a file of the job's own will do: a path that
    a client wrote would open whatever the server can read.
    """
    if value is None and hint is Any:
        return None
    for option in options(hint):
        row = row_of(option)
        if option is Any:
            if isinstance(value, Mapping) and set(value) == {FILE}:
                parts = [part for part in Path(str(value[FILE])).parts if part not in ("/", "..")]
                return str((folder or Path()).joinpath(*parts))
        elif dataclasses.is_dataclass(option) and isinstance(option, type):
            if isinstance(value, Mapping):
                return _build(option, value, folder, name)
        elif row is not None and isinstance(value, list | tuple):
            each = row[0] * len(value) if row[1] else row[0]
            if len(each) == len(value):
                return tuple(_value(kind, item, folder, name) for kind, item in zip(each, value, strict=True))
        elif isinstance(option, type) and type(value) in _JSON_TYPES.get(option, (option,)):
            return value
    raise InputError(f"{name} cannot be {_short(value)}", fix=f"give {_words(hint)}")


def row_of(hint: Any) -> tuple[tuple[Any, ...], bool] | None:
    """The types in a list, and whether it may have any length; None where the type is no list."""
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return (inner[:1], True) if inner[-1] is ... else (inner, False)
    return (inner[:1], True) if typing.get_origin(hint) in (list, abc.Sequence) else None


def _short(value: Any) -> str:
    """A value as the error shows it; a file is not told by its place."""
    return "a file" if isinstance(value, Mapping) and FILE in value else repr(value)[:80]


def _words(hint: Any) -> str:
    """A type in words."""
    plain_words = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    plain_words |= {type(None): "nothing", Any: "a file, {id} of a video, or {url}"}
    found = []
    for option in options(hint):
        row = row_of(option)
        if row is not None:
            each = [_words(kind) for kind in row[0]]
            found.append(f"a list, each {each[0]}" if row[1] else f"[{', '.join(each)}]")
        else:
            found.append(plain_words.get(option) or f"an object: {', '.join(fields_of(option))}")
    return " or ".join(found)


def plain(task: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The same fields with the values that a form's texts stand for; other things in them stay."""
    hints = fields_of(kinds()[task])
    return {name: _plain(hints.get(name, str), value) for name, value in fields.items()}


def _plain(hint: Any, value: Any) -> Any:
    if isinstance(value, Text):
        return from_text(hint, str(value))
    inner = options(hint)
    if isinstance(value, Mapping):
        kind = next((one for one in inner if dataclasses.is_dataclass(one)), None)
        hints = fields_of(kind) if isinstance(kind, type) else {}
        return {name: _plain(hints.get(name, Any), item) for name, item in value.items()}
    if isinstance(value, list):
        each = next((row[0] for row in map(row_of, inner) if row is not None), (Any,))
        return [_plain(each[min(index, len(each) - 1)], item) for index, item in enumerate(value)]
    return value


def options(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the one type that it is."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def from_text(hint: Any, text: str) -> Any:
    """The value that a form's text stands for; text that is no number stays text, to be refused by name."""
    wanted = options(hint)
    if float in wanted and str in wanted:  # a word or a number
        try:
            return float(text)
        except ValueError:
            return text
    if str in wanted or text == "":
        return text if str in wanted else None
    if bool in wanted and text.lower() in ("true", "false", "1", "0"):
        return text.lower() in ("true", "1")
    for kind in (int, float):
        if kind in wanted:
            try:
                return kind(text)
            except ValueError:
                continue
    is_pair = any(row_of(option) is not None for option in wanted)
    if is_pair and text[0] in "[0123456789":
        try:
            return [float(item) if "." in item else int(item) for item in text.strip("[] ").split(",")]
        except ValueError:
            return text
    return text


def native_size(
    asked: tuple[int, int],
    own: tuple[int, int],
    multiple: int,
    trained: Sequence[tuple[int, int]] = (),
) -> tuple[int, int]:
    """The shape that a model makes for a video of another: nearest in its ratio, no larger than its own.

    Args:
        asked: (width, height) of the video.
        own: the size at which the model was trained, for its number of pixels.
        multiple: what both sides are multiples of.
        trained: the only shapes to choose from, where it makes no other as well.
    """
    if trained:
        return min(trained, key=lambda size: abs(math.log(size[0] / size[1] * asked[1] / asked[0])))
    if asked[0] % multiple == asked[1] % multiple == 0 and asked[0] * asked[1] <= own[0] * own[1]:
        return asked
    area, ratio = min(own[0] * own[1], asked[0] * asked[1]), asked[0] / asked[1]
    if asked[0] * asked[1] >= own[0] * own[1]:
        for known in (own, own[::-1]):  # the shape of its training is better than one a little nearer
            if abs(math.log(known[0] / known[1] / ratio)) < _SAME_SHAPE:
                return known

    def cost(size: tuple[int, int]) -> float:
        width, height = size
        return abs(math.log(width / height / ratio)) + 0.25 * abs(math.log(width * height / area))

    middle = max(1, round(math.sqrt(area * ratio) / multiple))
    widths = [max(1, middle + step) * multiple for step in range(-3, 4)]
    sizes = {
        (width, max(1, round(side / multiple)) * multiple)
        for width in widths
        for side in (width / ratio, area / width)
    }
    largest = max(own[0] * own[1], multiple * multiple)
    possible = [size for size in sizes if size[0] * size[1] <= largest * 1.05] or [(multiple, multiple)]
    return min(sorted(possible), key=cost)
