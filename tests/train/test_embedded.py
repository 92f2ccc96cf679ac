"""The recipe of the embedded model keeps to its limits; its captions survive a mirror and the tokenizer."""

import itertools
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from stages import run

from khayal.checkpoint.folder import EMBEDDED, open_checkpoint
from khayal.checkpoint.tokenizer import Tokenizer
from khayal.errors import InputError
from khayal.model.chunk_autoencoder import ChunkAutoencoder
from khayal.model.text import UMT5Encoder
from khayal.model.transformer import SpacetimeTransformer
from khayal.train.loop import Sitting
from khayal.train.preparing import TokenizerConfig, make_tokenizer
from khayal.train.recipe import find_recipe

ROOT = Path(__file__).parents[2]


def recipe(name: str):
    return find_recipe(f"{ROOT / 'recipes' / 'embedded.py'}:{name}")


def test_the_checkpoint_fits_in_32_megabytes(tmp_path: Path) -> None:
    config = recipe("transformer")(tmp_path).objective.args[0]
    with torch.device("meta"):
        modules = {
            "transformer": SpacetimeTransformer(config.transformer),
            "text_encoder": UMT5Encoder(config.text),
            "autoencoder": ChunkAutoencoder(recipe("autoencoder")(tmp_path).objective.args[0].autoencoder),
        }
    count = {name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()}
    assert 2 * sum(count.values()) < 31_500_000
    assert 8e6 < count["transformer"] < 10e6
    assert count["text_encoder"] < 2e6
    assert config.transformer.in_channels == modules["autoencoder"].latent_channels
    multiple = modules["autoencoder"].spatial_ratio * config.transformer.patch_size[1]
    assert all(side % multiple == 0 for side in config.defaults.size)


def test_every_word_of_the_world_is_a_token(tmp_path: Path) -> None:
    pytest.importorskip("khayal.world")
    from khayal.world import words

    (tmp_path / "frames").mkdir()
    stage = recipe("tokenizer")(tmp_path)
    assert isinstance(stage, TokenizerConfig)
    make_tokenizer(stage, tmp_path / "tokenizer", Sitting(is_shown=False))
    tokenizer = Tokenizer(tmp_path / "tokenizer", length=64)
    assert tokenizer.num_ids <= stage.num_tokens
    for language in ("en", "ar"):
        plain = sorted(word for word in words(language) if word.replace("-", "").replace("'", "") == word)
        lengths = tokenizer.encode(plain).is_token.sum(1)
        assert (lengths == 2).all(), "the word and the end"
    spelled = tokenizer.encode(["a zebra", "A Red  ball"])
    assert int(spelled.is_token[0].sum()) > 4
    assert int(spelled.is_token[1].sum()) == 4


def test_spellings_of_an_arabic_word_are_one_word(tmp_path: Path) -> None:
    texts = ["تتدحرج كرة حمراء إلى اليمين", "a red ball"]
    make_tokenizer(TokenizerConfig(texts=lambda: texts), tmp_path / "tokenizer", Sitting(is_shown=False))
    tokenizer = Tokenizer(tmp_path / "tokenizer", length=32)
    plain, *others = tokenizer.encode(["كرة إلى", "كُرَةٌ إلى", "كره الي", "كـرة الى"]).token_ids
    assert all(torch.equal(plain, other) for other in others)
    assert tokenizer.words("كُرَةٌ, a ball!") == [("كُرَةٌ", ("▁كره",)), ("ball", ("▁ball",))]


def test_the_words_are_those_of_the_captions(tmp_path: Path) -> None:
    texts = ["A red ball.", "كرة حمراء"]
    make_tokenizer(TokenizerConfig(texts=lambda: texts), tmp_path / "tokenizer", Sitting(is_shown=False))
    words_of = recipe("words_of")
    assert words_of(tmp_path / "encode", tmp_path / "tokenizer") == ()
    tell(tmp_path / "encode", *texts)
    found = words_of(tmp_path / "encode", tmp_path / "tokenizer")
    assert found == ("▁ball", "▁red", "▁حمراء", "▁كره")


