"""Shards on disk: tensors in safetensors, what they are in a JSON line for each clip beside them.

A folder holds `shard-000000.safetensors`, `shard-000000.jsonl`, … and `shards.json`, which says what was
written. The tensor file of a shard appears last and whole, so that a shard is either there or not.
"""

from __future__ import annotations

import bisect
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from khayal.errors import InputError, OutputError
from khayal.train.source import Epochs, FrameBatch, LatentBatch, Passage, Reading, Source

MANIFEST = "shards.json"
HELD_IN_MEMORY = 0.25
"""The share of the free memory that a folder of shards may take, so as to be read from the disk but once."""


class ShardWriter:
    """Writes numbered shards of one kind, and knows which are there.

    Raises:
        InputError: the folder was begun with another kind of content.
    """

    def __init__(self, folder: Path, content: Mapping[str, Any]) -> None:
        self.folder = folder
        wanted = json.loads(json.dumps(content))
        manifest = folder / MANIFEST
        if manifest.exists():
            found = json.loads(manifest.read_text(encoding="utf-8"))
            odd = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
            if odd:
                told = ", ".join(f"{key} {found.get(key)!r}, not {wanted.get(key)!r}" for key in odd)
                raise InputError(
                    f"“{folder}” cannot be continued", why=f"it was begun with {told}", fix="use a new folder"
                )
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(manifest, (json.dumps(wanted, indent=1) + "\n").encode())
        except OSError as error:
            raise OutputError(f"“{folder}” cannot be written", why=error.strerror or str(error)) from error

    def missing(self, count: int) -> list[int]:
        """Which of the first `count` shards are not there."""
        return [number for number in range(count) if not self._path(number).exists()]

    def write(self, number: int, tensors: Mapping[str, Tensor], lines: Sequence[Mapping[str, Any]]) -> None:
        """Write one shard; `lines` describe its clips in their order."""
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        write_whole(self._path(number).with_suffix(".jsonl"), text.encode())
        draft = self._path(number).with_suffix(".part")
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, draft)
        os.replace(draft, self._path(number))

    def _path(self, number: int) -> Path:
        return self.folder / f"shard-{number:06d}.safetensors"


