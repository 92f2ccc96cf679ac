"""What a model will take, found by running it on the meta device: every shape, not one number computed."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakIdKeyDictionary

from khayal.model.autoencoder import Autoencoder
from khayal.model.chunk_autoencoder import ChunkAutoencoder, ChunkAutoencoderConfig
from khayal.model.skeleton import without_weights
from khayal.model.text import UMT5Encoder, UMT5EncoderConfig
from khayal.model.transformer import Context, SpacetimeTransformer, TransformerConfig
from khayal.model.wan_autoencoder import WanAutoencoder, WanAutoencoderConfig

_MODULES: Mapping[type, Callable[..., nn.Module]] = {
    UMT5EncoderConfig: UMT5Encoder,
    TransformerConfig: SpacetimeTransformer,
    WanAutoencoderConfig: WanAutoencoder,
    ChunkAutoencoderConfig: ChunkAutoencoder,
}
_PROMPT_TOKENS = 128
"""A long prompt after its padding is folded; short beside the tokens of a video."""


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors made inside that are still alive on the meta device.

    What is moved from there to the CPU is no longer counted; it stays a meta tensor all the same.

    Attributes:
        now: bytes alive.
        peak: the most that ever were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen = WeakIdKeyDictionary()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        leaves = func is torch.ops.aten._to_copy.default and kwargs.get("device") == torch.device("cpu")
        made = func(*args, **{**kwargs, "device": torch.device("meta")}) if leaves else func(*args, **kwargs)
        tree_map_only(Tensor, self._ignore if leaves else self._see, made)
        return made

    def _ignore(self, tensor: Tensor) -> None:
        self._seen[tensor.untyped_storage()] = 0

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return
        size = storage.nbytes()
        self._seen[storage] = size
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, size)

    def _forget(self, size: int) -> None:
        self.now -= size


@cache
def num_parameters(config: object) -> int:
    """Of the module that a config describes."""
    return sum(parameter.numel() for parameter in _on_meta(config, torch.float32).parameters())


@cache
def transformer_bytes(
    config: TransformerConfig, latents: tuple[int, int, int, int], dtype: torch.dtype
) -> int:
    """Activations of one step at their highest, and the text that is kept over a run.

    Args:
        latents: (b, t, h, w).
        dtype: of the weights.
    """
    b, t, h, w = latents
    _, rows, columns = config.patch_size
    tokens = t * (h // rows) * (w // columns)
    transformer = _on_meta(replace(config, num_layers=2), dtype)  # every block has the same shapes
    # In inference mode attention stays one operation, as on a GPU: no matrix of all tokens by all.
    with torch.device("meta"), torch.inference_mode(), LiveBytes() as live:
        context = Context(
            text=torch.empty(b, 1, _PROMPT_TOKENS, config.width, dtype=dtype),
            text_bias=torch.empty(b, 1, _PROMPT_TOKENS),
            shots=torch.empty(1, t, dtype=torch.long),
            rotation=torch.empty(1, tokens, config.attention_head_dim // 2, 2),
            grid=(h // rows, w // columns),
        )
        transformer(torch.empty(b, config.in_channels, t, h, w), torch.empty(1, t), context)
    text = 2 * b * _PROMPT_TOKENS * config.width * dtype.itemsize
    return live.peak + text * (config.num_layers - 2)


@cache
def decoder_bytes(
    config: WanAutoencoderConfig | ChunkAutoencoderConfig,
    latents: tuple[int, int, int],
    dtype: torch.dtype,
    tile: int | None = None,
) -> int:
    """Activations at their highest while latents (t, h, w) are decoded as a stream."""
    t, h, w = latents
    autoencoder = _on_meta(config, dtype)
    assert isinstance(autoencoder, Autoencoder)
    few_latents = 3 if autoencoder.is_causal else 9  # after these every step is like the one before
    few = torch.empty(1, autoencoder.latent_channels, min(t, few_latents), h, w, dtype=dtype, device="meta")
    # Without inference mode a move between devices shows as a copy, which LiveBytes knows.
    with torch.device("meta"), torch.no_grad(), LiveBytes() as live:
        for _ in autoencoder.stream(few, tile=tile):
            pass
    return live.peak


def _on_meta(config: object, dtype: torch.dtype) -> nn.Module:
    with without_weights():
        return _MODULES[type(config)](config).to(dtype).eval()
