"""Files that appear whole, folders that belong to one thing, and what weights are known by."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from khayal.errors import InputError, OutputError

_DECODERS = ("decoder.", "post_quant_conv.")
_SCALES = ("latents_mean", "latents_std")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears whole, and is on the disk when this returns.

    Raises:
        OutputError: it cannot be written; the disk may be full.
    """
    draft = path.with_name(path.name + ".part")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        raise not_written(path, error) from error


def not_written(path: Path, error: OSError) -> OutputError:
    """What is said where a file cannot be written."""
    return OutputError(
        f"“{path}” could not be written",
        why=error.strerror or str(error),
        fix="make room or choose another place; the same command goes on from here",
    )


def read_json(path: Path) -> Any:
    """The content of a JSON file that khayal wrote.

    Raises:
        InputError: it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"“{path}” cannot be read", why=str(error)) from error


def claim(manifest: Path, wanted: Mapping[str, Any]) -> None:
    """Say in a folder what it holds; what is begun is continued with the same only.

    Raises:
        InputError: it was begun with something else.
        OutputError: it cannot be written.
    """
    content = json.loads(json.dumps(wanted))
    if manifest.exists():
        found = read_json(manifest)
        odd = sorted(key for key in {*found, *content} if found.get(key) != content.get(key))
        if odd:
            told = ", ".join(f"{key} {found.get(key)!r}, not {content.get(key)!r}" for key in odd)
            raise InputError(
                f"“{manifest.parent}” cannot be continued",
                why=f"it was begun with {told}",
                fix="use a new folder",
            )
        return
    try:
        manifest.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_written(manifest.parent, error) from error
    write_whole(manifest, (json.dumps(content, indent=1) + "\n").encode())


def fingerprint(folder: Path) -> str:
    """Of what encodes in a part of a checkpoint, so that latents or texts of two encoders are never mixed.

    It stays the same where weights are stored in bfloat16, are spread over other files, or where a decoder
    learns on.
    """
    import torch
    from safetensors import safe_open

    digest = hashlib.sha256()
    homes: dict[str, Path] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            homes |= dict.fromkeys(file.keys(), path)
    for key in sorted(key for key in homes if not key.startswith(_DECODERS)):
        with safe_open(homes[key], framework="pt") as file:
            weights = file.get_tensor(key).to(torch.bfloat16).contiguous()
        digest.update(f"{key} {tuple(weights.shape)}".encode())
        digest.update(weights.flatten().view(torch.uint8).numpy().data)
    config = read_json(folder / "config.json")
    scales = [[round(value, 5) for value in config.get(name) or ()] for name in _SCALES]
    digest.update(json.dumps(scales).encode())
    return digest.hexdigest()[:16]
