"""What the command line shows while it works, and at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

import click

_STAGES = {"text": "Reading the prompt", "denoise": "Imagining", "decode": "Developing"}
_DECODE_SHARE = 0.2
"""The part of the whole that decoding is taken for, until its first frames tell."""

_LINE_SECONDS = 10.0
"""How often progress is told where there is no terminal to draw on."""


@runtime_checkable
class Stage(Protocol):
    """What is shown of `khayal.studio.Progress`, which would cost the import of torch."""

    @property
    def stage(self) -> str: ...
    @property
    def step(self) -> int: ...
    @property
    def num_steps(self) -> int: ...
    @property
    def notes(self) -> tuple[str, ...]: ...


class Estimate:
    """How much is done and how long the rest takes, from the pace of the steps so far.

    A long video goes to and fro between imagining and developing; then the pace of both together tells.

    Args:
        clock: seconds, rising.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stage = ""
        self._first: tuple[int, float] | None = None
        self._parts = {"denoise": 0.0, "decode": 0.0}
        self._whole: tuple[float, float] | None = None
        self.done = 0.0
        self.seconds_left: float | None = None

    def update(self, stage: str, step: int, num_steps: int) -> None:
        """Take note of a step; the first of a stage, which also loads and warms up, sets no pace."""
        if stage != self._stage:
            self._stage, self._first = stage, None
        if stage == "text" or step == 0:
            return
        self._parts[stage] = step / max(1, num_steps)
        self.done = self._parts["denoise"] * (1 - _DECODE_SHARE) + self._parts["decode"] * _DECODE_SHARE
        now = self._clock()
        if self._whole is None:
            self._whole = self.done, now
        done, since = self._whole
        if self._parts["decode"] > 0 and self._parts["denoise"] < 1 and self.done > done:
            self.seconds_left = (now - since) / (self.done - done) * (1 - self.done)
            return
        if self._first is None:
            self._first = step, now
        pace = (now - self._first[1]) / (step - self._first[0]) if step > self._first[0] else None
        if pace is None:
            self.seconds_left = None
        elif stage == "denoise":
            whole = pace * num_steps
            self.seconds_left = pace * (num_steps - step) + whole * _DECODE_SHARE / (1 - _DECODE_SHARE)
        else:
            self.seconds_left = pace * (num_steps - step)


class Display:
    """Progress on stderr: a live bar on a terminal, else a line now and then, or nothing.

    Args:
        is_quiet: True to say nothing where there is no terminal, so that stderr can be parsed.
    """

    def __init__(self, *, is_quiet: bool = False) -> None:
        self._live: Any = None
        self._is_quiet = is_quiet
        self._title = ""
        self._noted: set[str] = set()
        self._said: tuple[str, float] = ("", 0.0)
        self._estimate = Estimate()

    def __enter__(self) -> Display:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            self._live = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[left]}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
            )
            self._live.add_task("Starting", total=None, left="")
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def begin(self, title: str) -> None:
        """A new piece of work, such as one of several variations."""
        self._title = f"{title} · " if title else ""
        self._estimate, self._said = Estimate(), ("", 0.0)

    def on_step(self, progress: Stage) -> None:
        """Take the studio's report of a step."""
        self.note(*progress.notes)
        self._estimate.update(progress.stage, progress.step, progress.num_steps)
        words = _STAGES.get(progress.stage, progress.stage)
        if progress.stage != "text":
            words = f"{words} {progress.step}/{progress.num_steps}"
        left = self._estimate.seconds_left
        self._show(
            progress.stage,
            f"{self._title}{words}",
            done=self._estimate.done or None,
            left="" if left is None else f"about {duration(left)} left",
        )

    def note(self, *sentences: str) -> None:
        """What the user has to be told, above the bar; each sentence once."""
        for sentence in sentences:
            if sentence in self._noted:
                continue
            self._noted.add(sentence)
            if self._live is not None:
                self._live.console.print(f"Note: {sentence}", highlight=False, markup=False)
            elif not self._is_quiet:
                click.echo(f"Note: {sentence}", err=True)

    def result(self, text: str) -> None:
        """A finished piece of work, on stdout; the bar gives way for it."""
        if self._live is not None:
            self._live.stop()
        click.echo(text)
        if self._live is not None:
            self._live.start()

    def _show(self, stage: str, words: str, *, done: float | None, left: str) -> None:
        if self._live is not None:
            total = None if done is None else 1.0
            self._live.update(
                self._live.task_ids[0], description=words, total=total, completed=done or 0, left=left
            )
        elif not self._is_quiet:
            now = time.monotonic()
            if stage != self._said[0] or now - self._said[1] >= _LINE_SECONDS:
                click.echo(f"{words}{left and ', '}{left}", err=True)
                self._said = stage, now


def duration(seconds: float | int) -> str:
    """A duration as people say it: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
