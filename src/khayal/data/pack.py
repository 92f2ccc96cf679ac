"""A folder of media with captions → a folder of latent shards, for one checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float16, UInt8

from khayal.checkpoint.contents import Checkpoint
from khayal.checkpoint.folder import open_checkpoint
from khayal.components import has_native_bf16, pick_device
from khayal.data.captions import passages_of
from khayal.data.cutting import Cutting, Window, cutting_for
from khayal.data.decoders import Job, cut_all
from khayal.data.files import claim, fingerprint, not_written, write_whole
from khayal.data.folder import Media, Skipped, find
from khayal.data.shards import MANIFEST, SCHEMA, Buckets, Sample, ShardWriter, entries
from khayal.data.texts import TextStore, encode_texts
from khayal.errors import CapacityError, InputError
from khayal.model.autoencoder import Autoencoder

REPORT, _JOURNAL = "report.txt", "files.jsonl"


@dataclass(frozen=True, kw_only=True)
class PackConfig:
    """What is packed, and how.

    Attributes:
        folder: the media and their captions; nothing in it is changed.
        out: the folder of the shards.
        model: the checkpoint that encodes: a folder, a hub id, or None for khayal's own.
        manifest: a table of captions; None takes those that lie in the folder.
        encoding: of captions that are not UTF-8.
        seconds: the length of a window; None is the model's.
        size: (width, height) of all windows; None takes usual shapes under a budget of pixels.
        pixels: that budget; None is that of the model's own size.
        most_enlarged: pictures that would have to be enlarged by more are left out.
        num_workers: processes that decode; 0 decodes in this one.
        has_text: encode the captions too, for fine-tuning with a frozen text encoder.
        device: where it is encoded.
    """

    folder: Path
    out: Path
    model: str | Path | None = None
    manifest: Path | None = None
    encoding: str = "utf-8"
    seconds: float | None = None
    size: tuple[int, int] | None = None
    pixels: int | None = None
    most_enlarged: float = 1.25
    num_workers: int = 0
    has_text: bool = True
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What is in the shards, and what is not.

    Attributes:
        clips: windows and images, by (width, height, latent frames).
        num_files: media that they come from.
        num_shards, num_bytes: of the tars.
        skipped: what was left out.
        notes: sentences about files that were taken.
    """

    clips: dict[tuple[int, int, int], int]
    num_files: int
    num_shards: int
    num_bytes: int
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]

    @property
    def reasons(self) -> dict[str, int]:
        """How many were left out for each reason, the most common first."""
        return dict(Counter(one.why for one in self.skipped).most_common())


@dataclass
class _File:
    """How it went with one file; a line of the journal."""

    name: str
    stamp: str
    windows: list[int] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "skipped": [vars(one) for one in self.skipped]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> _File:
        return cls(**{**data, "skipped": [Skipped(**one) for one in data["skipped"]]})


OnStep = Callable[[str, int, int], None]
"""Called with what is done ("files", "captions"), how many of them are, and of how many."""


def pack(config: PackConfig, on_step: OnStep | None = None) -> Report:
    """Encode what is not in the shards yet, and say what was left out; stopped, it goes on from there.

    Raises:
        InputError: for arguments that cannot be, a folder begun with others, or where nothing can be used.
        CheckpointError: the model cannot be opened.
        OutputError: the shards cannot be written.
    """
    tell = on_step or (lambda what, done, total: None)
    if config.out.resolve() == config.folder.resolve():
        raise InputError("The shards cannot lie among the media", fix="give --out another folder")
    checkpoint = open_checkpoint(config.model)
    cutting = _cutting(config, checkpoint)
    media, skipped = find(
        config.folder, manifest=config.manifest, encoding=config.encoding, left_out=config.out
    )
    if not media:
        raise _nothing(config.folder, skipped)
    checkpoint.fetch()
    claim(config.out / MANIFEST, _content(checkpoint, cutting))
    files = _pack_files(config, checkpoint, cutting, media, tell)
    notes = [note for file in files for note in file.notes]
    found = entries(config.out)
    if config.has_text and found:
        notes += _pack_texts(config, checkpoint, found, tell)
    skipped = [*skipped, *(one for file in files for one in file.skipped)]
    report = _report(checkpoint, config.out, found, skipped, notes)
    lines = [*map(str, report.skipped), *report.notes]
    write_whole(config.out / REPORT, "".join(f"{line}\n" for line in lines).encode())
    if not found:
        raise _nothing(config.folder, skipped)
    return report


