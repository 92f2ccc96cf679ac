"""Memory: estimated from the configs before anything is loaded, and saved where it is short.

Three ways of running, from most memory to least; all give the same frames:

- *high*: everything stays on the device, and both prompts of guidance go through in one call;
- *auto*'s middle way: one component at a time, each released when its work is done, one prompt a call;
- *low*: the text encoder stays on the CPU, the transformer's blocks stream in from CPU memory while the
  one before computes, and the decoder works on tiles.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import psutil
import torch

from khayal.errors import CapacityError, InputError
from khayal.footprint import decoder_bytes, num_parameters, transformer_bytes
from khayal.model.chunk_autoencoder import ChunkAutoencoderConfig
from khayal.model.text import UMT5EncoderConfig
from khayal.model.transformer import TransformerConfig
from khayal.model.wan_autoencoder import WanAutoencoderConfig

MODES = ("auto", "high", "low")
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


def estimate(parts: Parts, work: Work, residence: Residence) -> int:
    """Bytes on the device at the highest point of a run."""
    text = 0 if residence.text_on_cpu else num_parameters(parts.text) * parts.dtype.itemsize
    encoding = (
        0 if residence.text_on_cpu else work.text_length * parts.text.d_model * 16 * parts.dtype.itemsize
    )
    transformer = num_parameters(parts.transformer) * parts.dtype.itemsize
    if residence.streams_blocks:
        transformer = int(transformer * 2.5 / parts.transformer.num_layers)  # two slots, and the ends
    transformer *= parts.num_experts if residence.keeps_all else 1
    batch = 2 if work.is_guided and residence.is_batched else 1
    denoising = transformer_bytes(parts.transformer, (batch, *work.latents), parts.dtype)
    decoder = num_parameters(parts.autoencoder) * parts.autoencoder_dtype.itemsize
    decoding = decoder_bytes(parts.autoencoder, work.latents, parts.autoencoder_dtype, residence.tile)
    if residence.keeps_all:
        return int((text + transformer + decoder + max(encoding, denoising, decoding)) * ROOM_TO_SPARE)
    return int(max(text + encoding, transformer + denoising, decoder + decoding) * ROOM_TO_SPARE)


def available_bytes(device: torch.device) -> int:
    """Memory that this process could still take on the device."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + unused)
    return int(psutil.virtual_memory().available)


def choose(
    mode: str, parts: Parts, work: Work, device: torch.device, *, available: int | None = None
) -> Residence:
    """The way of running that `mode` names, or for auto the first that fits.

    Raises:
        InputError: for a mode that does not exist.
        CapacityError: where the least demanding of the permitted ways does not fit.
    """
    # Weights that are in CPU memory already need no streaming to a CPU; MPS shares its memory.
    if mode not in MODES:
        raise InputError(f"There is no memory mode “{mode}”", fix=f"take one of {', '.join(MODES)}")
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
