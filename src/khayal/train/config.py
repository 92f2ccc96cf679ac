"""What a recipe says: the whole of a training run in one frozen value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from khayal.errors import InputError
from khayal.train.objective import Objective
from khayal.train.source import Source


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """How weights are moved.

    Attributes:
        matrices: Muon or AdamW for the matrices inside the blocks; everything else is AdamW's.
        learning_rate: AdamW's.
        matrix_learning_rate: Muon's, scaled so that its steps are as large as AdamW's at that rate
            (arXiv:2502.16982).
        betas: AdamW's averages of the gradient and of its square.
        momentum: Muon's.
        weight_decay: of matrices; vectors have none.
        max_norm: gradients are shortened to this length.
        warmup_steps: until the full rate is reached, also after a start from a small checkpoint.
        decay_share: the last part of the run, in which the rate falls to zero.
    """

    matrices: Literal["muon", "adamw"] = "muon"
    learning_rate: float = 1e-3
    matrix_learning_rate: float = 4e-3
    betas: tuple[float, float] = (0.9, 0.99)
    momentum: float = 0.95
    weight_decay: float = 0.01
    max_norm: float = 1.0
    warmup_steps: int = 100
    decay_share: float = 0.2


@dataclass(frozen=True, kw_only=True)
class KeepingConfig:
    """What is written while a run goes on.

    Attributes:
        full_minutes: between full checkpoints: what a kill can cost.
        full_steps: the same in steps; whichever comes first.
        num_full: full checkpoints that are kept.
        preview_minutes: between previews, exports and small checkpoints.
        tensorboard: write TensorBoard's event files too.
    """

    full_minutes: float = 10.0
    full_steps: int | None = None
    num_full: int = 2
    preview_minutes: float = 30.0
    tensorboard: bool = True


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run. `num_steps`, `minutes` or both end it; the learning rate knows of the end.

    Attributes:
        objective: makes the modules and their loss, with fresh weights.
        source: opens the data.
        batch_size: samples in a step, over all processes.
        micro_batch_size: samples that a process computes at once; the gradients of a step add up. Fewer take
            less memory, and stay in the caches of a CPU, which is faster. Of an odd number, one has no
            neighbour for what joins two samples. None: all of a step.
        seed: decides the weights, the order of the data, and all noise.
        precision: of the computing; weights and optimiser are float32 in any case. "auto" is bfloat16 where
            the device multiplies it in hardware, and float32 elsewhere: a CPU that emulates it takes 14 times
            as long.
        averages: decays of the moving averages of the weights; the last one is exported.
        interpolation: how far the exported weights go from those of --start to the trained ones. What was
            learned from few clips is often best a part of the way (WiSE-FT, arXiv:2109.01903).
        is_recomputed: compute each block again in the backward pass instead of keeping its activations.
        is_compiled: compile each block (torch.compile).

    Raises:
        InputError: a run without an end, or numbers that make no sense.
    """

    objective: Callable[[], Objective[Any]]
    source: Callable[[], Source[Any]]
    batch_size: int
    micro_batch_size: int | None = None
    num_steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    averages: tuple[float, ...] = (0.999, 0.9997)
    interpolation: float = 1.0
    keeping: KeepingConfig = field(default_factory=KeepingConfig)
    is_recomputed: bool = False
    is_compiled: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"A batch of {self.batch_size} is not possible", fix="take 1 or more")
        if self.micro_batch_size is not None and self.micro_batch_size < 1:
            raise InputError(f"Micro-batches of {self.micro_batch_size} cannot be", fix="take 1 or more")
        if self.num_steps is None and self.minutes is None:
            raise InputError("The run has no end", fix="give num_steps or minutes (--steps, --minutes)")
        for name, value in (("num_steps", self.num_steps), ("minutes", self.minutes)):
            if value is not None and not value > 0:
                raise InputError(f"{name} cannot be {value:g}", fix="give more than 0")
        if not 0 < self.interpolation <= 1:
            raise InputError(f"interpolation cannot be {self.interpolation:g}", fix="give a share up to 1")
        if not self.averages or not all(0 <= decay < 1 for decay in self.averages):
            raise InputError(f"Averages of {self.averages} are not possible", fix="give decays below 1")

    def progress(self, step: int, seconds: float) -> float:
        """How much of the run is over before `step`, after `seconds` of work: 0 to 1."""
        parts = [0.0]
        if self.num_steps is not None:
            parts.append(step / self.num_steps)
        if self.minutes is not None:
            parts.append(seconds / 60 / self.minutes)
        return min(1.0, max(parts))
