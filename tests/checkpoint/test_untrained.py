"""The checkpoint that stands in until there is a trained one: made once, and said so where it cannot be."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from khayal.checkpoint import untrained
from khayal.checkpoint.folder import open_checkpoint
from khayal.errors import OutputError

OPEN = "from khayal.checkpoint.folder import open_checkpoint; print(open_checkpoint().path)"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_it_is_made_once(cache: Path) -> None:
    folder = untrained.untrained_folder()
    assert folder.is_relative_to(cache)
    made = (folder / "model_index.json").stat().st_ino
    assert untrained.untrained_folder() == folder
    assert (folder / "model_index.json").stat().st_ino == made
    assert open_checkpoint(folder).expand_timesteps


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / place))
    with pytest.raises(OutputError, match=r"has no place to be made in: .* Set XDG_CACHE_HOME"):
        untrained.untrained_folder()


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", os.devnull)
    with pytest.raises(OutputError, match="has no place to be made in"):
        untrained.untrained_folder()


def test_no_scratch_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(OutputError, match="The untrained checkpoint could not be made: "):
        untrained.make_untrained(tmp_path / "model")


def test_another_process_that_was_faster(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = untrained.save_checkpoint

    def save_twice(folder: Path, **contents: Any) -> None:
        save(folder, **contents)
        save(folder, **contents)

    monkeypatch.setattr(untrained, "save_checkpoint", save_twice)
    open_checkpoint(untrained.untrained_folder())


def test_two_processes_at_once(cache: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", OPEN]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate()[0].strip() for process in both]
    assert answers == [str(cache / "khayal" / "untrained-1")] * 2
    assert [child.name for child in (cache / "khayal").iterdir()] == ["untrained-1"]
