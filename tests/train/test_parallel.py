"""Two processes, each with half of the weights and half of every batch, train as one does."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from stages import copy_prepared, run

import khayal
from khayal.train import state
from khayal.train.log import read_log

HERE = Path(__file__).parent
SETTINGS = {
    "adamw": {"steps": 20, "precision": "float32", "matrices": "adamw", "every": 50},
    "muon": {"steps": 4, "precision": "float32", "matrices": "muon", "every": 50},
    "whole": {"steps": 3, "every": 50},
    "broken": {"steps": 3, "every": 50},
}


@pytest.fixture(scope="module")
def together(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two processes; the one called “broken” in two sittings."""
    runs = tmp_path_factory.mktemp("together")
    asked = []
    for name, values in SETTINGS.items():
        copy_prepared(prepared, runs / name)
        given = {key: str(value) for key, value in values.items()}
        asked += [(str(runs / name), given, 1e-6)] if name == "broken" else []  # a slice of one step
        asked.append((str(runs / name), given, None))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "error", str(HERE / "two_processes.py"), json.dumps(asked)]
    shared = {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2"}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    both = [
        subprocess.Popen(command, env={**os.environ, **shared, **meeting, "RANK": rank}, stderr=-1)
        for rank in "01"
    ]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], b"\n".join(said).decode()
    return runs


def losses(folder: Path) -> torch.Tensor:
    return torch.tensor([line["loss"] for line in read_log(folder / "transformer")], dtype=torch.float64)


# Muon orthogonalises in bfloat16, where the last bit of a gradient may turn a whole rounding.
@pytest.mark.parametrize(("name", "tolerance"), [("adamw", 1e-5), ("muon", 1e-3)])
def test_two_processes_train_as_one(
    together: Path, prepared: Path, tmp_path: Path, name: str, tolerance: float
) -> None:
    run("transformer", copy_prepared(prepared, tmp_path / "run"), **SETTINGS[name])
    ours = losses(together / name)
    assert len(ours) == SETTINGS[name]["steps"]
    torch.testing.assert_close(ours, losses(tmp_path / "run"), rtol=tolerance, atol=0)


def test_two_processes_resume_exactly(together: Path) -> None:
    newest = state.full_checkpoints(together / "broken" / "transformer" / "checkpoints")[-1]
    assert len(list(newest.iterdir())) == 2
    assert losses(together / "broken").tolist() == losses(together / "whole").tolist()


def test_what_two_processes_made_opens(together: Path) -> None:
    clip = khayal.open(together / "whole" / "transformer" / "model", device="cpu").generate("a red square")
    assert clip.frames.shape == (16, 32, 32, 3)
