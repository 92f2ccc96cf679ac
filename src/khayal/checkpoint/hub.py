"""Checkpoints of the Hugging Face hub: found in the local cache, or downloaded into it.

The hub's library is imported where it is used: it takes 0.4 s, which a local folder need not wait for.
"""

from __future__ import annotations

import re
from pathlib import Path

from khayal.errors import CheckpointError

_FOLDERS = ("transformer", "transformer_2", "vae", "text_encoder")
CONFIGS = (
    "model_index.json",
    "khayal.json",
    "scheduler/*.json",
    "tokenizer/*",
    *(f"{folder}/*.json" for folder in _FOLDERS),
)
EVERYTHING = (
    *CONFIGS,
    *(
        f"{folder}/{stem}*.safetensors"
        for folder in _FOLDERS
        for stem in ("diffusion_pytorch_model", "model")
    ),
)
_VARIANTS = ("*.fp16.*", "*.bf16.*")  # second copies of the weights, which khayal does not read


def is_hub_id(name: str) -> bool:
    """Whether a name looks like ORG/NAME."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name) is not None


def cached(name: str, *, cache: Path | None = None) -> Path | None:
    """The folder of a model that was downloaded before, if need be in part; None where there is none."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return _snapshot(name, EVERYTHING, cache=cache, local_files_only=True)
    except LocalEntryNotFoundError:
        return None


def cached_models(*, cache: Path | None = None) -> list[tuple[str, Path]]:
    """All models that were downloaded before, of any kind, as (id, folder)."""
    from huggingface_hub import constants

    place = cache or Path(constants.HF_HUB_CACHE)
    names = (
        folder.name.removeprefix("models--").replace("--", "/", 1) for folder in place.glob("models--*--*")
    )
    return [(name, path) for name in sorted(names) if (path := cached(name, cache=cache)) is not None]


def download(name: str, patterns: tuple[str, ...], *, revision: str | None = None) -> Path:
    """Fetch the files that match, with a progress bar; files that are there already are kept.

    Args:
        revision: a commit whose configs were fetched before; None for the newest.

    Raises:
        CheckpointError: where there is no such model, no network, or no room.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        return _snapshot(name, patterns, revision=revision)
    except GatedRepoError as error:
        raise CheckpointError(
            f"The model {name} is behind a form on the hub",
            why="its owner asks who downloads it",
            fix=f"accept its terms on https://huggingface.co/{name}, then run: hf auth login",
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"There is no folder {name} here and no model {name} on the hub",
            fix="check the name: khayal models lists the known ones",
        ) from error
    except Exception as error:  # each version of the library has its own errors of transport
        cause = str(error.__cause__ or error).strip().splitlines()
        raise CheckpointError(
            f"The weights of {name} could not be downloaded"
            if revision
            else f"There is no folder {name} here, and no model of that name could be downloaded",
            why="HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else cause[0] if cause else "",
            fix="unset HF_HUB_OFFLINE, or give a checkpoint folder"
            if constants.HF_HUB_OFFLINE
            else "check the connection and try again: what arrived is kept",
        ) from error


def _snapshot(
    name: str,
    patterns: tuple[str, ...],
    *,
    revision: str | None = None,
    cache: Path | None = None,
    local_files_only: bool = False,
) -> Path:
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        name,
        revision=revision,
        cache_dir=cache,
        allow_patterns=list(patterns),
        ignore_patterns=list(_VARIANTS),
        local_files_only=local_files_only,
    )
    return Path(folder)
