"""The loaded parts of a checkpoint: made when they are needed, kept or released as memory allows."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import psutil
import torch
from torch import nn

from khayal.memory import Residence
from khayal.streaming import stream_blocks

if TYPE_CHECKING:
    from khayal.checkpoint.folder import Checkpoint
    from khayal.model.autoencoder import Autoencoder
    from khayal.model.text import UMT5Encoder
    from khayal.model.transformer import SpacetimeTransformer


def pick_device(name: str) -> torch.device:
    """The device called `name`; auto takes CUDA, then MPS, then the CPU."""
    if name != "auto":
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps") or (device.type == "cpu" and device.index):
            raise RuntimeError("khayal runs on cpu, cuda and mps")
        return device
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def has_native_bf16(device: torch.device) -> bool:
    """True where the device multiplies bf16 in hardware; elsewhere it would be slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return True


class Components:
    """The text encoder, the transformer and the autoencoder of one checkpoint.

    With a residence that keeps all, each is loaded once. Otherwise one is on the device at a time: asking
    for a part sends the others away, to CPU memory where there is room, else back to the disk.

    Args:
        checkpoint: where they are loaded from.
        device: where they work.
        dtype: of the transformer and the text encoder.
        autoencoder_dtype: of the autoencoder.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: torch.device,
        dtype: torch.dtype,
        autoencoder_dtype: torch.dtype,
    ) -> None:
        self.checkpoint, self.device = checkpoint, device
        self.dtype, self.autoencoder_dtype = dtype, autoencoder_dtype
        self.residence = Residence()
        self._parts: dict[str, nn.Module] = {}
        self._users: Counter[int] = Counter()

    def settle(self, residence: Residence) -> None:
        """Follow another residence from now on."""
        if residence.streams_blocks != self.residence.streams_blocks:
            self._parts = {name: part for name, part in self._parts.items() if "transformer" not in name}
        self.residence = residence

    def text_encoder(self) -> UMT5Encoder:
        """On the device, or on the CPU where the residence says so."""
        device = torch.device("cpu") if self.residence.text_on_cpu else self.device
        load = self.checkpoint.load_text_encoder
        return cast("UMT5Encoder", self._get("text_encoder", lambda: load(device, self.dtype), device))

    def transformer(self, expert: int = 0) -> SpacetimeTransformer:
        """One of the experts, ready to compute; its blocks may be streaming in."""
        load, streams = self.checkpoint.load_transformer, self.residence.streams_blocks

        def make() -> nn.Module:
            if streams:
                cpu = torch.device("cpu")
                return stream_blocks(load(cpu, self.dtype, expert=expert), self.device)
            return load(self.device, self.dtype, expert=expert)

        return cast("SpacetimeTransformer", self._get(f"transformer {expert}", make, self.device))

    def autoencoder(self) -> Autoencoder:
        """On the device."""

        def make() -> nn.Module:
            return cast(nn.Module, self.checkpoint.load_autoencoder(self.device, self.autoencoder_dtype))

        return cast("Autoencoder", self._get("autoencoder", make, self.device))

    @contextmanager
    def in_use(self, part: object) -> Iterator[None]:
        """While a stream of frames is open, what it decodes with stays where it is."""
        self._users[id(part)] += 1
        try:
            yield
        finally:
            self._users[id(part)] -= 1

    def held_bytes(self) -> int:
        """What the loaded parts take on the device, which another run may use again."""
        tensors = (p for part in self._parts.values() for p in part.parameters())
        return sum(p.numel() * p.element_size() for p in tensors if p.device.type == self.device.type)

    def _get(self, name: str, make: Callable[[], nn.Module], device: torch.device) -> nn.Module:
        if not self.residence.keeps_all:
            for other in [other for other in self._parts if other != name]:
                self._send_away(other)
        if name not in self._parts:
            self._parts[name] = make().eval().requires_grad_(False)
        else:
            self._parts[name].to(device)  # of a streamed transformer, what is not a block
        return self._parts[name]

    def _send_away(self, name: str) -> None:
        """Free the device: to CPU memory where there is room, else back to the disk."""
        part = self._parts[name]
        if self._users[id(part)]:
            return
        size = sum(p.numel() * p.element_size() for p in part.parameters())
        if self.device.type != "cpu" and size < psutil.virtual_memory().available / 2:
            part.to("cpu")
        else:
            del self._parts[name]
        del part
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
