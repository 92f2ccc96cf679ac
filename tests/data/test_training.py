"""Training on packed files: our own model and a Wan checkpoint, resumed exactly, and what is refused."""

import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import stages
import tiny
import torch
from safetensors.torch import load_file

import khayal
from khayal.data.files import fingerprint
from khayal.data.pack import Report
from khayal.errors import CheckpointError, InputError
from khayal.train.config import KeepingConfig, TrainConfig
from khayal.train.finetune import fine_tuning
from khayal.train.log import read_log
from khayal.train.loop import Sitting, Trainer
from khayal.train.packed import PackedLatents, no_data, read_from
from khayal.train.parts import save_part
from khayal.train.recipe import call_recipe, find_recipe
from khayal.train.source import LatentBatch, Prepared, Reading, Source

RECIPES = Path(__file__).parents[2] / "recipes"
PackWith = Callable[..., Report]
QUIET = Sitting(is_shown=False)


def reading(start: int = 0, rows: range = range(2), seed: int = 0, batch_size: int = 2) -> Reading:
    return Reading(seed=seed, batch_size=batch_size, rows=rows, start=start)


def captions(batch: LatentBatch) -> list[str]:
    return [next(iter(passages[0].texts.values())) for passages in batch.passages]


def test_a_batch_is_of_one_bucket_and_depends_on_its_step_alone(packed_few: Path) -> None:
    source = PackedLatents(packed_few)
    assert isinstance(source, Source)
    first = list(itertools.islice(source.batches(reading()), 12))
    assert {tuple(batch.latents.shape[1:]) for batch in first} == {
        (12, 4, 4, 6),
        (12, 3, 6, 4),
        (12, 1, 4, 6),
    }
    later = next(source.batches(reading(start=9)))
    assert torch.equal(later.latents, first[9].latents)
    half = next(PackedLatents(packed_few).batches(reading(start=9, rows=range(1, 2))))
    assert torch.equal(half.latents, later.latents[1:])
    assert captions(half) == captions(later)[1:]
    other = list(itertools.islice(source.batches(reading(seed=1)), 12))
    assert [captions(a) for a in first] != [captions(b) for b in other]
    for batch in first:
        assert batch.latents.shape[2] == len(batch.frames_per_column)
        assert (batch.stills is None) == (batch.latents.shape[2] == 1)


def test_everything_comes_in_an_epoch(packed_few: Path) -> None:
    source = PackedLatents(packed_few)
    assert len(source) == 6
    steps = 2 + 1 + 1  # four wide windows in batches of two, the tall one, the still
    for epoch in range(2):
        batches = itertools.islice(source.batches(reading(start=epoch * steps)), steps)
        told = [caption for batch in batches for caption in captions(batch)]
        wide = [f"wide number {number}" for number in (0, 1, 2, 2)]
        assert sorted(told) == sorted([*wide, *["a tall one", "a still"] * 2])


def test_threads_read_at_once(packed_few: Path) -> None:
    source = PackedLatents(packed_few)
    prepared = Prepared(source.batches(reading()))
    pairs = [(next(prepared), batch) for batch in itertools.islice(source.batches(reading()), 9)]
    prepared.close()
    assert all(torch.equal(one.latents, other.latents) for one, other in pairs)


def finetune(model: Path, shards: Path, *, steps: int = 4, rate: float = 1e-3) -> TrainConfig:
    """The recipe, at a rate at which a few steps show."""
    given = {"model": str(model), "batch": "2", "steps": str(steps), "rate": str(rate)}
    stage = call_recipe(find_recipe(f"{RECIPES / 'finetune.py'}:transformer"), Path("run"), given)
    assert isinstance(stage, TrainConfig)
    keeping = KeepingConfig(full_steps=2, tensorboard=False)
    stage = replace(stage, keeping=keeping, optimiser=replace(stage.optimiser, warmup_steps=1))
    read = read_from(stage, shards)
    assert isinstance(read, TrainConfig)
    return read


def test_a_wan_checkpoint_is_fine_tuned_and_resumed_exactly(
    packed_few: Path, tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    model = tiny_checkpoint("ti2v")
    config = finetune(model, packed_few)
    outcome = Trainer(config, tmp_path / "unbroken", QUIET).run()
    halves = tmp_path / "halves"
    assert Trainer(config, halves, replace(QUIET, minutes=1e-9)).run().step == 1
    assert Trainer(config, halves, replace(QUIET, resume=True)).run().is_finished
    losses = [[line["loss"] for line in read_log(tmp_path / name)] for name in ("unbroken", "halves")]
    assert losses[0] == losses[1]
    name = "transformer/diffusion_pytorch_model.safetensors"
    before, after = load_file(model / name), load_file(outcome.model / name)
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[key].bfloat16(), after[key].bfloat16()) for key in before)
    for part in ("vae", "text_encoder"):
        (weights,) = (model / part).glob("*.safetensors")
        assert (outcome.model / part / weights.name).read_bytes() == weights.read_bytes()
    studio = khayal.open(outcome.model, device="cpu")
    assert studio.checkpoint.defaults == khayal.open(model, device="cpu").checkpoint.defaults


