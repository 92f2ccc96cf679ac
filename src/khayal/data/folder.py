"""What is in a folder: its videos and images with what is said of them, and what cannot be used, and why."""

from __future__ import annotations

import codecs
import os
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from khayal.data.captions import Told, decoded, from_json, from_text, merged, parsed
from khayal.data.manifest import is_manifest, rows
from khayal.errors import InputError

_VIDEOS = "mp4 m4v mov webm mkv avi gif mpg mpeg ts mts m2ts wmv flv 3gp ogv vob"
_IMAGES = "jpg jpeg jfif png webp bmp tif tiff avif heic heif"
VIDEOS, IMAGES = frozenset(_VIDEOS.split()), frozenset(_IMAGES.split())
SIDECARS = ("json", "txt")
_OF_THE_FOLDER = ("world.json",)  # what khayal world render says of all of its clips


@dataclass(frozen=True, kw_only=True)
class Media:
    """A video or an image with captions.

    Attributes:
        path: the file.
        name: its path in the folder, as text.
        is_video: False for a still.
        told: what is said of it.
        size, changed: of the file: bytes, and nanoseconds of its last change.
    """

    path: Path
    name: str
    is_video: bool
    told: tuple[Told, ...]
    size: int = 0
    changed: int = 0


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """Something that was not used.

    Attributes:
        name: the file, or the line of a manifest.
        why: in few words, which are the same for all that is skipped for this reason.
        detail: what is particular to this one.
    """

    name: str
    why: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.why}" + (f" ({self.detail})" if self.detail else "")


