"""Memory: estimated from the configs before anything is loaded, and saved where it is short.

Three ways of running, from most memory to least; all give the same frames:

- *high*: everything stays on the device, and both prompts of guidance go through in one call;
- *auto*'s middle way: one component at a time, each released when its work is done, one prompt a call;
- *low*: the text encoder stays on the CPU, the transformer's blocks stream in from CPU memory while the
  one before computes, and the decoder works on tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Literal

import psutil
import torch
from torch import Tensor, nn
from torch.func import functional_call

from khayal.errors import CapacityError
from khayal.model.chunk_autoencoder import ChunkAutoencoder, ChunkAutoencoderConfig
from khayal.model.text import UMT5Encoder, UMT5EncoderConfig
from khayal.model.transformer import SpacetimeTransformer, TransformerConfig
from khayal.model.wan_autoencoder import WanAutoencoder, WanAutoencoderConfig

Mode = Literal["auto", "high", "low"]
GIB = 2**30
ROOM_TO_SPARE = 1.15  # allocators round up and keep gaps
TILE = 20
"""Latents along the side of a decoder tile in low mode: 320 pixels of TI2V-5B."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """The shapes of one run.

    Attributes:
        latents: (t, h, w) of the largest canvas.
        text_length: tokens of a prompt at most.
        is_guided: True where every step asks for two prompts.
    """

    latents: tuple[int, int, int]
    text_length: int = 512
    is_guided: bool = True


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The configs and types of a checkpoint's components; `num_experts` transformers share one config."""

    text: UMT5EncoderConfig
    transformer: TransformerConfig
    autoencoder: WanAutoencoderConfig | ChunkAutoencoderConfig
    dtype: torch.dtype
    autoencoder_dtype: torch.dtype
    num_experts: int = 1


@dataclass(frozen=True, kw_only=True)
class Residence:
    """Where the components live during a run.

    Attributes:
        keeps_all: True where components stay on the device after their work.
        text_on_cpu: the text encoder runs where memory is plenty.
        streams_blocks: the transformer's blocks come from CPU memory, one ahead of the compute.
        is_batched: both prompts of guidance in one call.
        tile: side of the decoder's tiles in latents, or None.
        needed: estimated bytes at the highest point, on the device.
    """

    keeps_all: bool = True
    text_on_cpu: bool = False
    streams_blocks: bool = False
    is_batched: bool = True
    tile: int | None = None
    needed: int = 0

    @property
    def name(self) -> str:
        """A word for each of the three ways."""
        if self.keeps_all:
            return "high"
        return "low" if self.tile is not None else "one component at a time"


HIGH = Residence()
MIDDLE = Residence(keeps_all=False, is_batched=False)
LOW = Residence(keeps_all=False, is_batched=False, text_on_cpu=True, streams_blocks=True, tile=TILE)


@cache
def num_parameters(config: object) -> int:
    """Counted on the meta device, without memory for a single weight."""
    kinds: dict[type, Callable[..., nn.Module]] = {
        UMT5EncoderConfig: UMT5Encoder,
        TransformerConfig: SpacetimeTransformer,
        WanAutoencoderConfig: WanAutoencoder,
        ChunkAutoencoderConfig: ChunkAutoencoder,
    }
    with torch.device("meta"):
        return sum(p.numel() for p in kinds[type(config)](config).parameters())


def estimate(parts: Parts, work: Work, residence: Residence) -> int:
    """Bytes on the device at the highest point of a run."""
    size, decoder_size = parts.dtype.itemsize, parts.autoencoder_dtype.itemsize
    text = 0 if residence.text_on_cpu else num_parameters(parts.text) * size
    transformer = num_parameters(parts.transformer) * size
    if residence.streams_blocks:
        transformer = int(transformer * 2.5 / parts.transformer.num_layers)  # two slots, and the ends
    transformer *= parts.num_experts if residence.keeps_all else 1
    decoder = num_parameters(parts.autoencoder) * decoder_size
    encoding = work.text_length * parts.text.d_model * 16 * size
    denoising = _denoising_bytes(parts, work, residence)
    decoding = _decoding_bytes(parts, work, residence)
    if residence.keeps_all:
        return int((text + transformer + decoder + max(encoding, denoising, decoding)) * ROOM_TO_SPARE)
    return int(max(text + encoding, transformer + denoising, decoder + decoding) * ROOM_TO_SPARE)


