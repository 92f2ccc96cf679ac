"""Applied to a built model from outside: processes, sharding, compilation, recomputation."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True, kw_only=True)
class Processes:
    """The processes that work on one run together; alone unless torchrun started this one.

    Attributes:
        rank: this process, of `size`.
        device: where it works.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """True for the one that writes files and speaks."""
        return self.rank == 0

    def rows(self, batch_size: int) -> range:
        """This process's samples of a batch."""
        share = batch_size // self.size
        return range(self.rank * share, (self.rank + 1) * share)

    def sum(self, *values: float) -> list[float]:
        """Each number, summed over the processes."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return tensor.tolist()

    def sum_tensor(self, tensor: Tensor) -> Tensor:
        """The same for a tensor on the device, without waiting for it."""
        if self.size > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    def wait(self) -> None:
        """Until all have come here."""
        if self.size > 1:
            dist.barrier()


def join_processes(device: torch.device) -> Processes:
    """Meet the other processes, as torchrun's environment says; alone where there is none."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Processes(device=device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Processes(rank=dist.get_rank(), size=size, device=device)


def shard(
    module: nn.Module,
    units: Sequence[nn.Module],
    processes: Processes,
    dtype_of: Callable[[nn.Module], torch.dtype],
) -> None:
    """Spread the weights over the processes (fully_shard): each keeps a part, and gathers what it computes.

    Args:
        units: what is gathered at once; inner ones before those that hold them.
        dtype_of: the type in which a unit computes; weights and sums of gradients stay in float32.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    # It warns of in-place changes to what a unit returns, which no module of khayal makes.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    mesh = init_device_mesh(processes.device.type, (processes.size,))
    for unit in (*units, module):
        dtype = dtype_of(unit)
        policy = MixedPrecisionPolicy(
            param_dtype=None if dtype == torch.float32 else dtype,
            reduce_dtype=torch.float32,
            cast_forward_inputs=False,
        )
        fully_shard(unit, mesh=mesh, mp_policy=policy)


def recompute(blocks: Iterable[nn.Module]) -> None:
    """Compute each block again in the backward pass, instead of keeping its activations."""
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def compile_blocks(blocks: Iterable[nn.Module]) -> None:
    """Compile each block by itself: equal blocks share one compilation."""
    for block in blocks:
        block.compile()
