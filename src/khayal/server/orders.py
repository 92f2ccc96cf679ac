"""What a client asks for, in khayal's words, before any file of it was looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import UploadFile

from khayal.server.config import Limits
from khayal.server.requests import FILE


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who calls, and what they may ask for."""

    owner: str
    limits: Limits


@dataclass(frozen=True, kw_only=True)
class Media:
    """A picture or a video that an order names, in exactly one way.

    Attributes:
        param: the client's name of the field, for errors.
        upload: a file that came along.
        video_id: a finished video of the same owner.
        character_id: a character of the same owner.
        file_id: a file that the same owner uploaded before.
        url: https: or data:.
    """

    param: str
    upload: UploadFile | None = None
    video_id: str | None = None
    character_id: str | None = None
    file_id: str | None = None
    url: str | None = None

    @property
    def id(self) -> str | None:
        """Of what is kept here already; None for what came along."""
        return self.video_id or self.character_id or self.file_id


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a client asks for.

    Attributes:
        api: whose words it was put in.
        task: one of the eight verbs.
        fields: of the task's request, with `Media` anywhere inside.
        delivery: size, seconds or num_frames, fps; see `khayal.server.making.Delivery`.
        asked_model: as the client wrote it.
        prompt: for the lists.
        parent: the video that it is made from.
        once: the client's own name for it.
        names: khayal's name of a field → the client's.
        follows: True where the result has the shape of the first medium.
        adds: seconds by which the result is then longer.
    """

    api: str
    task: str
    fields: Mapping[str, Any]
    delivery: Mapping[str, Any]
    asked_model: str | None
    prompt: str
    parent: str | None = None
    once: str | None = None
    follows: bool = False
    adds: float = 0.0
    names: Mapping[str, str] = field(default_factory=dict)


def placeholders(value: Any) -> Any:
    """The same value before any file is there."""
    if isinstance(value, Media):
        return {FILE: "given"}
    if isinstance(value, Mapping):
        return {key: placeholders(item) for key, item in value.items()}
    return [placeholders(item) for item in value] if isinstance(value, list | tuple) else value


def texts(value: Any) -> list[str]:
    """All that was written, at any depth."""
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [text for item in items for text in texts(item)]


def sources(value: Any, name: str = "") -> dict[str, str]:
    """Ids of the videos, characters and files that an order names, by its fields: clip, shots[0].image…"""
    if isinstance(value, Media):
        return {} if value.id is None else {name: value.id}
    return {
        key: found for _, place, item in _items(value, name) for key, found in sources(item, place).items()
    }


def asked_again(value: Any, ids: Mapping[str, str], name: str = "") -> Any:
    """Fields of a job as a client can send them again: `{id}` for what `sources` named, nothing for the rest.

    A keyframe goes with its picture: a time alone would be refused.
    """
    if isinstance(value, Mapping) and FILE in value:
        return {"id": ids[name]} if name in ids else _GONE
    told = {key: asked_again(item, ids, place) for key, place, item in _items(value, name)}
    kept = {key: item for key, item in told.items() if item is not _GONE}
    if isinstance(value, Mapping):
        return kept
    if isinstance(value, list):
        is_keyframe = len(value) == 2 and isinstance(value[0], int | float)
        return _GONE if is_keyframe and len(kept) < 2 else list(kept.values())
    return value


_GONE = object()


def _items(value: Any, name: str) -> Iterator[tuple[str | int, str, Any]]:
    """Keys, full names and values of what is in a mapping or a list."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield key, f"{name}.{key}" if name else str(key), item
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield index, f"{name}[{index}]", item