def _denoising_bytes(parts: Parts, work: Work, residence: Residence) -> int:
    """The residual stream in fp32, and the widest moment of a block: attention or feed-forward."""
    config, size = parts.transformer, parts.dtype.itemsize
    t, h, w = work.latents
    _, rows, columns = config.patch_size
    prompts = 2 if work.is_guided and residence.is_batched else 1
    tokens = prompts * t * (h // rows) * (w // columns)
    residual = 3 * 4 * config.width  # the stream, its normed copy, the modulated one
    attention = (2 * 4 + 6 * size) * config.width  # queries and keys in fp32 while they turn, then all
    feed_forward = 2 * size * config.ffn_dim
    kept_text = 2 * 2 * 64 * config.width * size * config.num_layers
    return tokens * (residual + max(attention, feed_forward)) + kept_text


def _decoding_bytes(parts: Parts, work: Work, residence: Residence) -> int:
    """Activations of one latent's frames at full resolution, and the frames that causal layers remember."""
    config, size = parts.autoencoder, parts.autoencoder_dtype.itemsize
    _, h, w = work.latents
    tile = residence.tile or max(h, w)
    inside = min(h, tile) * min(w, tile)
    if isinstance(config, ChunkAutoencoderConfig):
        pixels = 16 * 16 * 4
        return h * w * pixels * 3 * size + inside * pixels * 8 * size
    scale = 2 ** (len(config.dim_mult) - 1)
    base = config.decoder_base_dim or config.base_dim
    frames = 2 ** sum(config.temperal_downsample)
    num_convolutions = 2 * (config.num_res_blocks + 1)
    widest = base * config.dim_mult[0] + (base * config.dim_mult[1] if len(config.dim_mult) > 1 else 0)
    activations = inside * scale**2 * widest * (frames + 2) * 3 * size
    remembered = h * w * scale**2 * widest * 2 * num_convolutions * size
    return activations + remembered


def available_bytes(device: torch.device) -> int:
    """Memory that this process could still take on the device."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + unused)
    return int(psutil.virtual_memory().available)


def choose(
    mode: Mode, parts: Parts, work: Work, device: torch.device, *, available: int | None = None
) -> Residence:
    """The way of running that `mode` names, or for auto the first that fits.

    Raises:
        CapacityError: where the least demanding of the permitted ways does not fit.
    """
    # Weights that are in CPU memory already need no streaming to a CPU; MPS shares its memory.
    low = LOW if device.type == "cuda" else replace(LOW, streams_blocks=False, text_on_cpu=False)
    ways = {"high": [HIGH], "low": [low], "auto": [HIGH, MIDDLE, low]}[mode]
    free = available_bytes(device) if available is None else available
    for way in ways:
        needed = estimate(parts, work, way)
        if needed <= free:
            return replace(way, needed=needed)
    raise CapacityError(
        "There is not enough memory for this video",
        why=f"it needs about {needed / GIB:.1f} GB on {device.type} and {free / GIB:.1f} GB are free",
        fix=(
            "use --memory auto"
            if mode == "high"
            else "make it smaller or shorter (--size, --seconds), or close other programs"
        ),
    )


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
        first = self._weights[0]
        self._slots = [{name: torch.empty_like(p, device=device) for name, p in first.items()} for _ in "ab"]

    def __iter__(self) -> Iterator[Callable[..., Tensor]]:
        self._fetch(0)
        for index, block in enumerate(self._blocks):
            if self._copying is not None:
                torch.cuda.current_stream(self._device).wait_stream(self._copying)
            if index + 1 < len(self._blocks):
                self._fetch(index + 1)
            yield partial(_call_with, block, self._slots[index % 2])

    def _fetch(self, index: int) -> None:
        slot, weights = self._slots[index % 2], self._weights[index]
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
