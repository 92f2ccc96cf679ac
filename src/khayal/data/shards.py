"""Latent shards: WebDataset tars, with an index beside each that says where in it everything is.

`shard-000012.tar` holds, for each window of a file, `KEY.latents.npy` (c t h w), often `KEY.stills.npy`
(c k h w), and `KEY.json` (captions, and where it comes from). All windows of a shard have one shape. The
tar appears last and whole, so that a shard is either there or not; its index can be made again from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from khayal.data.files import not_written, read_json, write_whole
from khayal.errors import InputError

MANIFEST = "shards.json"
SCHEMA = "khayal.packed/1"
SHARD_BYTES, SHARD_SAMPLES = 64_000_000, 256
"""A shard is complete when it has so much; what is in an incomplete one is lost by a kill."""

_INDEX = "khayal.packed.index/1"
_NAME = "shard-{:06d}.tar"
Bucket = tuple[int, ...]
"""The shape c t h w of the latents of a shard."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One window of a file, encoded.

    Attributes:
        source: the file, by its path in the folder that was packed.
        window: which window of it.
        arrays: "latents", and "stills" where there are some.
        told: its captions and how it was made, for the JSON member.
    """

    source: str
    window: int
    arrays: Mapping[str, np.ndarray]
    told: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Its name in a tar, which no other window has."""
        return f"{hashlib.sha256(self.source.encode()).hexdigest()[:16]}-{self.window:05d}"


class ShardWriter:
    """Fills one shard for each bucket, and gives it its name when it is full.

    Closed without an error, what is begun is completed; else, it is thrown away.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for left in folder.glob(".*.tar.part"):
            left.unlink()
        numbers = [int(path.stem.split("-")[1]) for path in folder.glob("shard-*.tar")]
        self._next = max(numbers, default=-1) + 1
        self._open: dict[Bucket, tuple[Path, tarfile.TarFile, list[int]]] = {}

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for bucket in list(self._open):
            if kind is None or not issubclass(kind, Exception):  # Ctrl-C loses nothing
                self._complete(bucket)
            else:
                self._discard(bucket)

    def add(self, sample: Sample) -> None:
        """Put a sample into the shard of its shape.

        Raises:
            OutputError: it cannot be written; the disk may be full.
        """
        bucket = sample.arrays["latents"].shape
        told = {"source": sample.source, "window": sample.window, **sample.told}
        try:
            if bucket not in self._open:
                draft = self.folder / f".{'x'.join(map(str, bucket))}.tar.part"
                self._open[bucket] = (draft, _new_tar(draft), [])
            _, tar, sizes = self._open[bucket]
            for name, array in sample.arrays.items():
                _add(tar, f"{sample.key}.{name}.npy", _npy(array))
            _add(tar, f"{sample.key}.json", json.dumps(told, ensure_ascii=False).encode())
        except OSError as error:
            self._discard(bucket)
            raise not_written(self.folder, error) from error
        except BaseException:  # a signal may have left half a member
            self._discard(bucket)
            raise
        sizes.append(sum(array.nbytes for array in sample.arrays.values()))
        if sum(sizes) >= SHARD_BYTES or len(sizes) >= SHARD_SAMPLES:
            self._complete(bucket)

    def _discard(self, bucket: Bucket) -> None:
        if bucket in self._open:
            draft, tar, _ = self._open.pop(bucket)
            with contextlib.suppress(OSError):
                tar.close()
            draft.unlink(missing_ok=True)

    def _complete(self, bucket: Bucket) -> None:
        draft, tar, _ = self._open[bucket]
        target = self.folder / _NAME.format(self._next)
        try:
            tar.close()
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            _write_index(target, _scanned(draft))
            os.replace(draft, target)
        except OSError as error:
            raise not_written(target, error) from error
        del self._open[bucket]
        self._next += 1


@dataclass(frozen=True)
class Entry:
    """Where a sample is: for each member of it, the first byte in the tar and their number."""

    path: Path
    source: str
    window: int
    members: Mapping[str, tuple[int, int]]

    def array(self, name: str) -> np.ndarray:
        """One of its arrays."""
        array: np.ndarray = np.load(io.BytesIO(self._bytes(f"{name}.npy")), allow_pickle=False)
        return array

    def told(self) -> dict[str, Any]:
        """What its JSON member says."""
        told: dict[str, Any] = json.loads(self._bytes("json"))
        return told

    def _bytes(self, member: str) -> bytes:
        start, size = self.members[member]
        try:
            with self.path.open("rb") as file:  # opened each time: shards may be many, and threads read them
                file.seek(start)
                data = file.read(size)
        except OSError as error:
            raise InputError(f"“{self.path}” cannot be read", why=error.strerror or str(error)) from error
        if len(data) < size:
            raise InputError(f"“{self.path}” breaks off", fix="delete it and run khayal data pack again")
        return data


Buckets = dict[Bucket, list[Entry]]


def entries(folder: Path) -> Buckets:
    """All samples of a folder, by their shape, in the order of the shards.

    Raises:
        InputError: a shard is damaged.
    """
    found: Buckets = {}
    for path in sorted(folder.glob("shard-*.tar")):
        index = _index_of(path)
        bucket = tuple(index["bucket"])
        for sample in index["samples"]:
            members = {name: (place[0], place[1]) for name, place in sample["members"].items()}
            found.setdefault(bucket, []).append(Entry(path, sample["source"], sample["window"], members))
    return found


def _index_of(path: Path) -> dict[str, Any]:
    """The index beside a shard, made again where it is missing or of another tar."""
    beside = path.with_suffix(".json")
    index = read_json(beside) if beside.exists() else {}
    if index.get("schema") != _INDEX or index.get("bytes") != path.stat().st_size:
        index = _scanned(path)
        _write_index(path, index)
    return index


def _write_index(path: Path, index: Mapping[str, Any]) -> None:
    write_whole(path.with_suffix(".json"), json.dumps(index, ensure_ascii=False).encode())


def _scanned(path: Path) -> dict[str, Any]:
    """What a tar holds, from its own headers."""
    samples: dict[str, dict[str, Any]] = {}
    bucket: list[int] = []
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                key, _, name = member.name.partition(".")
                sample = samples.setdefault(key, {"members": {}})
                sample["members"][name] = [member.offset_data, member.size]
                content = tar.extractfile(member)
                assert content is not None, "shards hold files only"
                if name == "json":
                    told = json.load(content)
                    sample |= {"source": told["source"], "window": told["window"]}
                elif name == "latents.npy" and not bucket:
                    bucket = list(np.load(io.BytesIO(content.read()), allow_pickle=False).shape)
    except (tarfile.TarError, ValueError, KeyError, OSError) as error:
        raise InputError(
            f"“{path}” cannot be read", why=str(error), fix="delete it and run khayal data pack again"
        ) from error
    return {
        "schema": _INDEX,
        "bytes": path.stat().st_size,
        "bucket": bucket,
        "samples": [{"key": key, **sample} for key, sample in samples.items()],
    }


def _new_tar(path: Path) -> tarfile.TarFile:
    return tarfile.open(path, "w", format=tarfile.PAX_FORMAT)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