def _cutting(config: PackConfig, checkpoint: Checkpoint) -> Cutting:
    if config.size is not None and config.pixels is not None:
        raise InputError("Both a size and a budget of pixels were given", fix="give one of them")
    defaults = checkpoint.defaults
    return cutting_for(
        checkpoint.timeline,
        checkpoint.size_multiple,
        seconds=defaults.seconds if config.seconds is None else config.seconds,
        size=config.size,
        pixels=defaults.size[0] * defaults.size[1] if config.pixels is None else config.pixels,
        most_enlarged=config.most_enlarged,
    )


def _content(checkpoint: Checkpoint, cutting: Cutting) -> dict[str, Any]:
    """What the shards of a folder have in common; with something else they are not continued."""
    return {
        "schema": SCHEMA,
        "autoencoder": fingerprint(checkpoint.path / "vae"),
        "fps": str(cutting.fps),
        "lengths": cutting.lengths,
        "sizes": cutting.sizes,
        "most_enlarged": cutting.most_enlarged,
    }


def _pack_files(
    config: PackConfig, checkpoint: Checkpoint, cutting: Cutting, media: list[Media], tell: OnStep
) -> list[_File]:
    """Encode all windows that are missing; how it went with each file, in their order."""
    packed: dict[str, set[int]] = {}
    for bucket in entries(config.out).values():
        for entry in bucket:
            packed.setdefault(entry.source, set()).add(entry.window)
    files, jobs = _plan(media, _read_journal(config.out / _JOURNAL), packed)
    if not jobs:
        return files
    encoder = _Encoder(checkpoint, cutting, pick_device(config.device))
    num_done = len(files) - len(jobs)
    by_name = {file.name: file for file in files}
    with ShardWriter(config.out) as writer:
        for number, (one, cuts) in enumerate(cut_all(jobs, cutting, config.num_workers), num_done + 1):
            file = by_name[one.name]
            for item in cuts:
                if isinstance(item, Skipped):
                    file.skipped.append(item)
                elif isinstance(item, str):
                    file.notes.append(item)
                else:
                    sample = encoder.encode(one, item)
                    if isinstance(sample, Sample):
                        writer.add(sample)
                        file.windows.append(item.number)
                    else:
                        file.skipped.append(sample)
            _append(config.out / _JOURNAL, file.to_json())
            tell("files", number, len(files))
    return files


def _plan(
    media: list[Media], before: dict[str, _File], packed: dict[str, set[int]]
) -> tuple[list[_File], list[Job]]:
    """What is known of each file, and which of them have windows that are not in the shards."""
    files, jobs = [], []
    for one in media:
        there, old, stamp = packed.get(one.name, set()), before.get(one.name), _stamp(one)
        if old is not None and old.stamp != stamp and there:
            changed = f"{one.name} or its caption has changed since it was packed; a new folder takes it up."
            files.append(_File(one.name, old.stamp, old.windows, old.skipped, [*old.notes, changed]))
        elif old is not None and old.stamp == stamp and there >= set(old.windows):
            files.append(old)
        else:
            files.append(_File(one.name, stamp, sorted(there)))
            jobs.append((one, frozenset(there)))
    return files, jobs


def _stamp(media: Media) -> str:
    """Changes with the file and with what is said of it."""
    told = [(one.kind, one.start, one.end, sorted(one.texts.items())) for one in media.told]
    return hashlib.sha256(repr((media.size, media.changed, told)).encode()).hexdigest()[:16]


