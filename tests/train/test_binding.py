"""A model's text encoder learns to let words for one actor say something of each other."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import tiny
import torch
from stages import copy_prepared, run
from told import ToldOfTwo

import khayal
from khayal.checkpoint.tokenizer import Tokenizer
from khayal.errors import InputError
from khayal.model.text import UMT5Encoder, UMT5EncoderConfig
from khayal.train.binding import Binding, BindingConfig
from khayal.train.caption_tokens import CaptionTokens
from khayal.train.config import KeepingConfig, OptimiserConfig, TrainConfig
from khayal.train.loop import Sitting
from khayal.train.parts import load_part
from khayal.train.preparing import TokenizerConfig, make_tokenizer
from khayal.train.recipe import run_stage
from khayal.train.text_to_video import TextToVideo

SCENES = tuple(
    f"a red {red} and a blue {blue} rolls" for red in ("ball", "cube") for blue in ("ball", "cube")
)
OTHER_WAY = ["a red ball and a blue cube rolls", "a red cube and a blue ball rolls"]


def shape_of(model: Path) -> BindingConfig:
    return BindingConfig(
        model=model,
        classes=(frozenset({"red", "blue", "ultramarine"}), frozenset({"ball", "cube"})),
        scenes=SCENES,
        text_length=24,
    )


@pytest.fixture(scope="module")
def learned(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a model whose encoder has learned."""
    folder = copy_prepared(prepared, tmp_path_factory.mktemp("binding") / "run")
    told = TokenizerConfig(texts=lambda: [*SCENES, "red square blue disc"], num_tokens=100)
    make_tokenizer(told, folder / "tokenizer", Sitting(is_shown=False))
    run("transformer", folder, steps=40)
    stage = TrainConfig(
        objective=partial(Binding, shape_of(folder / "transformer" / "model")),
        source=ToldOfTwo,
        batch_size=16,
        num_steps=200,
        optimiser=OptimiserConfig(matrices="adamw", warmup_steps=2, learning_rate=1e-2),
        keeping=KeepingConfig(tensorboard=False),
        averages=(0.9,),
    )
    run_stage(stage, folder / "binding", Sitting(is_shown=False))
    return folder


def apart(model: Path) -> float:
    """How far tokens of a caption are from those of one that says it the other way, beside their length."""
    encoder = load_part(model / "text_encoder", "text_encoder", torch.float32)
    tokens = CaptionTokens(Tokenizer(model / "tokenizer", length=24))
    one, other = encoder(*tokens.of(OTHER_WAY))
    return float(torch.cdist(one, other).amin(1).max() / one.norm(dim=-1).mean())


def test_partners_are_the_nearest_words_of_the_two_classes(learned: Path) -> None:
    objective = Binding(shape_of(learned / "transformer" / "model"))
    captions = ["a red ball and a blue cube rolls", "cube a a a red", "ball a red and blue rolls"]
    tokens = CaptionTokens(Tokenizer(learned / "tokenizer", length=24))
    found = objective.partners(tokens.of(captions)[0]).tolist()
    assert found == [[0, 1, 2], [0, 5, 6], [2, 2, 0]], "row, colour, kind; nobody has two, or one far away"


def test_partners_lend_each_other_what_tells_them_from_others(learned: Path) -> None:
    objective = Binding(shape_of(learned / "transformer" / "model"))
    tokens = CaptionTokens(Tokenizer(learned / "tokenizer", length=24))
    ids, is_token = tokens.of(SCENES)
    given = load_part(learned / "transformer" / "model" / "text_encoder", "text_encoder", torch.float32)
    text = given(ids, is_token)
    written, lent = objective.bound(ids, is_token)
    torch.testing.assert_close(written, text)
    assert lent.any(dim=-1).sum(1).tolist() == [4] * 4
    red, colours = text[:, 1].mean(0), text[:, [1, 5]].flatten(0, 1).mean(0)
    told = text[:, 2] + 0.7 * (red - colours)
    told *= text[:, 2].norm(dim=-1, keepdim=True) / told.norm(dim=-1, keepdim=True)  # as long as before
    torch.testing.assert_close(text[:, 2] + lent[:, 2], told)


def test_words_that_no_scene_says_are_refused(learned: Path) -> None:
    shape = shape_of(learned / "transformer" / "model")
    with pytest.raises(InputError, match="No scene says one of these words: ultramarine"):
        Binding(replace(shape, classes=(frozenset({"ultramarine"}), shape.classes[1])))


def test_it_learns_what_the_rule_makes(learned: Path) -> None:
    lines = [json.loads(line) for line in (learned / "binding" / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["missed"] < 0.2 < lines[0]["missed"]
    assert lines[-1]["changed"] < 0.1
    assert apart(learned / "binding" / "model") > 0.2


def test_the_model_is_the_old_one_but_for_its_text_encoder(learned: Path) -> None:
    old, new = learned / "transformer" / "model", learned / "binding" / "model"
    for role in ("transformer", "vae"):
        before, after = (load_part(model / role, role, torch.float32).state_dict() for model in (old, new))
        for key, weight in after.items():
            torch.testing.assert_close(weight, before[key], rtol=0, atol=0)
    given, wider = (load_part(model / "text_encoder", "text_encoder", torch.float32) for model in (old, new))
    assert isinstance(given, UMT5Encoder)
    assert wider.config.num_heads == given.config.num_heads + 3
    studio = khayal.open(new, device="cpu")
    assert studio.checkpoint.defaults == khayal.open(old, device="cpu").checkpoint.defaults
    assert studio.generate("a red ball and a blue cube", seconds=1, steps=1).num_frames == 8


def test_a_transformer_is_trained_on_with_it(learned: Path) -> None:
    config = tiny.transformer(learned, steps=2)
    (shape,) = config.objective.args  # type: ignore[attr-defined]
    shape = replace(shape, text_encoder=learned / "binding" / "model" / "text_encoder")
    sitting = Sitting(is_shown=False, start=learned / "transformer" / "model")
    run_stage(replace(config, objective=partial(TextToVideo, shape)), learned / "on", sitting)
    bound, exported = (
        load_part(learned / stage / "model" / "text_encoder", "text_encoder", torch.float32)
        for stage in ("binding", "on")
    )
    assert exported.config == bound.config
    for key, weight in exported.state_dict().items():
        torch.testing.assert_close(weight, bound.state_dict()[key], rtol=0, atol=0)


def test_more_heads_say_nothing_at_first() -> None:
    given = UMT5Encoder(
        UMT5EncoderConfig(vocab_size=50, d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2)
    )
    given.initialise(torch.Generator().manual_seed(0))
    wider = given.with_more_heads(3, torch.Generator().manual_seed(1))
    ids = torch.arange(24).reshape(2, 12)
    is_token = torch.ones_like(ids, dtype=torch.bool)
    torch.testing.assert_close(wider(ids, is_token), given(ids, is_token))
    with torch.no_grad():  # what they read is what stands beside
        for block in wider.encoder.block:
            block.layer[0].SelfAttention.o.weight[:, 16:].normal_(generator=torch.Generator().manual_seed(2))
    swapped = ids.clone()
    swapped[:, 5] = 40
    changed = (wider(swapped, is_token) - wider(ids, is_token)).norm(dim=-1)
    assert changed[:, 4].min() > 5 * changed[:, 10].max()
