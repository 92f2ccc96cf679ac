"""Runs single stages of the tiny recipe, in this process."""

import shutil
from pathlib import Path

from khayal.train.loop import Outcome, Sitting
from khayal.train.recipe import call_recipe, find_recipe, run_stage

HERE = Path(__file__).parent


def run(
    stage: str, folder: Path, *, resume: bool = False, minutes: float | None = None, **values: object
) -> Outcome:
    """One stage, with values for the keywords of its recipe."""
    given = {key: str(value).lower() if value is True else str(value) for key, value in values.items()}
    config = call_recipe(find_recipe(f"{HERE / 'tiny.py'}:{stage}"), folder, given)
    return run_stage(config, folder / stage, Sitting(resume=resume, minutes=minutes, is_shown=False))


def copy_prepared(prepared: Path, folder: Path) -> Path:
    """A run folder of its own, with what a transformer needs."""
    for part in ("tokenizer", "encode", "autoencoder/model"):
        shutil.copytree(prepared / part, folder / part)
    return folder
