"""The optimiser and its schedule, averages, precision, logs, and what stops a run."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import click.testing
import pytest
import tiny
import torch
from stages import HERE, run
from torch import nn

import khayal
from khayal.checkpoint.folder import open_checkpoint
from khayal.cli.train import train
from khayal.errors import Cancelled, InputError, KhayalError, MissingExtraError
from khayal.train import log, loop, text_to_video
from khayal.train.chance import Chance
from khayal.train.config import OptimiserConfig, TrainConfig
from khayal.train.log import read_log
from khayal.train.loop import Sitting, Trainer
from khayal.train.loss import NUM_ANCHORS, Mixture
from khayal.train.optimiser import Muon, Optimiser, share_of_rate
from khayal.train.preparing import TokenizerConfig
from khayal.train.recipe import call_recipe, find_recipe
from khayal.train.shards import LatentShards
from khayal.train.source import Reading
from khayal.train.text_to_video import TextToVideo

QUIET = Sitting(is_shown=False)
NewRun = Callable[..., Path]


def test_the_rate_warms_up_stays_and_decays() -> None:
    config = OptimiserConfig(warmup_steps=4, decay_share=0.2)
    shares = [share_of_rate(config, step / 20, step) for step in range(20)]
    assert shares[:4] == [0.25, 0.5, 0.75, 1.0]
    assert shares[4:16] == [1.0] * 12
    assert shares[16:] == pytest.approx([1.0, 0.75, 0.5, 0.25])
    assert share_of_rate(config, 0.5, 0) == 0.25  # a fresh optimiser in the middle of a run


def test_a_run_ends_by_steps_or_by_minutes() -> None:
    config = TrainConfig(objective=lambda: None, source=lambda: None, batch_size=1, num_steps=10, minutes=2.0)  # type: ignore[arg-type,return-value]
    assert config.progress(5, 0.0) == 0.5
    assert config.progress(5, 90.0) == 0.75
    assert config.progress(50, 0.0) == 1.0
    with pytest.raises(InputError, match="no end"):
        replace(config, num_steps=None, minutes=None)
    with pytest.raises(InputError, match="Micro-batches of 0"):
        replace(config, micro_batch_size=0)
    with pytest.raises(InputError, match="decays"):
        replace(config, averages=(1.0,))


def test_muon_moves_matrices_as_far_as_adamw_moves_the_rest() -> None:
    torch.manual_seed(0)
    weights = {"a.weight": nn.Parameter(torch.randn(16, 32)), "a.bias": nn.Parameter(torch.zeros(16))}
    config = OptimiserConfig(learning_rate=0.01, matrix_learning_rate=0.01, weight_decay=0.0)
    before = {key: weight.detach().clone() for key, weight in weights.items()}
    optimiser = Optimiser(config, weights, lambda key: True)
    for weight in weights.values():
        weight.grad = torch.randn_like(weight)
    norm = optimiser.step(1.0)
    assert norm > 5  # before it was cut to max_norm
    moved = {key: (weight - before[key]).detach() for key, weight in weights.items()}
    assert 0.001 < moved["a.weight"].square().mean().sqrt() < 0.01
    assert moved["a.bias"].abs().mean() == pytest.approx(0.01, rel=0.01)
    assert set(optimiser.state()["a.weight"]) == {"momentum_buffer"}
    # all directions are moved alike
    values = torch.linalg.svdvals(moved["a.weight"])
    assert values.max() / values.min() < 3


def test_muon_is_that_of_torch() -> None:
    shapes = ((64, 64), (64, 64), (128, 64), (48, 96))
    generator = torch.Generator().manual_seed(0)
    ours = [nn.Parameter(0.05 * torch.randn(shape, generator=generator)) for shape in shapes]
    theirs = [nn.Parameter(weight.detach().clone()) for weight in ours]
    both = (
        Muon(ours, lr=8e-3, momentum=0.95, weight_decay=0.01),
        torch.optim.Muon(theirs, lr=8e-3, momentum=0.95, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(5):
        for mine, its in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            its.grad = mine.grad.clone()
        for optimiser in both:
            optimiser.step()
    for mine, its in zip(ours, theirs, strict=True):
        assert (mine - its).norm() < 0.01 * its.norm()  # both compute in bfloat16, in another order


def test_which_weights_are_muons(new_run: NewRun) -> None:
    objective = tiny.transformer(new_run()).objective()
    chosen = {key for key, p in objective.named_parameters() if p.ndim == 2 and objective.is_matrix(key)}
    ends = {key.split("0.", 1)[1] for key in chosen if ".0." in key}
    assert "transformer.blocks.1.attn2.to_out.0.weight" in chosen
    assert "text_encoder.encoder.block.0.layer.1.DenseReluDense.wi_0.weight" in chosen
    assert not any("bias" in end or "norm" in end or "embed" in end for end in ends)
    assert not any("proj_out" in key or "shared" in key or "condition" in key for key in chosen)


def test_bf16_computes_on_rounded_copies_of_float32_weights(new_run: NewRun) -> None:
    trainer = Trainer(tiny.transformer(new_run()), new_run("other") / "transformer", QUIET)
    computing = dict(trainer.objective.named_parameters())
    masters = trainer.weights.masters
    assert {master.dtype for master in masters.values()} == {torch.float32}
    key = "transformer.blocks.0.ffn.net.2.weight"
    assert computing[key].dtype == torch.bfloat16
    assert torch.equal(computing[key], masters[key].bfloat16())
    for key in ("transformer.blocks.0.scale_shift_table", "text_encoder.shared.weight"):
        assert computing[key] is masters[key]


@pytest.mark.parametrize(
    ("precision", "is_native", "expected"),
    [
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
        ("bfloat16", False, torch.bfloat16),
        ("float32", True, torch.float32),
    ],
)
def test_bfloat16_is_computed_in_where_there_is_hardware_for_it(
    monkeypatch: pytest.MonkeyPatch, precision: str, is_native: bool, expected: torch.dtype
) -> None:
    monkeypatch.setattr(loop, "has_native_bf16", lambda device: is_native)
    assert loop.computing_dtype(precision, torch.device("cpu")) == expected


def test_losses_of_both_precisions_agree(new_run: NewRun) -> None:
    found = {}
    for precision in ("float32", "bfloat16"):
        folder = new_run(precision)
        run("transformer", folder, steps=4, precision=precision)
        found[precision] = torch.tensor([line["loss"] for line in read_log(folder / "transformer")])
    torch.testing.assert_close(found["bfloat16"], found["float32"], rtol=0.02, atol=0)
    assert not torch.equal(found["bfloat16"], found["float32"])


@pytest.mark.parametrize("matrices", ["muon", "adamw"])
def test_training_learns(new_run: NewRun, matrices: str) -> None:
    folder = new_run()
    run("transformer", folder, steps=50, batch=8, matrices=matrices, every=1000)
    losses = [line["loss"] for line in read_log(folder / "transformer")]
    assert sum(losses[-10:]) < 0.85 * sum(losses[:10])


def test_averages_follow_the_weights(new_run: NewRun) -> None:
    trainer = Trainer(tiny.transformer(new_run(), steps=3), new_run("other") / "transformer", QUIET)
    key = "transformer.proj_out.weight"
    first = trainer.averages.state(0.99)[key].clone()
    trainer.run()
    average, now = trainer.averages.state(0.99)[key], trainer.weights.state()[key]
    assert 0 < (average - first).norm() <= (now - first).norm()


def test_what_is_exported_can_be_a_part_of_the_way(new_run: NewRun) -> None:
    first, keys = new_run("first"), ["transformer.proj_out.weight", "text_encoder.shared.weight"]
    run("transformer", first, steps=3)
    trained = {}
    for start in (first / "transformer" / "model", first / "transformer" / "small"):
        for share in (1.0, 0.25):
            folder = new_run(f"{start.name}-{share}")
            config = replace(tiny.transformer(folder, steps=6), interpolation=share, averages=(0.0,))
            config = replace(config, optimiser=replace(config.optimiser, learning_rate=0.03))
            trainer = Trainer(config, folder / "transformer", replace(QUIET, start=start))
            before = {key: value.clone() for key, value in trainer.averages.state(0.0).items()}
            trainer.run()
            trained[share] = trainer.objective.exported(folder / "transformer" / "model")
        for key in keys:
            moved = trained[1.0][key] - before[key]
            assert moved.abs().max() > 0.01, "two parts of bfloat16 can be told apart"
            torch.testing.assert_close(trained[0.25][key], before[key] + 0.25 * moved, atol=1e-3, rtol=1e-2)
    with pytest.raises(InputError, match="nothing to interpolate"):
        Trainer(config, new_run("without") / "transformer", QUIET)
    with pytest.raises(InputError, match="interpolation"):
        replace(config, interpolation=1.5)


def test_recomputing_changes_nothing(new_run: NewRun) -> None:
    losses = []
    for name in ("kept", "recomputed"):
        folder = new_run(name)
        config = replace(tiny.transformer(folder, steps=3), is_recomputed=name == "recomputed")
        Trainer(config, folder / "transformer", QUIET).run()
        losses.append([line["loss"] for line in read_log(folder / "transformer")])
    assert losses[0] == losses[1]


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bfloat16", 2e-2)])
def test_micro_batches_train_as_whole_ones(new_run: NewRun, precision: str, tolerance: float) -> None:
    logs = []
    for size in (None, 2):
        folder = new_run(f"by-{size}")
        config = tiny.transformer(folder, steps=6, precision=precision, matrices="adamw")
        Trainer(replace(config, micro_batch_size=size), folder / "transformer", QUIET).run()
        log = read_log(folder / "transformer")
        logs.append(torch.tensor([[line["loss"], line["gradient_norm"]] for line in log]))
    torch.testing.assert_close(logs[1], logs[0], rtol=tolerance, atol=0)
    assert not torch.equal(logs[1], logs[0]), "sums come in another order"


def test_of_a_scene_that_goes_on_a_window_is_seen_and_something_of_it_is_known(prepared: Path) -> None:
    (shape,) = tiny.transformer(prepared).objective.args  # type: ignore[attr-defined]
    clips = next(LatentShards(prepared / "encode").batches(Reading(seed=0, batch_size=4, rows=range(4))))
    scenes = replace(clips, latents=clips.latents.repeat(1, 1, 3, 1, 1))
    some, none = {"shared": 1.0, "prefix": 1.0}, {"shared": 1.0}
    with_anchors = NUM_ANCHORS + 2
    for batch, window, weights, sizes in (  # clips have four columns, scenes twelve
        (clips, None, some, {4}),
        (clips, 4, some, {4}),
        (clips, 2, some, {2, with_anchors}),
        (scenes, 2, some, {2, with_anchors}),
        (scenes, 2, none, {with_anchors}),
    ):
        mixture = Mixture(weights=weights)
        # scenes are not cut into short pieces either, of which nothing might be known
        short = 1.0 if window == 2 else 0.0
        objective = TextToVideo(replace(shape, window_columns=window, mixture=mixture, short_share=short))
        seen: list[int] = []
        objective.transformer.register_forward_pre_hook(
            lambda _, given, seen=seen: seen.append(given[0].shape[2])
        )
        for step in range(8):
            chance = Chance(seed=0, step=step, batch_size=4, rows=range(4), progress=0.5)
            score = objective(objective.to_device(batch, torch.device("cpu")), chance)
            assert seen[-1] != 2 or score.count <= 4, "of each clip one of two columns is known"
        assert set(seen) == sizes
    with pytest.raises(InputError, match="A window of 1"):
        replace(shape, window_columns=1)


def test_the_exported_model_is_a_checkpoint(new_run: NewRun) -> None:
    folder = new_run()
    run("transformer", folder, steps=2)
    model = folder / "transformer" / "model"
    checkpoint = open_checkpoint(model)
    assert checkpoint.expand_timesteps
    assert checkpoint.defaults.text_length == 24
    clip = khayal.open(model, device="cpu").generate("a red square", seed=1)
    assert clip.frames.shape == (16, 32, 32, 3)
    preview = folder / "transformer" / "previews" / "step-00000002-0.mp4"
    assert khayal.Clip.open(preview).num_frames == 16


def test_previews_without_pyav_are_contact_sheets(new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_to_video, "find_spec", lambda name: None)
    folder = new_run()
    run("transformer", folder, steps=1)
    assert (folder / "transformer" / "previews" / "step-00000001-0.png").read_bytes().startswith(b"\x89PNG")


def test_a_loss_that_is_not_finite_stops_the_run(new_run: NewRun) -> None:
    folder = new_run()
    trainer = Trainer(tiny.transformer(folder, steps=9), folder / "transformer", QUIET)
    step = trainer._step

    def poisoned(batches):
        if trainer.position.step == 4:
            batches[0].latents[0, 0, 0, 0, 0] = float("nan")
        return step(batches)

    trainer._step = poisoned  # type: ignore[method-assign]
    with pytest.raises(KhayalError, match="step 4: loss, gradient_norm is not finite"):
        trainer.run()
    saved = torch.load(folder / "transformer" / "not-finite-step-4-part-0.pt", weights_only=False)
    assert saved["batches"][0]["latents"].isnan().sum() == 1
    assert [line["step"] for line in read_log(folder / "transformer")] == [0, 1, 2, 3]
    outcome = run("transformer", folder, steps=9, resume=True)  # from step 3, with good data
    assert outcome.is_finished


def test_ctrl_c_saves_and_stops(new_run: NewRun) -> None:
    before = signal.getsignal(signal.SIGINT)
    folder = new_run()
    trainer = Trainer(tiny.transformer(folder, steps=9, every=100), folder / "transformer", QUIET)
    step = trainer._step

    def interrupted(batch):
        if trainer.position.step == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return step(batch)

    trainer._step = interrupted  # type: ignore[method-assign]
    with pytest.raises(Cancelled):
        trainer.run()
    assert signal.getsignal(signal.SIGINT) is before
    assert [path.name for path in (folder / "transformer" / "checkpoints").iterdir()] == ["step-00000005"]
    assert run("transformer", folder, steps=9, resume=True).is_finished


def test_tensorboard_gets_what_the_log_gets(new_run: NewRun) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = new_run()
    run("transformer", folder, steps=3, tensorboard=True)
    events = event_accumulator.EventAccumulator(str(folder / "transformer" / "tensorboard"))
    events.Reload()
    told = [event.value for event in events.Scalars("loss")]
    assert told == pytest.approx([line["loss"] for line in read_log(folder / "transformer")])


def test_without_its_library_tensorboard_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="khayal\\[train\\]"):
        log.Journal(tmp_path, start=0, tensorboard=True)


def test_the_console_gets_a_line_now_and_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "SECONDS_BETWEEN_LINES", -1.0)
    with log.Journal(tmp_path, start=0, tensorboard=False) as journal:
        journal.step(3, {"loss": 1.5, "samples_per_second": 20.0, "seconds": 60.0}, 0.25)
    assert capsys.readouterr().err == "step 3  loss 1.5000  20.0/s  25.0%, about 3 min left\n"


def test_recipes_are_found_by_module_and_by_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert find_recipe(f"{HERE / 'tiny.py'}:encode")(tmp_path).name == "shapes"
    (tmp_path / "mine.py").write_text(
        "from khayal.train.preparing import TokenizerConfig\n"
        "def stage(run, steps=3, is_fast=False):\n"
        "    return TokenizerConfig(texts=list, num_tokens=steps + 100 * is_fast)\n"
        "def wrong(run):\n"
        "    return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    found = find_recipe("mine:stage")
    stage = call_recipe(found, tmp_path, {"steps": "7", "is_fast": "true"})
    assert isinstance(stage, TokenizerConfig)
    assert stage.num_tokens == 107
    with pytest.raises(InputError, match="returned a int"):
        call_recipe(find_recipe("mine:wrong"), tmp_path, {})
    wrong = (({"steps": "x"}, "type int"), ({"size": "1"}, "no keyword"), ({"is_fast": "1"}, "true or false"))
    for given, message in wrong:
        with pytest.raises(InputError, match=message):
            call_recipe(found, tmp_path, given)
    for name in ("mine", "mine:other", "nowhere:stage", "nowhere.py:stage"):
        with pytest.raises(InputError):
            find_recipe(name)


def test_the_command(new_run: NewRun) -> None:
    folder = new_run()
    command = partial(click.testing.CliRunner().invoke, train)
    words = [f"{HERE / 'tiny.py'}:transformer", "--out", str(folder), "--device", "cpu", "--json"]
    done = command([*words, "--steps", "2"])
    assert json.loads(done.stdout) == {
        "path": str(folder / "transformer" / "model"),
        "step": 2,
        "is_finished": True,
    }
    assert isinstance(command([*words, "--minutes", "0"]).exception, InputError)
    assert isinstance(command([*words, "--set", "steps"]).exception, InputError)
