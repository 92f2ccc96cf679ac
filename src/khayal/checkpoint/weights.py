"""safetensors files → tensors of a module, with nothing missing and nothing left over.

What is in a file is read from its header alone, so that a broken folder is found before any work starts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from khayal.checkpoint.configs import MissingPartError, read_json
from khayal.errors import CheckpointError

DAMAGED = "download the checkpoint again"


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """One tensor on disk; `dtype` is safetensors' name for it ("F32", "BF16")."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    num_bytes: int


@dataclass(frozen=True, kw_only=True)
class StoredWeights:
    """All tensors of one component, from one file or several."""

    folder: Path
    tensors: Mapping[str, StoredTensor]

    @property
    def num_bytes(self) -> int:
        """Size on disk, headers aside."""
        return sum(tensor.num_bytes for tensor in self.tensors.values())


def read_weights(folder: Path, stem: str) -> StoredWeights:
    """What STEM.safetensors, or the files of STEM.safetensors.index.json, hold.

    Raises:
        MissingPartError: where a file is missing.
        CheckpointError: where a file is truncated or is not a safetensors file.
    """
    index = folder / f"{stem}.safetensors.index.json"
    single = folder / f"{stem}.safetensors"
    if not index.exists():
        if not single.exists():
            raise MissingPartError(single, why=_what_is_there_instead(folder))
        return StoredWeights(folder=folder, tensors=read_header(single))
    homes = read_json(index).get("weight_map")
    if not isinstance(homes, dict) or not all(
        isinstance(name, str) and Path(name).name == name for name in homes.values()
    ):
        raise CheckpointError(f"{index} has no usable weight_map", fix=DAMAGED)
    found: dict[str, StoredTensor] = {}
    for name in sorted(set(homes.values())):
        found |= read_header(folder / name)
    lost = sorted(homes.keys() - found.keys())
    if lost:
        raise CheckpointError(f"{index} names tensors that its files do not hold: {some(lost)}", fix=DAMAGED)
    return StoredWeights(folder=folder, tensors=found)


def read_header(path: Path) -> dict[str, StoredTensor]:
    """The tensors of one safetensors file, without their values.

    Raises:
        MissingPartError: where there is no such file.
        CheckpointError: where it is truncated or something else.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            text = file.read(length) if length < size else b""
    except FileNotFoundError as error:
        raise MissingPartError(path) from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read", why=str(error)) from error
    if not text:
        raise CheckpointError(f"{path} is not a safetensors file", why=_what_it_is(path, size), fix=DAMAGED)
    try:
        header: dict[str, Any] = json.loads(text)
        header.pop("__metadata__", None)
        tensors = {key: _stored(path, entry) for key, entry in header.items()}
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path} is not a safetensors file", why="its header is broken") from error
    expected = 8 + length + end
    if size != expected:
        why = f"it has {size:,} bytes and should have {expected:,}"
        raise CheckpointError(
            f"{path} is truncated" if size < expected else f"{path} is damaged", why=why, fix=DAMAGED
        )
    return tensors


def load_weights(
    module: nn.Module,
    stored: StoredWeights,
    *,
    device: torch.device | str,
    dtype_of: Callable[[str], torch.dtype],
    copies: Mapping[str, str] | None = None,
) -> None:
    """Give a module on the meta device its weights, straight on their device and in their dtype.

    Tensors that keep their dtype on the CPU stay mapped to the file until they are used.

    Args:
        dtype_of: the dtype for each key.
        copies: keys that a file may hold in place of, or beside, another key, with the same values.

    Raises:
        CheckpointError: where keys are missing or left over, a shape is another, or a file is damaged.
    """
    tensors = renamed(stored, copies or {})
    check_keys(module, stored.folder, tensors)
    loaded: dict[str, Tensor] = {}
    for path in sorted({tensor.file for _, tensor in tensors.values()}):
        try:
            with safe_open(path, framework="pt", device=str(device)) as file:
                for key, (stored_key, tensor) in tensors.items():
                    if tensor.file == path:
                        loaded[key] = file.get_tensor(stored_key).to(dtype_of(key))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} cannot be read", why=str(error), fix=DAMAGED) from error
    module.load_state_dict(loaded, strict=True, assign=True)
    assert not any(t.is_meta for t in (*module.parameters(), *module.buffers())), "a buffer without a value"


def check_keys(module: nn.Module, folder: Path, tensors: Mapping[str, tuple[str, StoredTensor]]) -> None:
    """Raise a CheckpointError unless the stored tensors are exactly those of the module."""
    wanted = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    missing, unexpected = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    if missing or unexpected:
        parts = [
            f"{word} {some(keys)}"
            for word, keys in (("missing", missing), ("unexpected", unexpected))
            if keys
        ]
        raise CheckpointError(
            f"The weights in {folder} do not fit its config.json", why=" and ".join(parts), fix=DAMAGED
        )
    for key, shape in wanted.items():
        if tensors[key][1].shape != shape:
            raise CheckpointError(
                f"The weights in {folder} do not fit its config.json",
                why=f"{key} has the shape {tensors[key][1].shape} and should have {shape}",
                fix=DAMAGED,
            )


def some(names: Iterable[str], most: int = 3) -> str:
    """A few names of many."""
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def renamed(stored: StoredWeights, copies: Mapping[str, str]) -> dict[str, tuple[str, StoredTensor]]:
    """The module's key → the key on disk. A copy is read where the original is not there."""
    tensors = {key: (key, tensor) for key, tensor in stored.tensors.items()}
    for copy, original in copies.items():
        if copy not in tensors:
            continue
        second = tensors.pop(copy)
        first = tensors.setdefault(original, second)
        if first is not second and not _same(first, second):
            raise CheckpointError(
                f"In {stored.folder}, {copy} and {original} should be the same and are not",
                fix=DAMAGED,
            )
    return tensors


def _same(one: tuple[str, StoredTensor], other: tuple[str, StoredTensor], num_rows: int = 256) -> bool:
    """Whether two stored matrices are equal, by their shapes and some of their rows."""
    if one[1].shape != other[1].shape:
        return False
    rows = range(0, one[1].shape[0], max(1, one[1].shape[0] // num_rows))
    samples = []
    for key, tensor in (one, other):
        with safe_open(tensor.file, framework="pt") as file:
            matrix = file.get_slice(key)
            samples.append(torch.cat([matrix[row : row + 1] for row in rows]))
    return torch.equal(*samples)


def _stored(path: Path, entry: Mapping[str, Any]) -> StoredTensor:
    start, end = entry["data_offsets"]
    return StoredTensor(file=path, dtype=entry["dtype"], shape=tuple(entry["shape"]), num_bytes=end - start)


def _what_it_is(path: Path, size: int) -> str:
    with path.open("rb") as file:
        begin = file.read(40)
    if begin.startswith(b"version https://git-lfs"):
        return "it is a pointer of git-lfs; `git lfs pull` in the folder fetches the file"
    return f"it has {size:,} bytes" + (" and its header is cut off" if size else "")


def _what_is_there_instead(folder: Path) -> str:
    others = sorted(p.name for p in folder.glob("*") if p.suffix in {".safetensors", ".bin", ".pth", ".pt"})
    return f"the folder has {some(others)}; khayal reads safetensors of the usual name only" if others else ""