@dataclass
class _Findings:
    """What a walk through a folder has met so far."""

    media: dict[str, Media] = field(default_factory=dict)
    places: dict[tuple[int, int], str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    sidecars: dict[str, Path] = field(default_factory=dict)
    manifests: list[Path] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def find(
    folder: Path, *, manifest: Path | None = None, encoding: str = "utf-8", left_out: Path | None = None
) -> tuple[list[Media], list[Skipped]]:
    """Walk through a folder, in the order of names, and bring media and captions together.

    A manifest comes before files beside the media, a .json before a .txt. Links are followed, each file is
    taken once.

    Args:
        manifest: a table of captions; without one, those named captions or metadata are taken.
        encoding: of captions that are not UTF-8.
        left_out: a folder that is passed over.

    Raises:
        InputError: there is no such folder, or the manifest that was named cannot be read.
    """
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise InputError(
            f"There is no encoding “{encoding}”", fix="write one such as windows-1256"
        ) from error
    if not folder.is_dir():
        raise InputError(f"There is no folder “{folder}”", fix="name the folder of your videos")
    findings = _Findings()
    for path in _walk(folder, findings, folder, left_out):
        if manifest is None or not os.path.exists(manifest) or not os.path.samefile(path, manifest):
            _sort(path, folder, findings)
    told, skipped = _of_manifests(folder, findings, manifest, encoding)
    findings.skipped += skipped
    found = []
    for key, media in findings.media.items():
        try:
            captions = told.get(key) or _beside(key, findings.sidecars, encoding)
        except InputError as error:
            why, detail = _lower(error.what), error.why or error.fix
            findings.skipped.append(Skipped(name=media.name, why=why, detail=detail))
            continue
        if captions:
            found.append(replace(media, told=captions))
        else:
            findings.skipped.append(Skipped(name=media.name, why="it has no caption"))
    for key, path in findings.sidecars.items():
        if _stem(key) not in findings.names:
            why = "there is no video or image of this name"
            findings.skipped.append(Skipped(name=shown(path, folder), why=why))
    return found, findings.skipped


def shown(path: Path, folder: Path) -> str:
    """A file's path in the folder as text, whatever bytes its name has."""
    inside = path.relative_to(folder) if path.is_relative_to(folder) else path
    return os.fsencode(inside.as_posix()).decode("utf-8", "backslashreplace")


def _walk(
    place: Path, findings: _Findings, folder: Path, left_out: Path | None, seen: frozenset[str] = frozenset()
) -> Iterator[Path]:
    real = os.path.realpath(place)
    if real in seen or (left_out is not None and real == os.path.realpath(left_out)):
        return
    try:
        children = sorted(os.scandir(place), key=lambda child: child.name)
    except OSError as error:
        why = error.strerror or str(error)
        findings.skipped.append(Skipped(name=shown(place, folder), why="it cannot be opened", detail=why))
        return
    for child in children:
        path = Path(child.path)
        if child.name.startswith("."):
            findings.skipped.append(Skipped(name=shown(path, folder), why="it is hidden"))
        elif os.path.isdir(path):
            yield from _walk(path, findings, folder, left_out, seen | {real})
        elif os.path.isfile(path):
            yield path
        else:
            why = "it is a link to nothing" if child.is_symlink() else "it is no ordinary file"
            findings.skipped.append(Skipped(name=shown(path, folder), why=why))


def _sort(path: Path, folder: Path, findings: _Findings) -> None:
    """Put a file where it belongs."""
    suffix, name = _suffix(path), shown(path, folder)
    key, why, detail = _normal(name), "", ""
    if suffix in VIDEOS | IMAGES:
        findings.names |= {key, _stem(key)}
        why, detail = _take(path, name, key, findings)
    elif is_manifest(path):
        findings.manifests.append(path)
    elif suffix not in SIDECARS and path.name not in _OF_THE_FOLDER:
        why = "it is no video, image or caption"
    elif path.name not in _OF_THE_FOLDER:
        findings.sidecars[_stem(key) + "." + suffix] = path
    if why:
        findings.skipped.append(Skipped(name=name, why=why, detail=detail))


def _take(path: Path, name: str, key: str, findings: _Findings) -> tuple[str, str]:
    """Note a video or an image, or say why not."""
    try:
        status = path.stat()
    except OSError as error:
        return "it cannot be opened", error.strerror or str(error)
    place = status.st_dev, status.st_ino
    if status.st_size == 0:
        return "the file is empty", ""
    if place in findings.places:
        return "the file is there twice", findings.places[place]
    findings.places[place] = name
    findings.media[key if key not in findings.media else name] = Media(
        path=path,
        name=name,
        is_video=_suffix(path) in VIDEOS,
        told=(),
        size=status.st_size,
        changed=status.st_mtime_ns,
    )
    return "", ""


def _of_manifests(
    folder: Path, findings: _Findings, manifest: Path | None, encoding: str
) -> tuple[dict[str, tuple[Told, ...]], list[Skipped]]:
    """What manifests say, by the key of the file."""
    told: dict[str, list[Told]] = {}
    others = findings.manifests if manifest else []
    skipped = [Skipped(name=shown(one, folder), why="another table was named") for one in others]
    for table in [manifest] if manifest else findings.manifests:
        place = folder if table == manifest else table.parent
        names = _Names(findings.media, _normal(shown(place, folder)) if place != folder else "")
        named = shown(table, folder)
        try:
            for line, file, said in rows(table, encoding):
                where = f"{named}, line {line}"
                if isinstance(said, str):
                    skipped.append(Skipped(name=where, why=said, detail=file))
                    continue
                key = names.find(file)
                if key is None:
                    skipped.append(Skipped(name=where, why="there is no such file", detail=file))
                else:
                    told.setdefault(key, []).extend(said)
        except InputError as error:
            if table == manifest:
                raise
            detail = error.why or error.fix
            skipped.append(Skipped(name=named, why="the table cannot be read", detail=detail))
    return {key: merged(said) for key, said in told.items()}, skipped


class _Names:
    """Finds the file that a manifest names: by its path, without its suffix, or by its bare name."""

    def __init__(self, media: Mapping[str, Media], place: str) -> None:
        self._media, self._place = media, place
        self._short: dict[str, list[str]] = {}
        for key in media:
            stem, suffix = _stem(key), key[len(_stem(key)) :].lower()
            for short in {stem, stem + suffix, _bare(key), _bare(stem), _bare(stem) + suffix} - {key}:
                self._short.setdefault(short, []).append(key)

    def find(self, name: str) -> str | None:
        """The key of the file, or None where there is none, or several."""
        plain = _normal(name.strip().replace("\\", "/").removeprefix("./"))
        for key in (f"{self._place}/{plain}" if self._place else plain, plain):
            if key in self._media:
                return key
        for key in (plain, _bare(plain)):
            candidates = self._short.get(key, [])
            if len(candidates) == 1:
                return candidates[0]
        return None


def _beside(key: str, sidecars: Mapping[str, Path], encoding: str) -> tuple[Told, ...]:
    """What the files beside it say: NAME.json or NAME.mp4.json, then the same with .txt."""
    failure: InputError | None = None
    for suffix in SIDECARS:
        for stem in (key, _stem(key)):
            sidecar = f"{stem}.{suffix}"
            if sidecar not in sidecars:
                continue
            try:
                text = decoded(sidecars[sidecar].read_bytes(), encoding)
                return merged(from_json(parsed(text)) if suffix == "json" else from_text(text))
            except InputError as error:
                failure = failure or error
            except OSError as error:
                why = error.strerror or str(error)
                failure = failure or InputError("The caption cannot be opened", why=why)
    if failure is not None:
        raise failure
    return ()


def _suffix(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")


def _stem(name: str) -> str:
    """The name without its last suffix."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and "/" not in suffix else name


def _bare(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
