"""Recipes: Python functions that say what a stage does. Found by name, run in a folder."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from khayal.errors import InputError
from khayal.train.config import TrainConfig
from khayal.train.loop import Outcome, Sitting, Trainer
from khayal.train.preparing import (
    EncodeConfig,
    KeepConfig,
    TokenizerConfig,
    encode_clips,
    keep_frames,
    make_tokenizer,
)

Stage: TypeAlias = TrainConfig | EncodeConfig | KeepConfig | TokenizerConfig
Recipe = Callable[..., Any]
"""Takes the folder of the whole run, and keywords with defaults of its own."""


def find_recipe(name: str) -> Recipe:
    """The function that `recipes.embedded:transformer` or `path/to/file.py:transformer` names.

    Raises:
        InputError: there is no such module, file or function.
    """
    place, _, function = name.rpartition(":")
    if not place or not function:
        raise InputError(f"“{name}” is not a recipe", fix="write module:function or file.py:function")
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    recipe = getattr(module, function, None)
    if not callable(recipe):
        there = [
            key for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__
        ]
        public = [key for key in there if not key.startswith("_") and inspect.isfunction(vars(module)[key])]
        raise InputError(
            f"There is no recipe “{function}” in {place}", fix=f"take one of {', '.join(sorted(public))}"
        )
    found: Recipe = recipe
    return found


def _load_module(name: str) -> ModuleType:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # recipes/ lies beside the package, not in it
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        raise InputError(
            f"There is no module “{name}”",
            why=f"looked in {os.getcwd()}",
            fix="go to the folder that holds it, or name its file",
        ) from error


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"There is no file “{path}”")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, "a file that ends in .py has a loader"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # processes that render import it by its name
    spec.loader.exec_module(module)
    return module


def call_recipe(recipe: Recipe, run: Path, given: Mapping[str, str]) -> Stage:
    """What a recipe says for a run, with values for its keywords in the type of their defaults.

    Raises:
        InputError: for a keyword that it does not have, or a value that does not fit.
    """
    keywords = {
        name: parameter.default
        for name, parameter in inspect.signature(recipe).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    values: dict[str, Any] = {}
    for name, text in given.items():
        if name not in keywords:
            fix = f"take one of {', '.join(keywords)}" if keywords else ""
            raise InputError(f"The recipe has no keyword “{name}”", fix=fix)
        values[name] = _as_type_of(keywords[name], name, text)
    stage: object = recipe(run, **values)
    if not isinstance(stage, Stage):
        raise InputError(
            "The recipe does not say what to do",
            why=f"it returned a {type(stage).__name__}",
            fix="return a TrainConfig, EncodeConfig, KeepConfig or TokenizerConfig",
        )
    return stage


def _as_type_of(default: Any, name: str, text: str) -> Any:
    if isinstance(default, bool):
        if text not in ("true", "false"):
            raise InputError(f"“{name}” cannot be “{text}”", fix="write true or false")
        return text == "true"
    try:
        return type(default)(text)
    except ValueError:
        kind = type(default).__name__
        raise InputError(f"“{name}” cannot be “{text}”", why=f"it is of type {kind}") from None


def bounded(stage: Stage, *, minutes: float | None, num_steps: int | None) -> Stage:
    """The same stage with another end."""
    if isinstance(stage, TrainConfig):
        if minutes is None and num_steps is None:
            return stage
        return replace(stage, minutes=minutes, num_steps=num_steps)
    if num_steps is not None:
        raise InputError("This stage does not count steps", fix="leave --steps out")
    if minutes is None:
        return stage
    if isinstance(stage, TokenizerConfig):
        raise InputError("This stage has no time budget", fix="leave --minutes out")
    return replace(stage, minutes=minutes)


def run_stage(stage: Stage, folder: Path, sitting: Sitting) -> Outcome:
    """Run a stage in its folder."""
    if isinstance(stage, TrainConfig):
        return Trainer(stage, folder, sitting).run()
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise InputError("This stage works in one process", fix="run it without torchrun")
    if isinstance(stage, EncodeConfig):
        return encode_clips(stage, folder, sitting)
    if isinstance(stage, KeepConfig):
        return keep_frames(stage, folder, sitting)
    return make_tokenizer(stage, folder, sitting)
