"""A text encoder learns other wordings of what a transformer understands, which stays as it is."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from stages import copy_prepared, run

import khayal
from khayal.checkpoint.tokenizer import Tokenizer
from khayal.errors import InputError
from khayal.train.config import KeepingConfig, OptimiserConfig, TrainConfig
from khayal.train.hearing import HearingConfig
from khayal.train.loop import Sitting
from khayal.train.parts import load_part
from khayal.train.preparing import TokenizerConfig, make_tokenizer
from khayal.train.recipe import run_stage
from khayal.train.rewording import PairedCaptions, Rewording, RewordingConfig

SCENES = tuple(
    f"a {colour} {shape} moves to the {side}"
    for colour in ("red", "blue")
    for shape in ("square", "disc")
    for side in ("left", "right")
)
OTHER = {"red": "scarlet", "blue": "navy", "square": "box", "left": "west", "right": "east"}


def reworded(caption: str) -> str:
    return " ".join(OTHER.get(word, word) for word in caption.split())


def tellers():
    """Eight scenes in words that the model has never met."""
    return [lambda dice, scene=scene: (reworded(scene), scene) for scene in SCENES]


@pytest.fixture(scope="module")
def learned(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a model that has learned new words; its transformer has learned to look at text."""
    folder = copy_prepared(prepared, tmp_path_factory.mktemp("rewording") / "run")
    told = TokenizerConfig(texts=lambda: SCENES, num_tokens=100)
    make_tokenizer(told, folder / "tokenizer", Sitting(is_shown=False))
    run("transformer", folder, steps=40)
    model = folder / "transformer" / "model"
    extended = replace(told, texts=lambda: map(reworded, SCENES), extends=model / "tokenizer")
    make_tokenizer(extended, folder / "words", Sitting(is_shown=False))
    config = RewordingConfig(
        hearing=HearingConfig(model=model, scenes=SCENES[::3], size=(2, 2), num_columns=2),
        tokenizer=folder / "words",
        text_length=32,
        words=("▁scarlet",),
        num_queries=16,
        replaced_share=0.0,
    )
    stage = TrainConfig(
        objective=partial(Rewording, config),
        source=lambda: PairedCaptions(tellers()),
        batch_size=8,
        num_steps=120,
        optimiser=OptimiserConfig(warmup_steps=2, learning_rate=2e-2, matrix_learning_rate=2e-2),
        keeping=KeepingConfig(tensorboard=False),
        averages=(0.9,),
    )
    run_stage(stage, folder / "rewording", Sitting(is_shown=False))
    return folder


def test_it_learns_what_new_words_mean_to_the_transformer(learned: Path) -> None:
    lines = (learned / "rewording" / "log.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert np.mean(losses[-5:]) < 0.3 * np.mean(losses[:3])


def test_the_model_is_the_old_one_but_for_its_text(learned: Path) -> None:
    old, new = learned / "transformer" / "model", learned / "rewording" / "model"
    for role in ("transformer", "vae"):
        before, after = (load_part(model / role, role, torch.float32).state_dict() for model in (old, new))
        for key, weight in after.items():
            torch.testing.assert_close(weight, before[key], rtol=0, atol=0)
    studio = khayal.open(new, device="cpu")
    assert studio.checkpoint.defaults.text_length == 32
    assert studio.checkpoint.defaults.words == ("▁scarlet",)
    assert studio.generate("a scarlet box moves to the west", seconds=1, steps=1).num_frames == 8


def test_a_tokenizer_is_extended_after_its_own_tokens(learned: Path) -> None:
    old, new = (
        Tokenizer(folder, length=32)
        for folder in (learned / "transformer" / "model" / "tokenizer", learned / "words")
    )
    assert old.encode(SCENES).token_ids.tolist() == new.encode(SCENES).token_ids.tolist()
    assert int(new.encode(["a scarlet box"]).is_token.sum()) == 4
    assert new.num_ids == old.num_ids + len(set(OTHER.values()))


def test_a_tokenizer_that_is_too_large_for_the_model_is_refused(learned: Path, tmp_path: Path) -> None:
    made = TokenizerConfig(texts=lambda: [f"word{k}" for k in range(500)], num_tokens=400)
    make_tokenizer(made, tmp_path / "tokenizer", Sitting(is_shown=False))
    config = RewordingConfig(
        hearing=HearingConfig(
            model=learned / "transformer" / "model", scenes=SCENES[:1], size=(2, 2), num_columns=2
        ),
        tokenizer=tmp_path / "tokenizer",
        text_length=32,
        words=(),
    )
    with pytest.raises(InputError, match="the model has room for 100"):
        Rewording(config)


def test_more_words_than_the_model_has_tokens_are_refused(learned: Path, tmp_path: Path) -> None:
    config = TokenizerConfig(
        texts=lambda: [f"word{k}" for k in range(500)], num_tokens=100, extends=learned / "words"
    )
    with pytest.raises(InputError, match="no room for 500 new words"):
        make_tokenizer(config, tmp_path / "tokenizer", Sitting(is_shown=False))
