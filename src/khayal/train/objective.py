"""What is trained: modules, their loss, and how the result is written and looked at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic

import torch
from jaxtyping import Float
from torch import Tensor, nn

from khayal.errors import InputError
from khayal.train.chance import Chance
from khayal.train.source import Batch


@dataclass(frozen=True, kw_only=True)
class Score:
    """The loss of this process's part of a batch, as a sum and a count.

    Attributes:
        total: summed over what counts; gradients flow from it.
        count: how much counts, a number known without waiting for the device.
        parts: further sums to log, each to be divided by the same count.
    """

    total: Float[Tensor, ""]
    count: float
    parts: Mapping[str, Tensor] = field(default_factory=dict)


class Objective(nn.Module, ABC, Generic[Batch]):
    """Modules to train together, as submodules, and the loss that trains them.

    The forward pass is the loss, so that whatever is applied from outside (sharding, compilation) finds
    all of it inside one module.
    """

    @abstractmethod
    def forward(self, batch: Batch, chance: Chance) -> Score:
        """The loss of a batch. All randomness comes from `chance`."""

    @abstractmethod
    def to_device(self, batch: Batch, device: torch.device) -> Batch:
        """The batch with its tensors on a device."""

    @abstractmethod
    def dtype_of(self, key: str, dtype: torch.dtype) -> torch.dtype:
        """The type in which a weight computes where `dtype` is asked for; some stay in float32."""

    @abstractmethod
    def blocks(self) -> Sequence[nn.Module]:
        """The layers that repeat: what is compiled or recomputed one by one."""

    def units(self) -> Sequence[nn.Module]:
        """What is gathered at once where weights are spread over processes; inner ones first."""
        return self.blocks()

    def unit_dtype(self, unit: nn.Module, dtype: torch.dtype) -> torch.dtype:
        """The type in which a unit computes: float32 where all of its weights ask for it."""
        inside = {id(parameter) for parameter in unit.parameters()}
        asked = {self.dtype_of(key, dtype) for key, p in self.named_parameters() if id(p) in inside}
        return torch.float32 if asked == {torch.float32} else dtype

    @abstractmethod
    def is_matrix(self, key: str) -> bool:
        """True for a weight that maps one hidden space to another, for which Muon is meant."""

    @abstractmethod
    def export(self, folder: Path, weights: Mapping[str, Tensor], batches: Iterator[Batch]) -> None:
        """Write `weights`, named as in this module, in the form in which they are used.

        Args:
            folder: replaced where it is there already.
            batches: this process's next ones, for what has to be measured.
        """

    def exported(self, folder: Path) -> dict[str, Tensor]:
        """The weights of a model that `export` wrote, by their names in this module.

        Raises:
            InputError: this stage cannot begin with one.
        """
        raise InputError(
            f"This stage cannot begin with the model in “{folder}”", fix="name a small checkpoint"
        )

    @abstractmethod
    def preview(self, model: Path, out: Path, device: torch.device) -> list[Path]:
        """Show what an exported model does, in files whose names begin with `out`."""
