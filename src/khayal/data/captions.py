"""What is said of a clip: read from the files that people have, and fitted to a window of the clip."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from khayal.errors import InputError

MOST_LETTERS = 20_000
_FIELD = re.compile(r"(caption|text|prompt|description)s?(?:[_\-./ ](.+))?", re.IGNORECASE)
_FIELDS = ("caption", "text", "prompt", "description")
_START = ("start_seconds", "start")
_END = ("end_seconds", "end")
KINDS = ("clip", "shot", "span")


@dataclass(frozen=True, kw_only=True)
class Passage:
    """What a stretch of a clip shows, in words.

    Attributes:
        kind: "clip" for the whole, "shot" for what lies between two cuts, "span" for any other stretch.
        start, end: its frames [start, end) in pixels frames of the clip.
        texts: captions by name, such as "en/short"; one of them is drawn each time.
    """

    kind: str
    start: int
    end: int
    texts: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Its fields."""
        return {"kind": self.kind, "start": self.start, "end": self.end, "texts": dict(self.texts)}


@dataclass(frozen=True, kw_only=True)
class Told:
    """What somebody wrote about a stretch of a file, before it is cut into windows.

    Attributes:
        kind: as of a `Passage`.
        start, end: seconds; the end of the whole file is infinity.
        texts: captions by name.
    """

    texts: Mapping[str, str]
    kind: str = "clip"
    start: float = 0.0
    end: float = math.inf

    def shared(self, start: float, end: float) -> float:
        """Seconds that it has in common with [start, end)."""
        return max(0.0, min(self.end, end) - max(self.start, start))


def merged(told: Sequence[Told]) -> tuple[Told, ...]:
    """One for each stretch: what several lines say of the same one are its alternatives."""
    stretches: dict[tuple[str, float, float], dict[str, str]] = {}
    for one in told:
        texts = stretches.setdefault((one.kind, one.start, one.end), {})
        for name, text in one.texts.items():
            if text not in texts.values():
                texts[_free(name, texts)] = text
    return tuple(Told(kind=k, start=s, end=e, texts=texts) for (k, s, e), texts in stretches.items())


def _free(name: str, taken: Mapping[str, str]) -> str:
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}/{number}", number + 1
    return free


def passages_of(
    told: Sequence[Told], *, start: float, num_frames: int, fps: float, seconds: float
) -> tuple[Passage, ...]:
    """The captions of a window: the best fitting one for the whole, then its shots where it has several.

    The one that fits best has the largest share of seconds in common with the window, of those that either
    of them has.

    Args:
        start: where the window begins in the file, in seconds.
        num_frames: its length, in frames at `fps`.
        seconds: the length of the file.

    Returns:
        Nothing where no caption is about this window.
    """
    end = start + num_frames / fps
    length = max(seconds, end)

    def fit(one: Told) -> float:
        shared = one.shared(start, end)
        union = (end - start) + (min(one.end, length) - one.start) - shared
        return shared / max(union, 1e-9)

    best = max(told, key=fit, default=None)
    if best is None or best.shared(start, end) <= 0:
        return ()
    shots = []
    for one in told:
        first, last = (round((place - start) * fps) for place in (one.start, min(one.end, length)))
        first, last = max(first, 0), min(last, num_frames)
        if one.kind == "shot" and last > first:
            shots.append(Passage(kind="shot", start=first, end=last, texts=one.texts))
    whole = Passage(kind="clip", start=0, end=num_frames, texts=best.texts)
    return (whole, *shots) if len(shots) > 1 else (whole,)


def from_text(text: str) -> tuple[Told, ...]:
    """The whole of a text file is one caption.

    Raises:
        InputError: there is nothing in it, or it is no caption.
    """
    return (Told(texts=_texts(text)),)


def from_json(data: Any) -> tuple[Told, ...]:
    """A caption, several, or an object that has them: with times in seconds they are of a stretch.

    The sidecars of khayal's world (khayal.world.clip/1) are such objects.

    Raises:
        InputError: there is no caption in it.
    """
    if isinstance(data, Mapping):
        return told_by(data)
    if isinstance(data, list) and any(isinstance(item, Mapping) for item in data):
        return _passages(data)
    return (Told(texts=_texts(data)),)


