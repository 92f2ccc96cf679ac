"""Tokens and prompt cleaning against transformers and diffusers."""

import json
from pathlib import Path

import pytest
import torch
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from transformers import AutoTokenizer

import checkpoints
from khayal.checkpoint.tokenizer import Tokenizer, clean
from khayal.errors import CheckpointError

PROMPTS = (
    "a red ball bounces on the grass",
    "",
    "  many \t spaces \n\n and\r\nlines\u00a0here ",
    "Tom &amp; Jerry &amp;lt;3 &quot;cheese&quot; &#28; &nbsp; end",
    "smile 😀 family 👩‍👩‍👧 flag 🇵🇸",
    "كرة حمراء تقفز على العشب الأخضر",
    "红色的球 ﬁne ligature ｆｕｌｌ width",
    "schÃ¶n “curly quotes” l’été",
    "end</s> of <pad> and <unk> tokens",
    "a very long prompt " * 300,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    checkpoints.make_tokenizer(path)
    return path


@pytest.mark.parametrize("prompt", PROMPTS, ids=range(len(PROMPTS)))
def test_clean_as_diffusers(prompt: str) -> None:
    assert clean(prompt) == prompt_clean(prompt)


@pytest.mark.parametrize("length", [512, 16])
@pytest.mark.parametrize("tokenizer_class", ["PreTrainedTokenizerFast", "T5Tokenizer"])
def test_tokens_as_transformers(folder: Path, tmp_path: Path, length: int, tokenizer_class: str) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"tokenizer_class": tokenizer_class, "extra_ids": 0}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    model = json.loads((folder / "tokenizer.json").read_text())
    if tokenizer_class == "T5Tokenizer":  # it builds the rest of the model itself, and drops NFKC
        model["normalizer"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(model))
    theirs = AutoTokenizer.from_pretrained(tmp_path)(
        [prompt_clean(prompt) for prompt in PROMPTS],
        padding="max_length",
        max_length=length,
        truncation=True,
        return_tensors="pt",
    )
    ours = Tokenizer(tmp_path, length=length).encode(PROMPTS)
    assert torch.equal(ours.token_ids, theirs.input_ids)
    assert torch.equal(ours.is_token, theirs.attention_mask.bool())


def test_dropped_tokens_are_counted(folder: Path) -> None:
    whole = Tokenizer(folder, length=5000).encode(PROMPTS)
    assert whole.num_dropped == (0,) * len(PROMPTS)
    cut = Tokenizer(folder, length=16).encode(PROMPTS)
    full_lengths = whole.is_token.sum(dim=1).tolist()
    assert cut.num_dropped == tuple(max(0, full - 16) for full in full_lengths)
    assert cut.num_dropped[-1] > 500


def test_padding_and_end_come_from_the_settings(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    settings = {"pad_token": {"content": "<unk>", "lstrip": False}, "eos_token": None}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = Tokenizer(tmp_path)
    assert (tokenizer.pad_id, tokenizer.end_id) == (2, 1)


def test_a_folder_with_only_a_sentencepiece_model_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"no tokenizer.json .*save_pretrained"):
        Tokenizer(tmp_path)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"tokenizer.json cannot be read"):
        Tokenizer(tmp_path)


def test_a_tokenizer_that_does_not_end_prompts_is_refused(folder: Path, tmp_path: Path) -> None:
    model = json.loads((folder / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps(model | {"post_processor": None}))
    with pytest.raises(CheckpointError, match="does not end a prompt with </s>"):
        Tokenizer(tmp_path)


def test_a_token_that_is_not_there_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    (tmp_path / "tokenizer_config.json").write_text('{"pad_token": "[PAD]"}')
    with pytest.raises(CheckpointError, match=r"has no token \[PAD\]"):
        Tokenizer(tmp_path)
