"""A text encoder learns to read from the truth of the world, and stays as it is when pictures are learned."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from stages import copy_prepared, run
from told import NAMES, ToldOfTwo, labels_of
from torch import nn

from khayal.checkpoint.tokenizer import Tokenizer
from khayal.errors import InputError
from khayal.model.text import UMT5EncoderConfig
from khayal.train import caption_tokens
from khayal.train.caption_tokens import CaptionTokens
from khayal.train.comprehension import CaptionBatch, Comprehension, ComprehensionConfig, LabelledCaptions
from khayal.train.config import KeepingConfig, OptimiserConfig, TrainConfig
from khayal.train.loop import Sitting
from khayal.train.parts import load_part, save_part
from khayal.train.preparing import TokenizerConfig, make_tokenizer
from khayal.train.probing import chosen, joined
from khayal.train.recipe import run_stage
from khayal.train.source import Epochs, Reading
from khayal.train.text_to_video import TextToVideo

TEXT = UMT5EncoderConfig(vocab_size=100, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
TOLD = {
    ("ball", "red"): ("a red ball rolls", "there rolls a ball that is red"),
    ("ball", "blue"): ("a blue ball rolls", "there rolls a ball that is blue"),
    ("cube", "red"): ("a red cube rolls", "there rolls a cube that is red"),
    ("cube", "blue"): ("a blue cube rolls", "there rolls a cube that is blue"),
}


class Told:
    """Four scenes, two wordings of each."""

    def __len__(self) -> int:
        return len(TOLD)

    def batches(self, reading: Reading):
        labels = joined([labels_of(kind, colour) for kind, colour in TOLD])
        order = Epochs(len(self), reading.seed)
        step = reading.start
        while True:
            clips = order.batch(step, reading.batch_size, reading.rows)
            dice = np.random.default_rng([reading.seed, step])
            captions = [list(TOLD.values())[clip][int(dice.integers(2))] for clip in clips]
            yield CaptionBatch(captions=tuple(captions), labels=chosen(labels, torch.tensor(clips)))
            step += 1


def stage(folder: Path, steps: int) -> TrainConfig:
    texts = [text for pair in TOLD.values() for text in pair]
    make_tokenizer(
        TokenizerConfig(texts=lambda: texts, num_tokens=100), folder / "tokenizer", Sitting(is_shown=False)
    )
    shape = ComprehensionConfig(text=TEXT, tokenizer=folder / "tokenizer", names=NAMES, text_length=24)
    return TrainConfig(
        objective=partial(Comprehension, shape),
        source=Told,
        batch_size=16,
        num_steps=steps,
        optimiser=OptimiserConfig(warmup_steps=2, learning_rate=2e-2, matrix_learning_rate=2e-2),
        keeping=KeepingConfig(tensorboard=False),
        averages=(0.9,),
    )


def test_it_learns_what_captions_say(tmp_path: Path) -> None:
    config = stage(tmp_path, 60)
    run_stage(config, tmp_path / "comprehension", Sitting(is_shown=False))
    lines = (tmp_path / "comprehension" / "log.jsonl").read_text().splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    assert last["loss"] < 0.2 * first["loss"]
    assert last["kind_right"] > 0.85  # some words are replaced by others
    encoder = load_part(tmp_path / "comprehension" / "model", "text_encoder", torch.float32)
    assert encoder.config == TEXT


def test_it_learns_whose_kind_is_whose(tmp_path: Path) -> None:
    config = replace(stage(tmp_path, 150), source=ToldOfTwo)
    run_stage(config, tmp_path / "comprehension", Sitting(is_shown=False))
    last = json.loads((tmp_path / "comprehension" / "log.jsonl").read_text().splitlines()[-1])
    # Who knows the words and not their order guesses half of it.
    assert last["kind_among_others_right"] > 0.85
    learned = tmp_path / "comprehension" / "model"
    encoder = load_part(learned, "text_encoder", torch.float32)
    tokens = CaptionTokens(Tokenizer(tmp_path / "tokenizer", length=24))
    one, other = encoder(*tokens.of(["a red ball and a blue cube rolls", "a red cube and a blue ball rolls"]))
    nearest = torch.cdist(one, other).amin(1)  # a cross-attention sees the tokens, and not where they stand
    assert nearest.max() > 0.2 * one.norm(dim=-1).mean()

    (shape,) = config.objective.args  # type: ignore[attr-defined]
    unordered = Comprehension(shape, seed=3).text_encoder
    for name, parameter in unordered.named_parameters():
        if "relative_attention_bias" in name:
            nn.init.zeros_(parameter)  # the order of the words is nothing to it
    bag = tmp_path / "bag"
    save_part(bag, unordered)
    shares = {}
    for name, folder in (("of-learned", learned), ("of-bag", bag)):
        reads = replace(
            config, objective=partial(Comprehension, replace(shape, text_encoder=folder)), num_steps=40
        )
        run_stage(reads, tmp_path / name, Sitting(is_shown=False))
        lines = (tmp_path / name / "log.jsonl").read_text().splitlines()[-10:]
        shares[name] = np.mean([json.loads(line)["kind_among_others_right"] for line in lines])
        kept = load_part(tmp_path / name / "model", "text_encoder", torch.float32).state_dict()
        for key, weight in load_part(folder, "text_encoder", torch.float32).state_dict().items():
            torch.testing.assert_close(kept[key], weight, rtol=0, atol=0)
    with pytest.raises(InputError, match="cannot begin"):
        reads.objective().exported(learned)
    assert shares["of-learned"] > 0.8 > 0.65 > shares["of-bag"]


def test_the_encoder_stays_as_it_is_where_it_has_learned(prepared: Path, tmp_path: Path) -> None:
    folder = copy_prepared(prepared, tmp_path)
    outcome = run("transformer", folder, steps=3)
    given = outcome.model / "text_encoder"
    before = {
        key: w.clone() for key, w in load_part(given, "text_encoder", torch.float32).state_dict().items()
    }
    run("transformer_that_reads", folder, steps=2)
    run("transformer_that_reads", folder, steps=3, resume=True)  # what does not learn has no momentum
    after = load_part(
        folder / "transformer_that_reads" / "model" / "text_encoder", "text_encoder", torch.float32
    )
    for key, weight in after.state_dict().items():
        torch.testing.assert_close(weight, before[key], rtol=0, atol=0)
    objective = TextToVideo(tiny.transformer_that_reads(folder).objective.args[0])
    exported = objective.exported(outcome.model)
    torch.testing.assert_close(exported["text_encoder.shared.weight"], before["shared.weight"])


def test_clips_without_truth_are_refused(prepared: Path) -> None:
    with pytest.raises(InputError, match="no truth stands beside them"):
        LabelledCaptions([prepared / "encode"], tell=lambda told: None)


def test_captions_are_padded_to_the_longest(tmp_path: Path) -> None:
    stage(tmp_path, 1)
    tokens = CaptionTokens(Tokenizer(tmp_path / "tokenizer", length=24))
    ids, is_token = tokens.of(["a red ball rolls", ""])
    assert ids.shape == (2, 5)
    assert is_token.sum(1).tolist() == [5, 1]


def test_only_so_many_captions_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage(tmp_path, 1)
    monkeypatch.setattr(caption_tokens, "MOST_REMEMBERED", 2)
    tokens = CaptionTokens(Tokenizer(tmp_path / "tokenizer", length=24))
    first, _ = tokens.of(["a red ball rolls", "a blue cube", "snow"])
    again, _ = tokens.of(["a red ball rolls", "a blue cube"])
    assert first[:2, : again.shape[1]].equal(again)
    assert len(tokens._numbers) == 2, "what came before is forgotten, what is asked for now is not"
