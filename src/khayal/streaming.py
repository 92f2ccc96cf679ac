"""Transformers larger than the device: blocks that live in CPU memory and visit it one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call

from khayal.model.transformer import SpacetimeTransformer


class StreamedBlocks:
    """Blocks that live in CPU memory and visit the device one after the other.

    While block i computes, the weights of block i+1 are copied into the other of two slots, on a stream
    of their own. The blocks must have the same shapes. Works on any device; only CUDA overlaps.

    Args:
        blocks: on the CPU. They are read, never changed.
        device: where they compute.
    """

    def __init__(self, blocks: nn.ModuleList, device: torch.device) -> None:
        self._blocks = list(blocks)
        self._device = device
        overlaps = device.type == "cuda"
        self._copying = torch.cuda.Stream(device) if overlaps else None
        self._weights = [dict(block.named_parameters()) for block in self._blocks]
        if overlaps:  # pageable memory would make every copy wait
            for weights in self._weights:
                for parameter in weights.values():
                    parameter.data = parameter.data.pin_memory()

    def __iter__(self) -> Iterator[Callable[..., Tensor]]:
        first = self._weights[0]  # the slots last for one pass, so that nothing stays on an idle device
        slots = [{name: torch.empty_like(p, device=self._device) for name, p in first.items()} for _ in "ab"]
        self._fetch(0, slots[0])
        for index, block in enumerate(self._blocks):
            if self._copying is not None:
                torch.cuda.current_stream(self._device).wait_stream(self._copying)
            if index + 1 < len(self._blocks):
                self._fetch(index + 1, slots[(index + 1) % 2])
            yield partial(_call_with, block, slots[index % 2])

    def _fetch(self, index: int, slot: dict[str, Tensor]) -> None:
        weights = self._weights[index]
        if self._copying is None:
            for name, parameter in weights.items():
                slot[name].copy_(parameter)
            return
        # The block that used this slot before has been queued already: wait for it, not for later ones.
        self._copying.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._copying):
            for name, parameter in weights.items():
                slot[name].copy_(parameter, non_blocking=True)


def _call_with(block: nn.Module, weights: dict[str, Tensor], *args: object) -> Tensor:
    out: Tensor = functional_call(block, weights, args)
    return out


def stream_blocks(transformer: SpacetimeTransformer, device: torch.device) -> SpacetimeTransformer:
    """Leave a transformer's blocks on the CPU, stream them when they are needed, and move the rest."""
    blocks = transformer.blocks
    assert isinstance(blocks, nn.ModuleList)
    del transformer.blocks
    transformer.to(device)
    transformer.blocks = StreamedBlocks(blocks, device)  # type: ignore[assignment]
    return transformer
