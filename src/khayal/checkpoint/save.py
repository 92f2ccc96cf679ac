"""Modules → a folder in diffusers layout, whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from khayal.checkpoint.configs import read_json
from khayal.checkpoint.defaults import Defaults
from khayal.checkpoint.keys import part_for
from khayal.checkpoint.scheduler import SchedulerConfig
from khayal.errors import OutputError

SHARD_BYTES = 5_000_000_000
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "spiece.model")


def save_checkpoint(
    folder: Path,
    *,
    transformers: Sequence[nn.Module],
    autoencoder: nn.Module,
    text_encoder: nn.Module,
    tokenizer: Path,
    scheduler: SchedulerConfig,
    expand_timesteps: bool,
    boundary_ratio: float | None = None,
    defaults: Defaults | None = None,
    shard_bytes: int = SHARD_BYTES,
    overwrite: bool = False,
) -> None:
    """Write a checkpoint beside its place, then move it there, so that nobody ever sees half of it.

    diffusers opens the whole folder where the autoencoder is Wan's, and the other parts in any case.

    Args:
        folder: where it goes; its parent must exist.
        transformers: one, or two experts with the one for high noise first.
        tokenizer: the folder of a tokenizer, which is copied.
        expand_timesteps: whether the transformer takes a noise level for each latent frame.
        boundary_ratio: with two experts, the level from which upwards the first one works.
        defaults: written to khayal.json.
        shard_bytes: weights larger than this are spread over several files.
        overwrite: replace a checkpoint that is there already.

    Raises:
        OutputError: where the folder cannot be written, or something is there already.
    """
    assert len(transformers) == (1 if boundary_ratio is None else 2), "two experts meet at a boundary"
    modules = dict(zip(("transformer", "transformer_2"), transformers, strict=False))
    modules |= {"vae": autoencoder, "text_encoder": text_encoder}
    index: dict[str, Any] = {
        "_class_name": "WanPipeline",
        "boundary_ratio": boundary_ratio,
        "expand_timesteps": expand_timesteps,
        "transformer_2": [None, None],
        "tokenizer": ["transformers", _tokenizer_class(tokenizer)],
        "scheduler": ["diffusers", scheduler.to_json()["_class_name"]],
    }
    with _appearing(folder, overwrite=overwrite) as unfinished:
        index |= _save_modules(unfinished, modules, shard_bytes)
        _copy_tokenizer(tokenizer, unfinished / "tokenizer")
        write_json(unfinished / "scheduler" / "scheduler_config.json", scheduler.to_json())
        write_json(unfinished / "model_index.json", index)
        if defaults is not None:
            write_json(unfinished / "khayal.json", defaults.to_json())


def _save_modules(folder: Path, modules: Mapping[str, nn.Module], shard_bytes: int) -> dict[str, list[str]]:
    """Write each part's config and weights; returns their entries in model_index.json."""
    entries = {}
    for role, module in modules.items():
        part = part_for(module)
        entries[role] = [part.library, part.class_name]
        write_json(folder / role / "config.json", part.to_json(module.config))
        save_weights(folder / role, part.stem, module.state_dict(), shard_bytes=shard_bytes)
    return entries


def _copy_tokenizer(source: Path, folder: Path) -> None:
    folder.mkdir()
    for name in _TOKENIZER_FILES:
        if (source / name).exists():
            shutil.copyfile(source / name, folder / name)


def save_weights(
    folder: Path, stem: str, tensors: Mapping[str, Tensor], *, shard_bytes: int = SHARD_BYTES
) -> None:
    """Write STEM.safetensors, or several files and their index where the tensors are larger."""
    shards: list[dict[str, Tensor]] = [{}]
    room = shard_bytes
    for key, tensor in tensors.items():
        if tensor.nbytes > room and shards[-1]:
            shards.append({})
            room = shard_bytes
        shards[-1][key] = tensor
        room -= tensor.nbytes
    names = [f"{stem}.safetensors"]
    if len(shards) > 1:
        names = [f"{stem}-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
        homes = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
        total = sum(tensor.nbytes for tensor in tensors.values())
        write_json(
            folder / f"{stem}.safetensors.index.json",
            {"metadata": {"total_size": total}, "weight_map": homes},
        )
    for name, shard in zip(names, shards, strict=True):
        on_cpu = {key: tensor.detach().cpu().contiguous() for key, tensor in shard.items()}
        save_file(on_cpu, folder / name, metadata={"format": "pt"})


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write an object with its keys in order, making the folder where it is missing."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", encoding="utf-8")


@contextmanager
def _appearing(folder: Path, *, overwrite: bool) -> Iterator[Path]:
    """A folder to write into that takes its name at the end, or goes away where something failed."""
    _check_place(folder, overwrite=overwrite)
    mark = secrets.token_hex(4)
    unfinished = folder.with_name(f".{folder.name}.{mark}.part")
    try:
        unfinished.mkdir()
        yield unfinished
        if folder.exists() and not overwrite:
            folder.rmdir()  # it is empty, or another process was faster and keeps its own
        if folder.exists():
            replaced = folder.with_name(f".{folder.name}.{mark}.old")
            os.rename(folder, replaced)
            os.rename(unfinished, folder)
            shutil.rmtree(replaced)
        else:
            os.rename(unfinished, folder)
    except OSError as error:
        raise OutputError(f"The checkpoint {folder} could not be written", why=str(error)) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _check_place(folder: Path, *, overwrite: bool) -> None:
    if not folder.parent.is_dir():
        raise OutputError(f"There is no folder {folder.parent}", fix="make it first")
    if not os.access(folder.parent, os.W_OK):
        raise OutputError(f"{folder.parent} cannot be written to", fix="choose another place")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / "model_index.json").is_file():
        raise OutputError(f"{folder} is there already and is no checkpoint", fix="choose another name")
    if not overwrite:
        raise OutputError(
            f"There is a checkpoint at {folder} already", fix="choose another name, or overwrite it"
        )


def _tokenizer_class(folder: Path) -> str:
    """The class for other readers: T5's rebuilds a tokenizer from its words and drops what T5 lacks."""
    path = folder / "tokenizer_config.json"
    name = read_json(path).get("tokenizer_class", "") if path.exists() else ""
    return "T5TokenizerFast" if name.startswith("T5Tokenizer") else "PreTrainedTokenizerFast"
