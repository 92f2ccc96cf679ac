"""float32 weights beside the module that computes with them, and their moving averages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from khayal.train.objective import Objective
from khayal.train.optimiser import local


class Weights:
    """What the optimiser moves: one float32 parameter for each parameter of the module.

    Where the module computes in bfloat16, its own parameters become rounded copies, refreshed after every
    step, so that training computes exactly as sampling will. (bfloat16 weights alone would lose the small
    steps; casting float32 ones in every layer, as autocast does, takes longer.) A sharded module keeps
    float32 itself and gathers bfloat16, so there the two are one.

    Attributes:
        masters: by name; what is optimised, saved and averaged.
    """

    def __init__(self, module: Objective[Any], dtype: torch.dtype, *, is_sharded: bool = False) -> None:
        self.masters: dict[str, nn.Parameter] = {}
        self._computing: list[Tensor] = []
        self._copied: list[Tensor] = []
        for key, parameter in module.named_parameters():
            assert parameter.dtype == torch.float32, "training starts from float32"
            target = module.dtype_of(key, dtype)
            if is_sharded or target == torch.float32:
                self.masters[key] = parameter
                continue
            self.masters[key] = nn.Parameter(parameter.detach().clone())
            parameter.data = parameter.data.to(target)
            self._computing.append(parameter)
            self._copied.append(self.masters[key])

    def take_gradients(self) -> None:
        """Add the gradients of the copies to those of the float32 weights."""
        for parameter, master in zip(self._computing, self._copied, strict=True):
            if parameter.grad is None:
                continue
            if master.grad is None:
                master.grad = parameter.grad.to(torch.float32)
            else:
                master.grad += parameter.grad
            parameter.grad = None

    def scale_gradients(self, factor: float) -> None:
        """Multiply the gradients of the float32 weights."""
        torch._foreach_mul_([m.grad for m in self.masters.values() if m.grad is not None], factor)

    @torch.no_grad()
    def refresh(self) -> None:
        """Round the float32 weights into the copies, and drop all gradients."""
        if self._computing:
            torch._foreach_copy_(self._computing, self._copied)
        for master in self.masters.values():
            master.grad = None

    def state(self) -> dict[str, Tensor]:
        """This process's part of every weight."""
        return {key: local(master.detach()) for key, master in self.masters.items()}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave."""
        for key, master in self.masters.items():
            local(master.detach()).copy_(state[key])
        self.refresh()

    @torch.no_grad()
    def restore_whole(self, weights: Mapping[str, Tensor]) -> None:
        """Take up whole weights, of which each process keeps its part."""
        self.restore({key: share_of(self.masters[key], weights[key]) for key in self.masters})

    def whole(self, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Parts of all processes put together; every process has to ask."""
        return {key: joined(self.masters[key], part) for key, part in parts.items()}


def joined(master: Tensor, part: Tensor) -> Tensor:
    """The whole tensor of which `part` is this process's share, spread as `master` is."""
    if not isinstance(master, DTensor):
        return part
    spread = DTensor.from_local(
        part,
        master.device_mesh,
        master.placements,
        run_check=False,
        shape=master.shape,
        stride=master.stride(),
    )
    return spread.full_tensor()


def share_of(master: Tensor, whole: Tensor) -> Tensor:
    """The inverse of `joined`: this process's share of a whole tensor that every process has."""
    if not isinstance(master, DTensor):
        return whole
    whole = whole.to(master.device)
    return distribute_tensor(whole, master.device_mesh, master.placements).to_local()


class Averages:
    """Exponential moving averages of the weights, in float32; at first they follow faster.

    Attributes:
        decays: how much of each average stays in a step.
        num_updates: steps that are in them.
    """

    def __init__(self, decays: Sequence[float], weights: Weights) -> None:
        self.decays = tuple(decays)
        self.num_updates = 0
        self._weights = weights
        self._values = [[value.clone() for value in weights.state().values()] for _ in self.decays]

    @torch.no_grad()
    def update(self) -> None:
        """Move every average towards the weights as they are now."""
        self.num_updates += 1
        now = list(self._weights.state().values())
        for decay, values in zip(self.decays, self._values, strict=True):
            kept = min(decay, self.num_updates / (10 + self.num_updates))
            torch._foreach_lerp_(values, now, 1 - kept)

    def state(self, decay: float) -> dict[str, Tensor]:
        """This process's part of one average, by name."""
        return dict(zip(self._weights.masters, self._values[self.decays.index(decay)], strict=True))

    def restore_whole(self, decay: float, average: Mapping[str, Tensor]) -> None:
        """Take up a whole average, of which each process keeps its part."""
        masters = self._weights.masters
        self.restore(decay, {key: share_of(master, average[key]) for key, master in masters.items()})

    @torch.no_grad()
    def restore(self, decay: float, state: Mapping[str, Tensor]) -> None:
        """Take up one average."""
        for key, value in self.state(decay).items():
            value.copy_(state[key])
