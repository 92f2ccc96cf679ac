"""A run that was stopped, in any way, goes on as if it had not been."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from safetensors import safe_open
from stages import run

from khayal.errors import CheckpointError, InputError, KhayalError
from khayal.parallel import Processes
from khayal.train import state
from khayal.train.log import read_log
from khayal.train.loop import Sitting, Trainer
from khayal.train.parts import load_part

HERE = Path(__file__).parent
STEPS = 9


def losses(folder: Path) -> list[float]:
    log = read_log(folder / "transformer")
    assert [line["step"] for line in log] == list(range(len(log)))
    return [line["loss"] for line in log]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    newest = state.full_checkpoints(folder / "transformer" / "checkpoints")[-1]
    return state.load_full(newest, Processes())[1]["weights"]


@pytest.fixture(scope="module")
def unbroken(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run from beginning to end, to compare with."""
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    shutil.copytree(prepared, folder)
    run("transformer", folder, steps=STEPS)
    return folder


def test_resumed_losses_are_the_same_bit_for_bit(unbroken: Path, new_run: Callable[[], Path]) -> None:
    folder = new_run()
    outcome = run("transformer", folder, steps=STEPS, minutes=1e-6)  # a slice of one step
    assert (outcome.step, outcome.is_finished) == (1, False)
    outcome = run("transformer", folder, steps=STEPS, resume=True)
    assert (outcome.step, outcome.is_finished) == (STEPS, True)
    assert losses(folder) == losses(unbroken)
    for key, value in weights(folder).items():
        assert torch.equal(value, weights(unbroken)[key]), key


def test_a_killed_run_loses_one_interval(unbroken: Path, new_run: Callable[[], Path]) -> None:
    folder, killed_at = new_run(), 5
    script = f"""
import os, signal
from khayal.train import loop
advance = loop.Trainer._advance
def advance_or_die(self, seconds):
    if self.position.step == {killed_at}:
        os.kill(os.getpid(), signal.SIGKILL)
    return advance(self, seconds)
loop.Trainer._advance = advance_or_die
from khayal.cli.train import train
train(["{HERE / "tiny.py"}:transformer", "--out", "{folder}", "--set", "steps={STEPS}", "--device", "cpu"])
"""
    environment = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    died = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    found = state.full_checkpoints(folder / "transformer" / "checkpoints")
    assert [path.name for path in found] == ["step-00000003"]
    run("transformer", folder, steps=STEPS, resume=True)
    assert losses(folder) == losses(unbroken)


def test_the_last_few_checkpoints_are_kept(unbroken: Path) -> None:
    kept = {path.name for path in (unbroken / "transformer" / "checkpoints").iterdir()}
    assert kept == {"step-00000008", "step-00000009", state.BEFORE_DECAY}


def test_a_run_made_longer_goes_on_from_before_its_decay(unbroken: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(unbroken, folder)
    outcome = run("transformer", folder, steps=12, resume=True)
    assert outcome.step == 12
    rates = [line["rate"] for line in read_log(folder / "transformer")]
    assert rates[2:10] == [1.0] * 8
    assert 0 < rates[11] < rates[10] < 1


def test_a_finished_run_stays_as_it_is(unbroken: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(unbroken, folder)
    outcome = run("transformer", folder, steps=STEPS, resume=True)
    assert (outcome.step, outcome.is_finished) == (STEPS, True)
    assert losses(folder) == losses(unbroken)


def test_a_small_checkpoint_starts_a_warmed_up_run(unbroken: Path, new_run: Callable[[], Path]) -> None:
    folder = new_run()
    (folder / "transformer").mkdir()
    shutil.copytree(unbroken / "transformer" / "small", folder / "transformer" / "small")
    for path in (folder / "transformer" / "small").iterdir():
        assert path.stat().st_size < 16_000_000
        with safe_open(path, framework="pt") as file:
            assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.bfloat16}  # noqa: SIM118
    run("transformer", folder, steps=14, resume=True)
    log = read_log(folder / "transformer")
    assert [line["step"] for line in log] == list(range(STEPS, 14))
    assert [line["rate"] for line in log[:2]] == [0.5, 1.0]
    assert abs(log[0]["loss"] - losses(unbroken)[-1]) < 0.5


def test_an_exported_model_is_trained_on(unbroken: Path, new_run: Callable[[], Path]) -> None:
    folder = new_run()
    model = unbroken / "transformer" / "model"
    config = replace(tiny.transformer(folder), num_steps=14)
    trainer = Trainer(config, folder / "transformer", Sitting(start=model, is_shown=False))
    stored = load_part(model / "transformer", "transformer", torch.float32).state_dict()
    for key, weight in stored.items():
        assert torch.equal(trainer.weights.masters[f"transformer.{key}"], weight)
    assert trainer.position.step == 0
    trainer.run()
    log = read_log(folder / "transformer")
    assert len(log) == 14
    assert log[0]["loss"] < losses(unbroken)[0]
    other = replace(config, objective=tiny.autoencoder(folder).objective)
    with pytest.raises(KhayalError, match="There is no vae in"):
        Trainer(other, folder / "other", Sitting(start=model, is_shown=False))


def test_small_files_stay_small(tmp_path: Path) -> None:
    tensors = {f"w{k}": torch.randn(1024, 1024) for k in range(20)}
    position = state.Position(step=7, seed=3)
    for _ in range(2):  # the second replaces the first
        state.save_small(tmp_path / "small", position, {"weights": tensors, "average": tensors})
    paths = list((tmp_path / "small").iterdir())
    assert len(paths) == 6
    assert all(path.stat().st_size < 16_000_000 for path in paths)
    found, read = state.load_small(tmp_path / "small")
    assert found == position
    assert torch.equal(read["average"]["w19"], tensors["w19"].bfloat16().float())
    paths[0].unlink()
    with pytest.raises(InputError, match="not complete"):
        state.load_small(tmp_path / "small")


def test_what_is_half_written_is_not_found(tmp_path: Path) -> None:
    state.save_full(tmp_path, state.Position(step=3), {}, Processes())
    (tmp_path / ".step-00000006.part").mkdir()
    assert [path.name for path in state.full_checkpoints(tmp_path)] == ["step-00000003"]
    state.prune(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


def test_random_states_go_on(tmp_path: Path) -> None:
    import random

    import numpy as np

    path = state.save_full(tmp_path, state.Position(step=1), {}, Processes())
    drawn = [torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()]
    state.load_full(path, Processes())
    assert [torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()] == drawn


def test_a_run_is_not_begun_twice_or_changed(unbroken: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--resume"):
        run("transformer", unbroken, steps=STEPS)
    with pytest.raises(InputError, match="batches of 4"):
        run("transformer", unbroken, steps=20, batch=6, resume=True)
    newest = state.full_checkpoints(unbroken / "transformer" / "checkpoints")[-1]
    with pytest.raises(CheckpointError, match="written by 1"):
        state.load_full(newest, Processes(rank=0, size=2))
    broken = tmp_path / "step-00000001"
    broken.mkdir()
    (broken / "part-00000-of-00001.pt").write_bytes(b"half a file")
    with pytest.raises(CheckpointError, match="cannot be read"):
        state.load_full(broken, Processes())
