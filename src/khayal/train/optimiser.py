"""AdamW, or Muon for the matrices and AdamW for the rest; warm-up, constant, decay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from khayal.components import has_native_bf16
from khayal.train.config import OptimiserConfig


class Optimiser:
    """Moves float32 weights by their gradients, at a rate that the schedule gives.

    Args:
        weights: by name.
        is_matrix: which of them are Muon's (Jordan 2024, https://kellerjordan.github.io/posts/muon/), where
            the config asks for it. A convolution's kernel is a matrix too.
    """

    def __init__(
        self, config: OptimiserConfig, weights: Mapping[str, nn.Parameter], is_matrix: Callable[[str], bool]
    ) -> None:
        self.config = config
        self.weights = dict(weights)
        matrices = {key for key, w in weights.items() if w.ndim >= 2 and is_matrix(key)}
        if config.matrices == "adamw":
            matrices = set()
        # What the optimisers see of each weight: itself, or the same numbers as a matrix.
        self._moved = {
            key: nn.Parameter(w.detach().flatten(1)) if key in matrices and w.ndim > 2 else w
            for key, w in self.weights.items()
        }
        decayed = [w for key, w in weights.items() if key not in matrices and w.ndim >= 2]
        rest = [w for w in weights.values() if w.ndim < 2]
        groups = [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ]
        self._parts: list[tuple[torch.optim.Optimizer, float]] = [
            (
                torch.optim.AdamW(
                    [group for group in groups if group["params"]],
                    lr=config.learning_rate,
                    betas=config.betas,
                    fused=True,
                ),
                config.learning_rate,
            )
        ]
        if matrices:
            muon = Muon(
                [self._moved[key] for key in weights if key in matrices],
                lr=config.matrix_learning_rate,
                momentum=config.momentum,
                weight_decay=config.weight_decay,
            )
            self._parts.append((muon, config.matrix_learning_rate))

    def step(self, share: float) -> Tensor:
        """Shorten the gradients, move the weights at `share` of the full rate; returns the norm there was."""
        norm = nn.utils.clip_grad_norm_(self.weights.values(), self.config.max_norm)
        for key, moved in self._moved.items():
            gradient = self.weights[key].grad
            if moved is not self.weights[key]:
                moved.grad = None if gradient is None else gradient.flatten(1)
        for part, rate in self._parts:
            for group in part.param_groups:
                group["lr"] = rate * share
            part.step()
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def state(self) -> dict[str, dict[str, Tensor]]:
        """For each weight what its optimiser remembers of it; only this process's part of it."""
        return {
            key: {name: local(value) for name, value in part.state[moved].items()}
            for key, moved in self._moved.items()
            for part, _ in self._parts
            if moved in part.state
        }

    def restore(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take up what `state` gave; weights that never had a gradient have none."""
        for key, weight in self._moved.items():
            if key not in state:
                continue
            for part, _ in self._parts:
                if any(weight is other for group in part.param_groups for other in group["params"]):
                    part.state[weight] = {name: _like(weight, value) for name, value in state[key].items()}


class Muon(torch.optim.Optimizer):
    """Steps that are orthogonal matrices, scaled to be as large as AdamW's at the same rate.

    The same numbers as torch.optim.Muon with "match_rms_adamw", which takes one matrix after the other: a
    small model has a hundred of them, and a GPU waits for two thousand tiny products. Here all matrices of
    one shape go together. (Jordan 2024; the scale is of arXiv:2502.16982.)
    """

    def __init__(self, weights: Sequence[Tensor], lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # there is no closure here
        """Move every matrix that has a gradient."""
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    alike[tuple(weight.shape)].append((weight, weight.grad))
            for shape, pairs in alike.items():
                weights, gradients = map(list, zip(*pairs, strict=True))
                for weight in weights:
                    if not self.state[weight]:
                        self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
                momenta = [self.state[weight]["momentum_buffer"] for weight in weights]
                torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
                steps = orthogonal(torch._foreach_lerp(gradients, momenta, group["momentum"]))
                torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(weights, steps, alpha=-group["lr"] * 0.2 * max(shape) ** 0.5)


def orthogonal(matrices: Sequence[Tensor]) -> list[Tensor]:
    """The nearest orthogonal matrix of each, about: five rounds of Newton and Schulz's quintic.

    In bfloat16 where the device has hardware for it; in float32 a CPU without takes a 35th of the time. All
    have one shape. Those that are spread over processes are gathered once, and every process computes
    the same: a product of spread matrices would gather in each of the fifteen products of a step.
    """
    whole = [matrix.full_tensor() if isinstance(matrix, DTensor) else matrix for matrix in matrices]
    steps = _newton_schulz(torch.stack(whole)).unbind()
    return [
        distribute_tensor(step, like.device_mesh, like.placements, src_data_rank=None)
        if isinstance(like, DTensor)
        else step
        for like, step in zip(matrices, steps, strict=True)
    ]


def _newton_schulz(x: Tensor) -> Tensor:
    like, is_tall = x, x.shape[-2] > x.shape[-1]
    x = x.bfloat16() if has_native_bf16(x.device) else x.float()
    x = x.mT if is_tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return (x.mT if is_tall else x).to(like.dtype)


def share_of_rate(config: OptimiserConfig, progress: float, num_steps_since_start: int) -> float:
    """Warm-up, constant, linear decay to zero (WSD, arXiv:2404.06395): the share of the full rate."""
    warm = min(1.0, (num_steps_since_start + 1) / max(1, config.warmup_steps))
    left = (1 - progress) / config.decay_share if config.decay_share > 0 else 1.0
    return warm * min(1.0, max(0.0, left))


def local(tensor: Tensor) -> Tensor:
    """This process's part of a tensor that may be spread over several."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _like(weight: Tensor, value: Tensor) -> Any:
    """A local part as it stood beside the weight: spread as the weight is, unless it is a counter."""
    if not isinstance(weight, DTensor):
        return value.to(weight.device)
    if value.shape != weight.to_local().shape or value.ndim == 0 < weight.ndim:
        return value
    return DTensor.from_local(
        value.to(weight.device),
        weight.device_mesh,
        weight.placements,
        run_check=False,
        shape=weight.shape,
        stride=weight.stride(),
    )
