"""The recipe of the causal model, in miniature, from its first stage to a checkpoint that makes a clip."""

from pathlib import Path

import pytest

import khayal
from khayal.checkpoint.folder import EMBEDDED
from khayal.train.loop import Sitting
from khayal.train.recipe import bounded, call_recipe, find_recipe, run_stage

ROOT = Path(__file__).parents[2]


def test_it_ends_in_a_model_that_makes_a_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("khayal.world")
    monkeypatch.syspath_prepend(str(ROOT))

    def run(name: str, start: Path | None = None, num_steps: int | None = None, **values: object) -> None:
        given = {key: str(value) for key, value in values.items()}
        stage = call_recipe(find_recipe(f"recipes.causal:{name}"), tmp_path, given)
        stage = bounded(stage, minutes=None, num_steps=num_steps)
        run_stage(stage, tmp_path / name, Sitting(start=start, is_shown=False))

    run("frames", clips=1, workers=1)
    run("autoencoder", num_steps=1, batch=1, side=32)
    run("encode", clips=1, workers=1)
    run("transformer", num_steps=1, batch=1, start=EMBEDDED)
    studio = khayal.open(tmp_path / "transformer" / "model", device="cpu")
    clip = studio.extend(
        studio.generate("a red ball rolls on the grass", seconds=0.5, steps=1, seed=0),
        seconds=0.5,
        steps=1,
        seed=0,
    )
    assert clip.num_frames == 9 + 8