@pytest.mark.parametrize("stage", ["bound", "annealed"])
def test_a_model_knows_the_words_of_clips_of_moments_and_of_the_model_before(
    tmp_path: Path, stage: str
) -> None:
    texts = ["a red ball", "a cone"]
    make_tokenizer(TokenizerConfig(texts=lambda: texts), tmp_path / "tokenizer", Sitting(is_shown=False))
    tell(tmp_path / "encode", texts[0])
    tell(tmp_path / "columns", texts[1])
    known = recipe(stage)(tmp_path).objective.args[0].defaults.words
    assert known == ("▁ball", "▁cone", "▁red")
    (tmp_path / "binding").mkdir()
    (tmp_path / "binding" / "model").symlink_to(EMBEDDED)
    more = recipe(stage)(tmp_path).objective.args[0].defaults.words
    assert {*more} == {*known, *open_checkpoint(EMBEDDED).defaults.words}


def tell(folder: Path, *texts: str) -> None:
    """Captions of one clip, as shards hold them."""
    folder.mkdir()
    told = {str(number): text for number, text in enumerate(texts)}
    line = {"passages": [{"kind": "clip", "start": 0, "end": 4, "texts": told}]}
    (folder / "shard-000000.jsonl").write_text(json.dumps(line, ensure_ascii=False) + "\n")


def test_mirrored_captions_change_sides() -> None:
    mirrored = recipe("mirrored_text")
    for text, other in (
        ("Left of the cone, a ball rolls to the right.", "Right of the cone, a ball rolls to the left."),
        ("a blue box glides leftwards", "a blue box glides rightwards"),
        ("ينزلق مكعب أزرق نحو اليسار", "ينزلق مكعب أزرق نحو اليمين"),
        ("تتدحرج كرة حمراء لليسار", "تتدحرج كرة حمراء لليمين"),
    ):
        assert mirrored(text) == other
        assert mirrored(other) == text


def test_the_world_names_no_sides_but_left_and_right() -> None:
    from khayal.world import words

    sides = {
        "en": {"left", "leftwards", "right", "rightwards"},
        "ar": {"اليسار", "اليمين", "يسار", "يمين", "يسارًا", "يمينًا", "لليسار", "لليمين"},
    }
    for language, known in sides.items():
        parts = ("left", "right", "يسار", "يمين")
        assert {word for word in words(language) if any(part in word for part in parts)} == known
    assert not words("en") & {"clockwise", "anticlockwise", "counterclockwise", "east", "west"}


def test_the_script_is_sound() -> None:
    subprocess.run(["bash", "-n", ROOT / "runs" / "embedded.sh"], check=True)


def test_a_stage_that_needs_another_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Run the stage"):
        run("transformer", tmp_path)


def test_moments_show_other_clothes_each_time(gl: None) -> None:
    samples = recipe("redressed_moments")(2, 0)
    assert len(samples) == 8
    for sample in samples:
        assert sample.frames.shape == (4, 128, 128, 3)
        assert sample.focus is not None
        assert sample.focus.shape == (1, 8, 8)
        assert sample.focus.max() > 50, "somebody is there"
        told, other = sample.passages
        assert {name.split("/")[0] for name in told.texts} == {"en", "ar"}
        assert other.texts["en/detailed/0"] != told.texts["en/detailed/0"]
        assert "he camera " not in told.texts["en/detailed/0"], "a moment shows no camera move"
    assert len({sample.passages[0].texts["en/medium/0"] for sample in samples}) == 8
    again = list(itertools.islice(recipe("moments")(2, 0)(5), 3))
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(again, samples[5:], strict=True))


def test_a_step_of_bound_is_of_moments_and_clips(tmp_path: Path) -> None:
    config = recipe("bound")(tmp_path)
    micro = config.micro_batch_size
    assert config.batch_size * 0.5 % micro == 0, "no micro-batch is of both"
    assert config.batch_size % micro == 0
    assert config.objective.args[0].mixture.levels.shift_alone is not None
