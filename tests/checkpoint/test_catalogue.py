"""The list of models: published ones by their sizes, local ones as they are."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from khayal.checkpoint.catalogue import Broken, Entry, known_models, local_models
from khayal.errors import CheckpointError
from khayal.tasks import TASKS

Kind = Callable[[str], Path]


def beside_our_own(*folders: Any, **where: Any) -> list[Entry | Broken]:
    """What is listed after the model that khayal comes with."""
    own, *others = local_models(*folders, **where)
    assert own.name == "khayal"
    return others


def test_known_models() -> None:
    models = {
        model.name.removeprefix("Wan-AI/").removesuffix("-Diffusers"): model for model in known_models()
    }
    assert set(models) == {"Wan2.1-T2V-1.3B", "Wan2.1-T2V-14B", "Wan2.2-TI2V-5B", "Wan2.2-T2V-A14B"}
    # The transformers have 1.42, 14.29, 5.00 and 2 × 14.29 billion parameters, the text encoder 5.68.
    billions = {name: round(model.num_parameters / 1e9, 1) for name, model in models.items()}
    assert billions == {
        "Wan2.1-T2V-1.3B": 7.2,
        "Wan2.1-T2V-14B": 20.1,
        "Wan2.2-TI2V-5B": 11.4,
        "Wan2.2-T2V-A14B": 34.4,
    }
    assert round(models["Wan2.2-TI2V-5B"].num_bytes / 1e9) == 34
    assert models["Wan2.2-TI2V-5B"].tasks == TASKS
    assert models["Wan2.2-T2V-A14B"].tasks == ("generate", "remix")
    assert {name: model.fps for name, model in models.items() if model.fps != 16} == {"Wan2.2-TI2V-5B": 24}


def test_local_models(tiny_checkpoint: Kind, tmp_path: Path) -> None:
    for kind in ("wan2.1", "ti2v"):
        shutil.copytree(tiny_checkpoint(kind), tmp_path / kind)
    (tmp_path / "wan2.1" / "vae" / "config.json").unlink()
    (tmp_path / "something else").mkdir()
    broken, good = sorted(
        beside_our_own([tmp_path], cache=tmp_path / "no cache"),
        key=lambda m: m.name == str(tmp_path / "ti2v"),
    )
    assert isinstance(good, Entry)
    assert good.tasks == TASKS
    assert good.shape.num_experts == 1
    assert good.path == tmp_path / "ti2v"
    assert isinstance(broken, Broken)
    assert "vae/config.json is missing" in broken.problem


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("transformer/config.json", {"num_attention_heads": 10**25}),
        ("text_encoder/config.json", {"vocab_size": -5}),
        ("vae/config.json", {"dim_mult": []}),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 0}),
        ("khayal.json", {"seconds": 1e999}),
        ("model_index.json", {"tokenizer": 3}),
    ],
)
def test_one_broken_folder_leaves_the_others(
    tiny_checkpoint: Kind, tmp_path: Path, file: str, values: dict[str, Any]
) -> None:
    for kind in ("wan2.1", "ti2v"):
        shutil.copytree(tiny_checkpoint(kind), tmp_path / kind)
    path = tmp_path / "wan2.1" / file
    data = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(data | values))
    good, broken = beside_our_own([tmp_path], cache=tmp_path / "no cache")
    assert isinstance(good, Entry)
    assert isinstance(broken, Broken)
    assert broken.problem.endswith(".")


def test_a_checkpoint_may_be_named_itself(tiny_checkpoint: Kind, tmp_path: Path) -> None:
    (found,) = beside_our_own([tiny_checkpoint("a14b")], cache=tmp_path)
    assert isinstance(found, Entry)
    assert found.shape.num_experts == 2


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no folder"):
        beside_our_own([tmp_path / "nowhere"])