def told_by(fields: Mapping[str, Any]) -> tuple[Told, ...]:
    """What the fields of an object, or the columns of a table, say.

    Raises:
        InputError: none of them is a caption, or a time is no number.
    """
    found = {}
    for key, value in fields.items():
        match = _FIELD.fullmatch(str(key).strip())
        if match and value not in (None, "", []):
            found[match[1].lower(), (match[2] or "").lower()] = value
    field = next((field for field in _FIELDS if any(key[0] == field for key in found)), None)
    if field is None:
        raise InputError("There is no caption", fix="name the field “caption”")
    if isinstance(found.get((field, "")), list) and any(isinstance(i, Mapping) for i in found[field, ""]):
        return _passages(found[field, ""])
    texts: dict[str, str] = {}
    for (base, name), value in found.items():
        if base == field:
            texts |= {
                _free(key, texts): text for key, text in _texts({name: value} if name else value).items()
            }
    return (_told(fields, texts),)


def _passages(items: list[Any]) -> tuple[Told, ...]:
    """A list whose items have times; languages may stand where a caption is looked for."""
    told = []
    for item in items:
        if not isinstance(item, Mapping):
            told.append(Told(texts=_texts(item)))
        elif any(_FIELD.fullmatch(str(key)) for key in item):
            told += told_by(item)
        else:
            known = {"kind", *_START, *_END}
            told.append(_told(item, _texts({k: v for k, v in item.items() if k not in known})))
    return merged(told)


def _told(fields: Mapping[str, Any], texts: Mapping[str, str]) -> Told:
    start = _seconds(fields, _START, 0.0)
    end = _seconds(fields, _END, math.inf)
    if not 0 <= start < end:
        raise InputError("A caption has no length", why=f"it goes from {start:g} to {end:g} seconds")
    kind = fields.get("kind")
    if kind not in KINDS:
        kind = "clip" if (start, end) == (0.0, math.inf) else "span"
    return Told(texts=texts, kind=kind, start=start, end=end)


def _seconds(fields: Mapping[str, Any], names: Sequence[str], otherwise: float) -> float:
    given = next((fields[name] for name in names if fields.get(name) not in (None, "")), None)
    if given is None:
        return otherwise
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise InputError(f"“{given}” is no time", fix="write seconds, such as 12.5")
    return seconds


def _texts(value: Any) -> dict[str, str]:
    """Captions by name, of a text, a list of texts, or an object of them inside one another."""
    texts: dict[str, str] = {}
    for name, text in _named(value, ""):
        text = " ".join(text.replace("\0", " ").split())
        if text:
            texts[_free(name or "caption", texts)] = text
    if not texts:
        raise InputError("The caption is empty")
    if max(map(len, texts.values())) > MOST_LETTERS:
        raise InputError("The caption is too long", why=f"it has more than {MOST_LETTERS:,} letters")
    return texts


def _named(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _named(item, name)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _named(item, f"{name}/{key}" if name else str(key))
    elif value is not None:
        raise InputError("A caption is not text", why=f"it is a {type(value).__name__}")


def decoded(data: bytes, encoding: str = "utf-8") -> str:
    """The text in a file's bytes. UTF-8, and UTF-16 that says so, are known; others have to be named.

    Short captions in other encodings cannot be told from one another, so nothing is guessed.

    Raises:
        InputError: it is no text in that encoding.
    """
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    for name in ("utf-16",) if utf16 else ("utf-8-sig", encoding):
        try:
            text = data.decode(name)
        except UnicodeError:
            continue
        if "\0" not in text:
            return text
    raise InputError(
        "The caption is no text in UTF-8", fix="name its encoding, such as --encoding windows-1256"
    )


def parsed(text: str) -> Any:
    """The JSON in a text.

    Raises:
        InputError: it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("The caption is not JSON", why=str(error)) from error