def test_the_first_loss_is_that_of_the_checkpoint(
    packed_few: Path, tiny_checkpoint: Callable[[str], Path]
) -> None:
    objective = fine_tuning(tiny_checkpoint("ti2v"))
    batch = next(PackedLatents(packed_few).batches(reading()))
    assert batch.texts is not None
    text = objective.encode_captions(["a still", ""], batch)
    assert text.shape == (2, 512, 32)
    assert torch.equal(text[0, : len(batch.texts.read("a still"))], batch.texts.read("a still"))
    assert not text[1, 1:].any()
    assert objective.config.mixture.levels.shift == 5.0
    assert {p.dtype for p in objective.parameters()} == {torch.float32}
    assert all(parameter.requires_grad for parameter in objective.parameters())


def test_a_model_with_one_level_learns_whole_samples(tiny_checkpoint: Callable[[str], Path]) -> None:
    assert set(fine_tuning(tiny_checkpoint("wan2.1")).config.mixture.weights) == {"shared", "images"}
    with pytest.raises(CheckpointError, match="two experts"):
        fine_tuning(tiny_checkpoint("a14b"))


def test_what_does_not_belong_together_is_refused(
    packed_few: Path, tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="Add --data"):
        no_data()
    with pytest.raises(InputError, match="khayal data pack"):
        PackedLatents(tmp_path)
    with pytest.raises(InputError, match="reads no packed data"):
        read_from(tiny.tokenizer(tmp_path), packed_few)
    with pytest.raises(InputError, match="do not belong to this model"):
        Trainer(finetune(tiny_checkpoint("wan2.1"), packed_few), tmp_path / "run", QUIET).run()
    without = tmp_path / "without"
    shutil.copytree(packed_few, without, ignore=shutil.ignore_patterns("text"))
    with pytest.raises(InputError, match="not encoded for this model"):
        Trainer(finetune(tiny_checkpoint("ti2v"), without), tmp_path / "run2", QUIET).run()


@pytest.fixture(scope="module")
def own_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first stages of the tiny recipe, without training, and a model of fresh weights from them."""
    run = tmp_path_factory.mktemp("own") / "run"
    stages.run("tokenizer", run)
    save_part(run / "autoencoder" / "model", tiny.autoencoder(run).objective().autoencoder)
    objective = tiny.transformer(run).objective()
    weights = {key: parameter.detach() for key, parameter in objective.named_parameters()}
    objective.export(run / "model", weights, iter(()))
    return run


def test_our_own_model_trains_on_user_files(
    few: Path, own_run: Path, pack_with: PackWith, tmp_path: Path
) -> None:
    shards = tmp_path / "shards"
    report = pack_with(few, shards, model=own_run / "model", seconds=1.0, pixels=32 * 48, has_text=False)
    assert report.clips == {(48, 32, 1): 1, (48, 32, 2): 1}  # at 8 fps the others are too short
    assert report.reasons == {"it is too short": 3}
    stage = read_from(tiny.transformer(own_run, steps=4, batch=2), shards)
    assert isinstance(stage, TrainConfig)
    objective = partial(_without_previews, stage.objective)
    outcome = Trainer(replace(stage, objective=objective), tmp_path / "run", QUIET).run()
    assert outcome.is_finished
    losses = [line["loss"] for line in read_log(tmp_path / "run")]
    assert len(losses) == 4
    assert all(0.2 < loss < 5 for loss in losses)
    batch = next(PackedLatents(shards).batches(reading(start=1)))
    assert batch.texts is not None
    assert batch.texts.encoder == ""


def _without_previews(make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    objective = make()
    objective.config = replace(objective.config, prompts=())  # type: ignore[arg-type]
    return objective


def test_a_fingerprint_is_of_what_encodes(tmp_path: Path) -> None:
    shape = tiny.autoencoder(tmp_path).objective().autoencoder
    save_part(tmp_path / "whole", shape)
    first = fingerprint(tmp_path / "whole")
    save_part(tmp_path / "rounded", shape.to(torch.bfloat16))
    assert fingerprint(tmp_path / "rounded") == first
    with torch.no_grad():
        for parameter in shape.decoder.parameters():
            parameter.add_(1)
    save_part(tmp_path / "learned on", shape)
    assert fingerprint(tmp_path / "learned on") == first
    with torch.no_grad():
        next(shape.encoder.parameters()).mul_(2)
    save_part(tmp_path / "other", shape)
    assert fingerprint(tmp_path / "other") != first
