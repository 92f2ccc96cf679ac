"""Memory: estimated from the configs before anything is loaded, and saved where it is short.

Ways of running, from most memory to least; all give the same frames:

- *high*: everything stays on the device, and both prompts of guidance go through in one call;
- *auto*'s middle way: one component at a time, each released when its work is done, one prompt a call,
  and the decoder on tiles where that is needed;
- *low*: the text encoder stays on the CPU, the transformer's blocks stream in from CPU memory while the
  one before computes, and the decoder works on tiles.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
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
GB = 10**9
ROOM_TO_SPARE = 1.15  # allocators round up and keep gaps
PLENTY = 2**20
"""Bytes for each latent of a canvas: khayal's own model takes 24 to 93 kB. Wan's autoencoders take 3 MB for
each of a few latents, which is little beside their weights."""
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
        """What the user is told."""
        if self.keeps_all:
            return "everything stays on the device"
        parts = ["one component at a time"]
        parts += ["blocks streamed from CPU memory"] * self.streams_blocks
        parts += ["decoding on tiles"] * (self.tile is not None)
        return ", ".join(parts)


HIGH = Residence()
MIDDLE = Residence(keeps_all=False, is_batched=False)
TILED = replace(MIDDLE, tile=TILE)
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


def ceiling(parts: Parts, work: Work) -> int:
    """More than `estimate` says of a run that keeps everything, and known at once.

    What that measures on the meta device goes through PyTorch's compiler, whose import alone takes a second.
    """
    modules = ((parts.text, 1), (parts.transformer, parts.num_experts), (parts.autoencoder, 1))
    weights = 4 * sum(num_parameters(config) * count for config, count in modules)
    return 2 * weights + PLENTY * math.prod(work.latents)


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

    Args:
        mode: auto, high or low.
        available: bytes that may be taken on the device; None asks it.

    Raises:
        InputError: for a mode that does not exist.
        CapacityError: where the least demanding of the permitted ways does not fit.
    """
    check_mode(mode)
    # Weights that are in CPU memory already need no streaming to a CPU; MPS shares its memory.
    low = LOW if device.type == "cuda" else TILED
    ways = {"high": [HIGH], "low": [low], "auto": [HIGH, MIDDLE, TILED, low]}[mode]
    free = available_bytes(device) if available is None else available
    needed = ceiling(parts, work)
    if ways[0] is HIGH and needed <= free:
        return replace(HIGH, needed=needed)
    for way in ways:
        try:
            needed = estimate(parts, work, way)
        except RuntimeError as error:  # shapes beyond what torch can count
            raise CapacityError(
                "There is not enough memory for this video",
                why="no device could hold it",
                fix="make it smaller or shorter (--size, --seconds)",
            ) from error
        if needed <= free:
            _check_host(parts, way)
            return replace(way, needed=needed)
    raise CapacityError(
        "There is not enough memory for this video",
        why=f"it needs about {needed / GB:.1f} GB on {device.type} and {free / GB:.1f} GB are free",
        fix=(
            "use --memory auto"
            if mode == "high"
            else "make it smaller or shorter (--size, --seconds), or close other programs"
        ),
    )


def check_mode(mode: str) -> None:
    """Refuse a mode that does not exist."""
    if mode not in MODES:
        raise InputError(f"There is no memory mode “{mode}”", fix=f"take one of {', '.join(MODES)}")


def _check_host(parts: Parts, way: Residence) -> None:
    """What leaves the device has to fit beside it."""
    size = parts.dtype.itemsize
    needed = num_parameters(parts.text) * size * way.text_on_cpu
    needed += num_parameters(parts.transformer) * size * parts.num_experts * way.streams_blocks
    free = available_bytes(torch.device("cpu"))
    if needed > free:
        raise CapacityError(
            "There is not enough CPU memory to keep the model beside the device",
            why=f"it needs about {needed / GB:.1f} GB and {free / GB:.1f} GB are free",
            fix="close other programs, or use a smaller model",
        )


@contextmanager
def clear_shortage() -> Iterator[None]:
    """Where memory runs out after all, say so in one sentence."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        is_shortage = not isinstance(error, RuntimeError) or isinstance(error, torch.OutOfMemoryError)
        if not is_shortage and "can't allocate memory" not in str(error):
            raise
        raise CapacityError(
            "The memory ran out while the video was made",
            why=str(error).splitlines()[0].rstrip(".") if str(error) else "",
            fix="use --memory low, make it smaller or shorter, or close other programs",
        ) from error
