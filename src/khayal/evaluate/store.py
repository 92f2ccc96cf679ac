"""What was measured of sets of clips, in files of some clips each: a killed evaluation goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from khayal.errors import InputError, OutputError

PER_FILE = 32
Tensors = dict[str, Tensor]


def settle(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make a folder for measurements of one kind, or go on in it.

    Raises:
        InputError: it was begun with other settings.
        OutputError: it cannot be made.
    """
    wanted = json.loads(json.dumps(settings))
    where = folder / "settings.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not where.exists():
            _write(where, json.dumps(wanted, indent=1) + "\n")
            return
    except OSError as error:
        raise OutputError(f"“{folder}” cannot be written", why=error.strerror or str(error)) from error
    found = json.loads(where.read_text(encoding="utf-8"))
    odd = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
    if odd:
        told = ", ".join(f"{key} {found.get(key)!r}, not {wanted.get(key)!r}" for key in odd)
        raise InputError(
            f"The evaluation in “{folder}” cannot go on",
            why=f"it was begun with {told}",
            fix="use a new folder",
        )


class Collected:
    """Tensors of clips number 0, 1, …, by name: one row for each clip, and a JSON line beside it.

    Args:
        folder: where its files are.
        per_file: clips in each: what a kill can lose.
    """

    def __init__(self, folder: Path, *, per_file: int = PER_FILE) -> None:
        self.folder, self.per_file = folder, per_file

    def missing(self, count: int) -> Iterator[range]:
        """The stretches of the first `count` clips that are not there, each for one file."""
        for start in range(0, count, self.per_file):
            clips = range(start, min(start + self.per_file, count))
            if self._held(start) < len(clips):
                yield clips

    def write(self, clips: range, tensors: Tensors, lines: Sequence[Mapping[str, Any]]) -> None:
        """Keep some clips; the tensors appear last, and whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(clips.start)
        _write(
            path.with_suffix(".jsonl"), "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        )
        draft = path.with_suffix(".part")
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, draft)
        os.replace(draft, path)

    def read(self, count: int) -> Tensors:
        """The first `count` clips."""
        files = [load_file(self._path(start)) for start in range(0, count, self.per_file)]
        return {name: torch.cat([file[name] for file in files])[:count] for name in files[0]}

    def lines(self, count: int) -> list[dict[str, Any]]:
        """What stands beside them."""
        found: list[dict[str, Any]] = []
        for start in range(0, count, self.per_file):
            text = self._path(start).with_suffix(".jsonl").read_text(encoding="utf-8")
            found += [json.loads(line) for line in text.splitlines()]
        return found[:count]

    def _path(self, start: int) -> Path:
        return self.folder / f"{start:06d}.safetensors"

    def _held(self, start: int) -> int:
        """Clips in the file that begins at `start`."""
        path = self._path(start)
        if not path.exists():
            return 0
        return len(path.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines())


def collect(
    into: Collected,
    count: int,
    make: Callable[[range], tuple[Tensors, Sequence[Mapping[str, Any]]]],
    *,
    tell: Callable[[int], None],
) -> None:
    """Measure the clips that are missing; `tell` hears how many are done."""
    todo = list(into.missing(count))
    done = count - sum(len(clips) for clips in todo)
    tell(done)
    for clips in todo:
        into.write(clips, *make(clips))
        done += len(clips)
        tell(done)


def _write(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".part")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
