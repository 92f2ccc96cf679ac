"""Checkpoints of a run: full ones, from which it goes on exactly, and small ones, which travel.

A full checkpoint is a folder `step-00001200` with one file for each process: weights, optimiser, averages,
random states, position. It takes its name when it is complete. A small one is a few safetensors files of
bfloat16 weights and one average; a run that starts from it warms up a fresh optimiser.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from khayal.errors import CheckpointError, InputError, OutputError
from khayal.parallel import Processes

SMALL_BYTES = 15_900_000
BEFORE_DECAY = "before-decay"
_STEP = re.compile(r"step-(\d{8})")


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a run is.

    Attributes:
        step: the next step.
        seconds: work done so far, over all sittings.
        fresh_since: the step at which the optimiser was fresh.
        progress: of the run as it was planned when this was written.
        seed, batch_size: what the data's order depends on.
    """

    step: int = 0
    seconds: float = 0.0
    fresh_since: int = 0
    progress: float = 0.0
    seed: int = 0
    batch_size: int = 1


def save_full(
    folder: Path, position: Position, tensors: Mapping[str, Any], processes: Processes, *, name: str = ""
) -> Path:
    """Write a full checkpoint whole or not at all; every process writes its part.

    Args:
        folder: of the checkpoints of a run.
        tensors: nested dictionaries of tensors and numbers.
        name: instead of the step's.
    """
    target = folder / (name or f"step-{position.step:08d}")
    draft = folder / f".{target.name}.part"
    try:
        if processes.is_first:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
        processes.wait()
        content = {"position": asdict(position), "random": _random_state(), **tensors}
        with (draft / _file_name(processes)).open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        processes.wait()
        if processes.is_first:
            shutil.rmtree(target, ignore_errors=True)
            os.replace(draft, target)
            _sync_folder(folder)
        processes.wait()
    except OSError as error:
        raise OutputError(
            f"The checkpoint {target} could not be written", why=error.strerror or str(error)
        ) from error
    return target


def load_full(path: Path, processes: Processes) -> tuple[Position, dict[str, Any]]:
    """Read this process's part of a full checkpoint, and restore the random states.

    Raises:
        CheckpointError: it was written by another number of processes, or is damaged.
    """
    file = path / _file_name(processes)
    if not file.exists():
        raise CheckpointError(
            f"{path} cannot go on with {processes.size} process(es)",
            why=f"it was written by {len(list(path.glob('*.pt')))}",
            fix="run as many, or start from the small checkpoint: --start",
        )
    content = _read(file)
    _restore_random_state(content.pop("random"))
    return Position(**content.pop("position")), content


def position_of(path: Path, processes: Processes) -> Position:
    """Where the run was when a full checkpoint was written."""
    file = path / _file_name(processes)
    content = _read(file, mmap=True)
    return Position(**content["position"])


def _read(file: Path, *, mmap: bool = False) -> dict[str, Any]:
    if not zipfile.is_zipfile(file):  # which says so of a file that breaks off, too
        raise CheckpointError(f"{file} cannot be read", why="it is damaged", fix=f"delete {file.parent}")
    content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
    return content


def full_checkpoints(folder: Path) -> list[Path]:
    """Those that are complete, the oldest first."""
    return sorted(path for path in folder.glob("step-*") if _STEP.fullmatch(path.name))


def prune(folder: Path, num_kept: int) -> None:
    """Delete all but the newest full checkpoints, and what was left unfinished."""
    for path in [*full_checkpoints(folder)[:-num_kept], *folder.glob(".*.part")]:
        shutil.rmtree(path)


def save_small(folder: Path, position: Position, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write whole tensors in bfloat16, in files under 16 MB; each file says what it belongs to.

    Args:
        folder: replaced where it is there already.
        tensors: "weights" and "average", each by name.
    """
    shards: list[dict[str, Tensor]] = [{}]
    room = SMALL_BYTES
    for group, named in tensors.items():
        for key, tensor in named.items():
            stored = tensor.detach().to("cpu", torch.bfloat16).contiguous()
            if stored.nbytes + 200 > room and shards[-1]:
                shards.append({})
                room = SMALL_BYTES
            shards[-1][f"{group}/{key}"] = stored
            room -= stored.nbytes + 200  # its entry in the header
    draft, old = folder.with_name(f".{folder.name}.part"), folder.with_name(f".{folder.name}.old")
    try:
        for path in (draft, old):
            shutil.rmtree(path, ignore_errors=True)
        draft.mkdir(parents=True)
        told = {"position": json.dumps(asdict(position)), "num_files": str(len(shards))}
        for number, shard in enumerate(shards, start=1):
            save_file(shard, draft / f"small-{number:02}-of-{len(shards):02}.safetensors", metadata=told)
        if folder.exists():
            os.replace(folder, old)
        os.replace(draft, folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"The checkpoint {folder} could not be written", why=error.strerror or str(error)
        ) from error


def load_small(folder: Path) -> tuple[Position, dict[str, dict[str, Tensor]]]:
    """Read a small checkpoint.

    Raises:
        InputError: there is none in the folder, or a file of it is missing.
    """
    paths = sorted(folder.glob("small-*.safetensors"))
    if not paths:
        raise InputError(f"There is no small checkpoint in “{folder}”", fix="name the folder of its files")
    tensors: dict[str, dict[str, Tensor]] = {}
    metadata: dict[str, str] = {}
    for path in paths:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            for name in file.keys():  # noqa: SIM118 - it is no dictionary
                group, _, key = name.partition("/")
                tensors.setdefault(group, {})[key] = file.get_tensor(name).float()
    if len(paths) != int(metadata["num_files"]):
        raise InputError(
            f"“{folder}” is not complete", why=f"it has {len(paths)} of {metadata['num_files']} files"
        )
    return Position(**json.loads(metadata["position"])), tensors


def _file_name(processes: Processes) -> str:
    return f"part-{processes.rank:05}-of-{processes.size:05}.pt"


def _random_state() -> dict[str, Any]:
    """Of the generators that a library may draw from; ours are made anew from the seed and the step."""
    words: Any = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [torch.from_numpy(np.asarray(words[1]).astype(np.int64)), *words[2:]],
        "python": json.dumps(random.getstate()),
    }


def _restore_random_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    words, *rest = state["numpy"]
    np.random.set_state(("MT19937", words.numpy().astype(np.uint32), *rest))
    version, numbers, extra = json.loads(state["python"])
    random.setstate((version, tuple(numbers), extra))


def _sync_folder(folder: Path) -> None:
    """Make renames in a folder last through a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
