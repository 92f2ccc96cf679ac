"""What a run says: a JSON line and TensorBoard's events for each step, a progress bar, previews."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from khayal.errors import MissingExtraError

SECONDS_BETWEEN_LINES = 30.0
SMOOTHING = 0.98


class Journal:
    """The record of a run in its folder, and on the console.

    Args:
        folder: gets `log.jsonl` and `tensorboard/`.
        start: the first step to come; records of it and later ones, of a sitting that was cut short, go.
        is_shown: whether the console shows progress.

    Raises:
        MissingExtraError: TensorBoard's files are asked for and its library is missing.
    """

    def __init__(self, folder: Path, *, start: int, tensorboard: bool, is_shown: bool = True) -> None:
        if tensorboard and find_spec("tensorboard") is None:
            raise MissingExtraError("TensorBoard's log cannot be written", extra="train")
        self._file = _cut(folder / "log.jsonl", start).open("a", encoding="utf-8")
        self._events: Any = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=start)
        self._loss: float | None = None
        self._bar: Any = None
        self._console: Any = None
        self._last_line = time.monotonic()
        if is_shown:
            self._open_console(folder.name)

    def _open_console(self, name: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        if not sys.stderr.isatty():
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self._console, speed_estimate_period=300)
        self._task = self._bar.add_task(name, total=1.0)
        self._bar.start()

    def step(self, step: int, values: Mapping[str, float], progress: float) -> None:
        """Write one step."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(name, value, step)
        loss = values["loss"]
        self._loss = loss if self._loss is None else SMOOTHING * self._loss + (1 - SMOOTHING) * loss
        told = f"step {step}  loss {self._loss:.4f}  {values['samples_per_second']:.1f}/s"
        if self._bar is not None:
            self._bar.update(self._task, completed=progress, description=told)
        elif self._console is not None and time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            left = values["seconds"] * (1 / progress - 1) if progress > 0 else 0.0
            self._console.print(f"{told}  {progress:.1%}, about {left / 60:.0f} min left")

    def say(self, sentence: str) -> None:
        """One line on the console."""
        if self._console is not None:
            self._console.print(sentence)

    def close(self) -> None:
        """Finish the files and the bar."""
        self._file.close()
        if self._events is not None:
            self._events.close()
        if self._bar is not None:
            self._bar.stop()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _cut(path: Path, start: int) -> Path:
    """Keep the records before a step; the last line may be half written."""
    if path.exists():
        kept = [line for line in path.read_text(encoding="utf-8").splitlines() if _step_of(line) < start]
        path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    return path


def _step_of(line: str) -> float:
    try:
        step: int = json.loads(line)["step"]
    except ValueError:
        return float("inf")
    return step


def read_log(folder: Path) -> list[dict[str, float]]:
    """The steps of a run, as `Journal` wrote them."""
    text = (folder / "log.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
