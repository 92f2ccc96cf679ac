"""The training loop: one for every stage, on one device or on several."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from khayal.components import has_native_bf16
from khayal.errors import Cancelled, InputError, KhayalError
from khayal.parallel import compile_blocks, join_processes, recompute, shard
from khayal.train import state
from khayal.train.chance import Chance
from khayal.train.config import TrainConfig
from khayal.train.log import Journal
from khayal.train.objective import Objective
from khayal.train.optimiser import Optimiser, share_of_rate
from khayal.train.source import Prepared, Reading
from khayal.train.state import Position
from khayal.train.weights import Averages, Weights

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Sitting:
    """How this call of a run goes.

    Attributes:
        device: where it works.
        resume: go on where the run is; from its small checkpoint where there is no full one.
        start: a small checkpoint to start from, or a model that the stage exported.
        minutes: stop after so long, to be resumed: a slice of the run, not its end.
        is_shown: whether the console shows progress.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    resume: bool = False
    start: Path | None = None
    minutes: float | None = None
    is_shown: bool = True


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a sitting ended: after which step, and whether that was the end of the run."""

    step: int
    is_finished: bool
    model: Path


@dataclass(frozen=True)
class _Pending:
    """A step whose numbers are on their way from the device; `come` says when they are here."""

    step: int
    batches: tuple[Any, ...]
    numbers: Tensor
    come: torch.cuda.Event | None
    names: tuple[str, ...]
    values: dict[str, float]

    def read(self) -> dict[str, float]:
        """Wait for this step, and for no later one."""
        if self.come is not None:
            self.come.synchronize()
        return dict(zip(self.names, self.numbers.tolist(), strict=True))


class Trainer:
    """One run in one folder.

    The folder gets `checkpoints/` (full ones), `small/`, `model/` (what others open), `previews/` and logs.

    Raises:
        InputError: the run was begun already and is not to be resumed, or cannot be.
        CheckpointError: what it should go on from cannot be read.
    """

    def __init__(self, config: TrainConfig, folder: Path, sitting: Sitting | None = None) -> None:
        self._begun = time.monotonic()
        self.config, self.folder = config, folder
        self.sitting = sitting or Sitting()
        self.processes = join_processes(self.sitting.device)
        if config.interpolation < 1 and self.sitting.start is None:
            raise InputError(
                "There is nothing to interpolate with",
                why=f"the exported weights are to be {config.interpolation:g} of the way from others",
                fix="say from which: --start DIR",
            )
        if config.batch_size % self.processes.size:
            raise InputError(
                f"A batch of {config.batch_size} cannot be shared by {self.processes.size} processes",
                fix="choose a multiple",
            )
        self.checkpoints = folder / "checkpoints"
        self._check_beginning()
        self.source = config.source()
        self.objective: Objective[Any] = config.objective().to(self.processes.device)
        dtype = computing_dtype(config.precision, self.processes.device)
        self._apply_parallelism(dtype)
        self.weights = Weights(self.objective, dtype, is_sharded=self.processes.size > 1)
        self.optimiser = Optimiser(config.optimiser, self.weights.masters, self.objective.is_matrix)
        self.averages = Averages(config.averages, self.weights)
        self.position = Position(seed=config.seed, batch_size=config.batch_size)
        self._take_up()

    def run(self) -> Outcome:
        """Train until the run or the sitting ends.

        Raises:
            KhayalError: a loss is not finite; the batch is saved.
            Cancelled: Ctrl-C; what was done is saved.
        """
        journal = (
            Journal(
                self.folder,
                start=self.position.step,
                tensorboard=self.config.keeping.tensorboard,
                is_shown=self.sitting.is_shown,
            )
            if self.processes.is_first
            else nullcontext()
        )
        with journal as self._journal, _asked_to_stop() as is_asked:
            return self._run(is_asked)

    def _run(self, is_asked: threading.Event) -> Outcome:
        begun = self.position
        streams = [self.source.batches(self._reading(begun.step, rows)) for rows in self._rows()]
        batches = Prepared(zip(*streams, strict=True))
        saved = shown = begun
        pending: _Pending | None = None
        is_stopping = self._is_over()
        clock = time.monotonic()
        try:
            while not is_stopping:
                made = self._step(next(batches))
                self._read(pending)
                pending = made
                now = time.monotonic()
                seconds, asked = self.processes.sum(
                    now - clock if self.processes.is_first else 0.0,
                    float(is_asked.is_set() or self._is_paused(now)),
                )
                clock = now
                begins_decay = self._advance(seconds)
                made.values["seconds"] = self.position.seconds
                made.values["samples_per_second"] = self.config.batch_size / max(seconds, 1e-9)
                is_stopping = self._is_over() or asked > 0
                if is_stopping or begins_decay or self._is_due(saved):
                    self._read(pending)
                    pending = None
                    self._save(name=state.BEFORE_DECAY if begins_decay else "")
                    saved = self.position
                if not is_stopping and self._minutes_since(shown) >= self.config.keeping.preview_minutes:
                    self.show()
                    shown = self.position
        finally:
            batches.close()
        if is_asked.is_set():
            raise Cancelled
        return self._end(begun)

    def _end(self, begun: Position) -> Outcome:
        model = self.folder / "model"
        if self.position.step > begun.step or not model.exists():
            self.show()
        return Outcome(step=self.position.step, is_finished=self._is_over(), model=model)

    def _step(self, batches: tuple[Any, ...]) -> _Pending:
        """One step of the optimiser. Its numbers stay on the device until the next one is under way."""
        position, config = self.position, self.config
        progress = config.progress(position.step, position.seconds)
        sums, count = torch.zeros((), device=self.processes.device), 0.0
        sent = []
        for batch, rows in zip(batches, self._rows(), strict=True):
            sent.append(self.objective.to_device(batch, self.processes.device))
            chance = Chance(
                seed=config.seed,
                step=position.step,
                batch_size=config.batch_size,
                rows=rows,
                progress=progress,
            )
            score = self.objective(sent[-1], chance)
            score.total.backward()
            self.weights.take_gradients()
            sums = sums + torch.stack([score.total.detach(), *score.parts.values()])
            count += score.count
        (count,) = self.processes.sum(count)
        self.weights.scale_gradients(self.processes.size / max(count, 1.0))
        share = share_of_rate(config.optimiser, progress, position.step - position.fresh_since)
        norm = self.optimiser.step(share)
        self.weights.refresh()
        self.averages.update()
        numbers = torch.cat((self.processes.sum_tensor(sums) / max(count, 1.0), norm.detach()[None]))
        names = ("loss", *score.parts, "gradient_norm")
        come = None
        if numbers.is_cuda:
            numbers = numbers.to("cpu", non_blocking=True)
            come = torch.cuda.Event()
            come.record()
        return _Pending(position.step, tuple(sent), numbers, come, names, {"rate": share})

    def _read(self, pending: _Pending | None) -> None:
        """Wait for the numbers of a step, check and log them."""
        if pending is None:
            return
        values = pending.read()
        if not all(map(math.isfinite, values.values())):
            self._stop_at(pending, values)
        if self._journal is not None:
            self._journal.step(pending.step, values | pending.values, self._progress())

    def _stop_at(self, pending: _Pending, values: dict[str, float]) -> None:
        """Keep what made a number infinite, and say so."""
        path = self.folder / f"not-finite-step-{pending.step}-part-{self.processes.rank}.pt"
        torch.save({"step": pending.step, "values": values, "batches": [*map(vars, pending.batches)]}, path)
        bad = ", ".join(name for name, value in values.items() if not math.isfinite(value))
        raise KhayalError(
            f"Training stopped at step {pending.step}: {bad} is not finite",
            why=f"the batch is in {path}; the last checkpoint is from before",
            fix="lower the learning rate or mend the data, and go on with --resume",
        )

    def show(self) -> None:
        """Export the average, write the small checkpoint, make previews; every process has to come."""
        decay = self.config.averages[-1]
        average = self.weights.whole(self.averages.state(decay))
        weights = self.weights.whole(self.weights.state())
        if self.processes.is_first:
            state.save_small(self.folder / "small", self.position, {"weights": weights, "average": average})
            model = self.folder / "model"
            rows = self.processes.rows(self.config.batch_size)
            batches = self.source.batches(self._reading(self.position.step, rows))
            self.objective.export(model, self._interpolated(average), batches)
            previews = self.folder / "previews"
            previews.mkdir(exist_ok=True)
            name = previews / f"step-{self.position.step:08d}"
            for path in self.objective.preview(model, name, self.processes.device):
                if self._journal is not None:
                    self._journal.say(f"Preview: {path}")
        self.processes.wait()

    def _interpolated(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights a part of the way from where the run started."""
        share, start = self.config.interpolation, self.sitting.start
        if share == 1 or start is None:
            return weights
        before = self._exported(start) if _is_model(start) else state.load_small(start)[1]["average"]
        return {key: torch.lerp(before[key].to(weight), weight, share) for key, weight in weights.items()}

    def _exported(self, model: Path) -> dict[str, Tensor]:
        """The weights of a model that this stage exported."""
        weights = self.objective.exported(model)
        odd = sorted(set(weights) ^ set(self.weights.masters))
        if odd:
            raise InputError(
                f"The model in “{model}” does not fit the recipe",
                why=f"only one of them has “{odd[0]}”",
                fix="use the recipe that it was made with",
            )
        return weights

    def _save(self, name: str = "") -> None:
        """A full checkpoint, and the oldest ones away; one with a name of its own stays beside them."""
        content = {
            "weights": self.weights.state(),
            "optimiser": self.optimiser.state(),
            "averages": [self.averages.state(decay) for decay in self.config.averages],
            "num_averaged": self.averages.num_updates,
        }
        for called in ("", name) if name else ("",):  # in one order: the processes wait for one another
            state.save_full(self.checkpoints, self.position, content, self.processes, name=called)
        if self.processes.is_first:
            state.prune(self.checkpoints, self.config.keeping.num_full)
        self.processes.wait()

    def _check_beginning(self) -> None:
        is_begun = bool(state.full_checkpoints(self.checkpoints)) or (self.folder / "small").exists()
        if is_begun and not self.sitting.resume:
            raise InputError(
                f"There is a run in “{self.folder}” already", fix="add --resume, or choose another folder"
            )
        if self.processes.is_first:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        self.processes.wait()

    def _take_up(self) -> None:
        """Go on from a full checkpoint, or begin with the weights of a small one, or afresh."""
        found = state.full_checkpoints(self.checkpoints)
        small = self.folder / "small"
        if self.sitting.start is not None and not found:
            small = self.sitting.start
        if found:
            self._restore(self._where_to_go_on(found[-1]))
        elif _is_model(small):
            weights = self._exported(small)
            self.weights.restore_whole(weights)
            for decay in self.config.averages:
                self.averages.restore_whole(decay, weights)
        elif small.exists() or self.sitting.start is not None:
            position, tensors = state.load_small(small)
            self._check_data(position, small)
            self.weights.restore_whole(tensors["weights"])
            for decay in self.config.averages:
                self.averages.restore_whole(decay, tensors["average"])
            self.position = replace(position, fresh_since=position.step)

    def _where_to_go_on(self, newest: Path) -> Path:
        """The newest checkpoint; the one before the decay where the run was made longer since."""
        before = self.checkpoints / state.BEFORE_DECAY
        position = state.position_of(newest, self.processes)
        is_longer = self.config.progress(position.step, position.seconds) < position.progress - 1e-6
        is_decaying = position.progress > 1 - self.config.optimiser.decay_share
        return before if before.exists() and is_longer and is_decaying else newest

    def _restore(self, path: Path) -> None:
        position, content = state.load_full(path, self.processes)
        self._check_data(position, path)
        try:
            self.weights.restore(content["weights"])
            self.optimiser.restore(content["optimiser"])
            for decay, average in zip(self.config.averages, content["averages"], strict=True):
                self.averages.restore(decay, average)
        except (KeyError, ValueError, RuntimeError) as error:
            raise InputError(
                f"{path} does not fit the recipe",
                why=str(error).splitlines()[0],
                fix="use the recipe that it was begun with, or another folder",
            ) from error
        self.averages.num_updates = content["num_averaged"]
        self.position = position

    def _check_data(self, position: Position, path: Path) -> None:
        wanted = (self.config.seed, self.config.batch_size)
        if (position.seed, position.batch_size) != wanted:
            raise InputError(
                f"{path} does not fit the recipe",
                why=f"it has seed {position.seed} and batches of {position.batch_size}, "
                f"the recipe {wanted[0]} and {wanted[1]}, so the data would not go on where it was",
                fix="use the same, or another folder",
            )

    def _apply_parallelism(self, dtype: torch.dtype) -> None:
        objective = self.objective
        if self.config.is_recomputed:
            recompute(objective.blocks())
        if self.config.is_compiled:
            compile_blocks(objective.blocks())
        if self.processes.size > 1:
            shard(
                objective, objective.units(), self.processes, lambda unit: objective.unit_dtype(unit, dtype)
            )

    def _rows(self) -> list[range]:
        """Which of each batch this process computes, a micro-batch at a time."""
        mine = self.processes.rows(self.config.batch_size)
        size = self.config.micro_batch_size or len(mine)
        return [mine[first : first + size] for first in range(0, len(mine), size)]

    def _reading(self, start: int, rows: range) -> Reading:
        return Reading(seed=self.config.seed, batch_size=self.config.batch_size, rows=rows, start=start)

    def _progress(self) -> float:
        return self.config.progress(self.position.step, self.position.seconds)

    def _advance(self, seconds: float) -> bool:
        """Count the step and its time; True where the decay begins with the next one."""
        begins = 1 - self.config.optimiser.decay_share
        before, position = self._progress(), self.position
        self.position = replace(position, step=position.step + 1, seconds=position.seconds + seconds)
        self.position = replace(self.position, progress=self._progress())
        return before < begins <= self._progress() < 1

    def _is_over(self) -> bool:
        return self._progress() >= 1

    def _is_paused(self, now: float) -> bool:
        """Whether the slice is over, to which the time until the first step belongs too."""
        return self.sitting.minutes is not None and now - self._begun >= 60 * self.sitting.minutes

    def _is_due(self, saved: Position) -> bool:
        keeping = self.config.keeping
        by_steps = keeping.full_steps is not None and self.position.step - saved.step >= keeping.full_steps
        return by_steps or self._minutes_since(saved) >= keeping.full_minutes

    def _minutes_since(self, earlier: Position) -> float:
        return (self.position.seconds - earlier.seconds) / 60


def computing_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What a run computes in; see `TrainConfig.precision`."""
    if precision == "auto":
        return torch.bfloat16 if has_native_bf16(device) else torch.float32
    return DTYPES[precision]


def _is_model(folder: Path) -> bool:
    """Whether a folder is a model that a stage exported; else it is a small checkpoint."""
    return (folder / "config.json").exists() or (folder / "model_index.json").exists()


@contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """Set by the first Ctrl-C or SIGTERM, so that a step is finished and saved; a second one kills."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: Any) -> None:
        asked.set()
        signal.signal(number, signal.SIG_DFL)

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