class _Encoder:
    """Windows → samples, with the autoencoder of a checkpoint."""

    def __init__(self, checkpoint: Checkpoint, cutting: Cutting, device: torch.device) -> None:
        self._timeline, self._fps, self._device = checkpoint.timeline, cutting.fps, device
        self._autoencoder: Autoencoder = checkpoint.load_autoencoder(device)

    def encode(self, media: Media, window: Window) -> Sample | Skipped:
        """A window with its captions; left out where nothing is said of it."""
        num_frames, height, width = window.frames.shape[:3]
        start = float(window.start / self._fps)
        passages = passages_of(
            media.told, start=start, num_frames=num_frames, fps=float(self._fps), seconds=window.seconds
        )
        if not passages:
            name = f"{media.name}, from {start:g} s"
            return Skipped(name=name, why="no caption is about this part")
        columns = self._timeline.frames_per_column(num_frames)
        latents = self._latents(window.frames)
        stills = self._still_columns(len(columns))
        ends = np.cumsum(columns)
        alone = [self._latents(window.frames[ends[column] - 1 :][:1]) for column in stills]
        arrays = {"latents": latents} | ({"stills": np.concatenate(alone, axis=1)} if alone else {})
        told = {
            "start_seconds": start,
            "fps": str(self._fps),
            "size": [width, height],
            "frames_per_column": columns,
            "still_columns": stills,
            "passages": [passage.to_json() for passage in passages],
        }
        return Sample(source=media.name, window=window.number, arrays=arrays, told=told)

    def _still_columns(self, num_columns: int) -> tuple[int, ...]:
        """Latent frames whose last pixel frame is encoded alone too: both ends, where they are no stills."""
        if num_columns == 1:
            return ()
        return (num_columns - 1,) if self._timeline.is_causal else (0, num_columns - 1)

    @torch.inference_mode()
    def _latents(self, frames: UInt8[np.ndarray, "f H W 3"]) -> Float16[np.ndarray, "c t h w"]:
        pixels = torch.from_numpy(frames).to(self._device).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        try:
            return self._autoencoder.encode(pixels)[0].to("cpu", torch.float16).numpy()
        except torch.OutOfMemoryError as error:
            raise CapacityError(
                "The memory ran out while a window was encoded",
                why=str(error).splitlines()[0].rstrip("."),
                fix="make windows smaller or shorter: --pixels, --seconds",
            ) from error


def _pack_texts(config: PackConfig, checkpoint: Checkpoint, found: Buckets, tell: OnStep) -> list[str]:
    """Encode every caption of the shards once."""
    device = pick_device(config.device)
    dtype = torch.bfloat16 if has_native_bf16(device) else torch.float32
    captions: dict[str, None] = {}
    for samples in found.values():
        for entry in samples:
            for passage in entry.told()["passages"]:
                captions |= dict.fromkeys(passage["texts"].values())
    store = TextStore(folder=config.out / "text")
    num_long = 0
    for num_done, dropped in encode_texts(store, captions, checkpoint, device, dtype):
        num_long += dropped
        tell("captions", num_done, len(captions) + 1)
    if not num_long:
        return []
    length = checkpoint.defaults.text_length
    return [
        f"{num_long} captions are longer than the {length} tokens that the model reads: it reads no more."
    ]


def _report(
    checkpoint: Checkpoint, out: Path, found: Buckets, skipped: list[Skipped], notes: list[str]
) -> Report:
    ratio = checkpoint.spatial_ratio
    tars = [path.stat().st_size for path in out.glob("shard-*.tar")]
    return Report(
        clips={(w * ratio, h * ratio, t): len(samples) for (_, t, h, w), samples in sorted(found.items())},
        num_files=len({entry.source for samples in found.values() for entry in samples}),
        num_shards=len(tars),
        num_bytes=sum(tars),
        skipped=tuple(skipped),
        notes=tuple(notes),
    )


def _nothing(folder: Path, skipped: list[Skipped]) -> InputError:
    reasons = Counter(one.why for one in skipped).most_common(3)
    told = "; ".join(f"{count} × {why}" for why, count in reasons)
    return InputError(
        f"Nothing in “{folder}” can be packed",
        why=told or "it is empty",
        fix="put a caption beside each video, such as ball.txt beside ball.mp4",
    )


def _read_journal(path: Path) -> dict[str, _File]:
    """What was written about each file last; a line that a kill cut short is none."""
    files = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            file = _File.from_json(json.loads(line))
        except (ValueError, TypeError, KeyError):
            continue
        files[file.name] = file
    return files


def _append(path: Path, line: dict[str, Any]) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    except OSError as error:
        raise not_written(path, error) from error