class ShardReader:
    """All clips of a folder of shards, by number.

    Small sets are held in memory; of larger ones, each clip is read from the disk when it is wanted.

    Raises:
        InputError: there is no shard in the folder, or one is damaged.
    """

    def __init__(self, folder: Path) -> None:
        paths = sorted(folder.glob("shard-*.safetensors"))
        if not paths:
            raise InputError(f"There are no shards in “{folder}”", fix="run the stage that makes them first")
        self.content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        self._lines: list[str] = []
        self._starts: list[int] = []
        self._files: list[Any] = []
        for path in paths:
            self._starts.append(len(self._lines))
            self._lines += path.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
            self._files.append(_opened(path))
        self._num_bytes = sum(path.stat().st_size for path in paths)

    @cached_property
    def _held(self) -> dict[str, Tensor] | None:
        """All tensors, where there is room for them."""
        if self._num_bytes > HELD_IN_MEMORY * psutil.virtual_memory().available:
            return None
        parts = [{key: file.get_tensor(key) for key in file.keys()} for file in self._files]  # noqa: SIM118
        return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}

    def __len__(self) -> int:
        return len(self._lines)

    def line(self, clip: int) -> dict[str, Any]:
        """What stands beside the tensors of one clip; reading all of a large set takes a while."""
        found: dict[str, Any] = json.loads(self._lines[clip])
        return found

    def read(self, key: str, clips: Sequence[int]) -> Tensor:
        """One tensor of some clips, stacked."""
        if self._held is not None:
            return self._held[key][torch.tensor(clips)]
        return torch.stack([self.part(key, clip) for clip in clips])

    def part(self, key: str, clip: int, start: int = 0, end: int | None = None) -> Tensor:
        """One tensor of one clip, from `start` to `end` along its first axis."""
        if self._held is not None:
            return self._held[key][clip, start:end]
        shard = bisect.bisect_right(self._starts, clip) - 1
        within = clip - self._starts[shard]
        found: Tensor = self._files[shard].get_slice(key)[within, start:end]
        return found

    def has(self, key: str) -> bool:
        """Whether its clips have a tensor of this name."""
        return key in self._files[0].keys()  # noqa: SIM118 - it is no dictionary


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"“{path}” cannot be read", why=str(error), fix="delete it and make it again"
        ) from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears whole, and is on the disk when this returns."""
    draft = path.with_name(path.name + ".part")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


class LatentShards:
    """Encoded clips from a folder that `khayal.train.encoding` wrote: a Source of LatentBatch."""

    def __init__(self, folder: Path) -> None:
        self._reader = ShardReader(folder)
        content = self._reader.content
        self._frames_per_column = tuple(content["frames_per_column"])
        self._still_columns = tuple(content["still_columns"])
        self._passages: dict[int, tuple[Passage, ...]] = {}

    def __len__(self) -> int:
        return len(self._reader)

    def _passages_of(self, clip: int) -> tuple[Passage, ...]:
        """Read when the clip is first wanted: those of a large set would take a while."""
        if clip not in self._passages:
            self._passages[clip] = tuple(Passage(**told) for told in self._reader.line(clip)["passages"])
        return self._passages[clip]

    def batches(self, reading: Reading) -> Iterator[LatentBatch]:
        """See `Source`."""
        order, is_focused = Epochs(len(self), reading.seed), self._reader.has("focus")
        for step in itertools.count(reading.start):
            clips = order.batch(step, reading.batch_size, reading.rows)
            yield LatentBatch(
                latents=self._reader.read("latents", clips),
                stills=self._reader.read("stills", clips) if self._still_columns else None,
                still_columns=self._still_columns,
                passages=tuple(self._passages_of(clip) for clip in clips),
                frames_per_column=self._frames_per_column,
                focus=self._reader.read("focus", clips) if is_focused else None,
            )


class InTurn:
    """Steps of several sources in turn, each with its own shape of batch: a Source.

    Args:
        turns: which source each step reads, over and over: (0, 0, 1) gives the second a third of them.
    """

    def __init__(self, sources: Sequence[Source[LatentBatch]], turns: Sequence[int]) -> None:
        assert set(turns) == set(range(len(sources))), "every source has a turn"
        self._sources, self._turns = tuple(sources), tuple(turns)

    def __len__(self) -> int:
        return sum(map(len, self._sources))

    def batches(self, reading: Reading) -> Iterator[LatentBatch]:
        """See `Source`."""
        rounds, rest = divmod(reading.start, len(self._turns))
        streams = []
        for number, source in enumerate(self._sources):
            start = rounds * self._turns.count(number) + self._turns[:rest].count(number)
            streams.append(source.batches(replace(reading, start=start)))
        for step in itertools.count(reading.start):
            yield next(streams[self._turns[step % len(self._turns)]])


class Beside:
    """Some rows of every step are of one source, the others packs of samples of another one: a Source.

    What is small, as a single latent frame is beside a clip, comes in packs, so that a row is as much work as
    any other. A micro-batch has to hold rows of one of them.

    Args:
        share: of the rows, for the first source; at least one for each.
        pack: samples of the second source in a row.
    """

    def __init__(
        self, first: Source[LatentBatch], second: Source[LatentBatch], *, share: float, pack: int
    ) -> None:
        self._first, self._second, self._share, self._pack = first, second, share, pack

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def batches(self, reading: Reading) -> Iterator[LatentBatch]:
        """See `Source`.

        Raises:
            InputError: rows of both sources are wanted at once, or there is no room for both.
        """
        rows, size, pack = reading.rows, reading.batch_size, self._pack
        if size < 2:
            raise InputError(
                "A step of one row has no room for clips and packs", fix="take a batch of 2 or more"
            )
        edge = min(max(round(self._share * size), 1), size - 1)
        if rows.stop <= edge:
            yield from self._first.batches(replace(reading, batch_size=edge))
        if rows.start < edge:
            raise InputError(
                f"Rows {rows.start} to {rows.stop - 1} of a step cannot be computed at once",
                why=f"the first {edge} are of other latents than the rest",
                fix="take micro-batches that divide both parts",
            )
        own = range((rows.start - edge) * pack, (rows.stop - edge) * pack)
        yield from self._second.batches(replace(reading, batch_size=(size - edge) * pack, rows=own))


@dataclass(frozen=True, kw_only=True)
class Crops:
    """What an autoencoder sees of a clip.

    Attributes:
        num_frames: length of a crop.
        side: pixels along each side of it.
        still_share: share of crops that are one frame, repeated.
    """

    num_frames: int = 16
    side: int = 64
    still_share: float = 0.1


class FrameShards:
    """Random crops of rendered clips, half of them mirrored: a Source of FrameBatch."""

    def __init__(self, folder: Path, crops: Crops) -> None:
        self._reader = ShardReader(folder)
        self._crops = crops
        self._shape = num_frames, height, width = self._reader.read("frames", [0]).shape[1:4]
        if crops.num_frames > num_frames or crops.side > min(height, width):
            raise InputError(
                f"Crops of {crops.num_frames} frames of {crops.side}×{crops.side} are too large",
                why=f"the clips have {num_frames} of {width}×{height}",
            )

    def __len__(self) -> int:
        return len(self._reader)

    def batches(self, reading: Reading) -> Iterator[FrameBatch]:
        """See `Source`."""
        order = Epochs(len(self), reading.seed)
        for step in itertools.count(reading.start):
            clips = order.batch(step, reading.batch_size, reading.rows)
            crops = [
                self._crop(clip, np.random.default_rng([reading.seed, step, row, 23]))
                for clip, row in zip(clips, reading.rows, strict=True)
            ]
            yield FrameBatch(frames=torch.stack(crops))

    def _crop(self, clip: int, dice: np.random.Generator) -> Tensor:
        """3 f H W, uint8."""
        crops = self._crops
        length, height, width = self._shape
        start = int(dice.integers(length - crops.num_frames + 1))
        top, left = (int(dice.integers(side - crops.side + 1)) for side in (height, width))
        is_still = dice.random() < crops.still_share
        frames = self._reader.part("frames", clip, start, start + (1 if is_still else crops.num_frames))
        crop = frames[:, top : top + crops.side, left : left + crops.side]
        crop = crop.expand(crops.num_frames, -1, -1, -1) if is_still else crop
        crop = crop.flip(2) if dice.random() < 0.5 else crop
        return crop.permute(3, 0, 1, 2)
