"""config.json ↔ frozen dataclasses.

A key that khayal does not know is an error, because ignoring it could change the frames. Keys that are
known to have no effect here are listed by name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from khayal.errors import CheckpointError

Config = TypeVar("Config")

# About the decoder, generation, training, and the library that wrote the file.
_UMT5_KEYS = """
architectures bos_token_id chunk_size_feed_forward classifier_dropout decoder_start_token_id dropout_rate
dtype eos_token_id id2label initializer_factor is_encoder_decoder label2id num_decoder_layers
output_attentions output_hidden_states output_past pad_token_id problem_type return_dict
scalable_attention task_specific_params tie_word_embeddings tokenizer_class torch_dtype torchscript
transformers_version use_cache
"""
UMT5_WITHOUT_EFFECT = frozenset(_UMT5_KEYS.split())
_UMT5_SIZES = """
vocab_size d_model d_kv d_ff num_layers num_heads relative_attention_num_buckets
relative_attention_max_distance layer_norm_epsilon
"""
UMT5_POSITIVE = frozenset(_UMT5_SIZES.split())
UMT5_REQUIRED: Mapping[str, tuple[Any, ...]] = {
    "is_decoder": (False,),
    "is_gated_act": (True,),
    "dense_act_fn": ("gelu_new",),
    "model_type": ("umt5",),
}


class MissingPartError(CheckpointError):
    """A file that the checkpoint needs is not there, as after a broken download."""

    def __init__(self, path: Path, *, why: str = "", fix: str = "download the checkpoint again") -> None:
        super().__init__(f"The checkpoint is not complete: {path} is missing", why=why, fix=fix)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        CheckpointError: where the file is missing or holds something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise MissingPartError(path) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON", why=str(error)) from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} does not hold a JSON object")
    return data


def parse_config(
    kind: type[Config],
    data: Mapping[str, Any],
    *,
    where: Path,
    without_effect: frozenset[str] = frozenset(),
    required: Mapping[str, tuple[Any, ...]] | None = None,
    positive: frozenset[str] = frozenset(),
    even: frozenset[str] = frozenset(),
) -> Config:
    """Make a config dataclass from the keys of a file; keys that begin with “_” are notes of its writer.

    Args:
        kind: the dataclass; its fields are the keys that are read.
        where: the file, for error messages.
        without_effect: keys that are known and do not matter.
        required: keys for which khayal can do only the values listed.
        positive: keys whose numbers must be above zero.
        even: keys whose numbers must be even.

    Raises:
        CheckpointError: for an unknown key, or a value of the wrong type, without sense, or that khayal
            cannot do.
    """
    refuse_other_values(data, required or {}, where=where)
    hints = get_type_hints(kind)
    values = {}
    for key, value in data.items():
        if key.startswith("_") or key in without_effect or key in (required or {}):
            continue
        if key not in hints:
            raise CheckpointError(
                f"{where} has a key that khayal does not know: “{key}”",
                why="it may change what the model computes",
                fix="use a newer khayal, or remove the key if you know that it has no effect",
            )
        values[key] = _frozen(value)
        if not _fits(values[key], hints[key]):
            raise CheckpointError(
                f"In {where}, “{key}” is {json.dumps(value)}",
                why=f"it should be of type {_type_name(hints[key])}",
            )
    _refuse_senseless(values, positive, even, where=where)
    return kind(**values)


def refuse_other_values(
    data: Mapping[str, Any], required: Mapping[str, tuple[Any, ...]], *, where: Path
) -> None:
    """Raise a CheckpointError for the first key whose value khayal cannot do."""
    for key, values in required.items():
        if key in data and _frozen(data[key]) not in values:
            raise CheckpointError(
                f"In {where}, “{key}” is {json.dumps(data[key])}",
                why=f"khayal can do only {' or '.join(json.dumps(value) for value in values)}",
                fix="use another checkpoint",
            )


def _refuse_senseless(
    values: Mapping[str, Any], positive: frozenset[str], even: frozenset[str], *, where: Path
) -> None:
    for key in sorted((positive | even) & values.keys()):
        value = values[key]
        numbers = [n for n in (value if isinstance(value, tuple) else (value,)) if n is not None]
        if key in positive and not all(n > 0 for n in numbers):
            why = "it must be positive"
        elif key in even and any(n % 2 for n in numbers):
            why = "it must be even"
        else:
            continue
        raise CheckpointError(f"In {where}, “{key}” is {json.dumps(value)}", why=why)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value (lists made tuples) is of an annotated type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, option) for option in arguments)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if arguments[-1] is Ellipsis:
            return all(_fits(item, arguments[0]) for item in value)
        return len(value) == len(arguments) and all(map(_fits, value, arguments))
    if origin is Literal:
        return value in arguments
    if hint in (None, NoneType):
        return value is None
    if isinstance(value, bool):
        return hint is bool
    if hint is float:
        return isinstance(value, (int, float)) and math.isfinite(value)
    return isinstance(value, hint)


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
