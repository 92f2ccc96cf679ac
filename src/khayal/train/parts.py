"""Single parts of a checkpoint, before there is a whole folder: read, rebuilt from named tensors, written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from khayal.checkpoint.configs import read_json
from khayal.checkpoint.keys import PARTS, part_for, part_of
from khayal.checkpoint.save import save_weights, write_json
from khayal.checkpoint.weights import load_weights, read_weights
from khayal.errors import CheckpointError


def rebuilt(
    kind: type[nn.Module], config: Any, weights: Mapping[str, Tensor], dtype: torch.dtype
) -> nn.Module:
    """A module of a kind that a checkpoint holds, with other weights, in the types in which it is stored."""
    part = next(part for part in PARTS if part.module_class is kind)
    module = part.skeleton(config)
    typed = {key: value.detach().cpu().to(part.dtype_of(key, dtype)) for key, value in weights.items()}
    module.load_state_dict(typed, strict=True, assign=True)
    return module.eval().requires_grad_(False)


def save_part(folder: Path, module: nn.Module) -> None:
    """Write one part as it stands in a checkpoint folder: config.json and weights."""
    part = part_for(module)
    folder.mkdir(parents=True, exist_ok=True)
    data = part.to_json(module.config)
    write_json(folder / "config.json", data | {"_class_name": part.class_name})
    save_weights(folder, part.stem, module.state_dict())


def load_part(folder: Path, role: str, dtype: torch.dtype) -> nn.Module:
    """Read one part, as `save_part` wrote it or as it stands in a checkpoint folder.

    Args:
        role: "transformer", "vae" or "text_encoder".
    """
    where = folder / "config.json"
    if not where.is_file():
        raise CheckpointError(f"There is no {role} in “{folder}”", fix="run the stage that trains it first")
    data = read_json(where)
    part = part_of(role, data.get("_class_name", "UMT5EncoderModel"), where=where)
    module = part.skeleton(part.parse(data, where=where))
    stored = read_weights(folder, part.stem)
    load_weights(
        module, stored, device="cpu", dtype_of=lambda key: part.dtype_of(key, dtype), copies=part.copies
    )
    return module.eval().requires_grad_(False)
