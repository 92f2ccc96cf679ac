"""Multi-head attention with RMS-normed queries and keys, over all tokens of a video or over its text."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from khayal.model.rope import rotate


@functools.cache
def attention_dtype(device: str, dtype: torch.dtype) -> torch.dtype:
    """The type in which attention is fastest: a CPU without tiles multiplies bf16 slower than fp32."""
    if device == "cpu" and not torch.cpu._is_amx_tile_supported():
        return torch.float32
    return dtype


class Attention(nn.Module):
    """The projections of one attention layer; the norm runs across all heads, as in Wan.

    Names follow Wan's diffusers keys: `to_q`, `to_k`, `to_v`, `to_out.0`, `norm_q`, `norm_k`.
    """

    def __init__(self, width: int, num_heads: int, *, eps: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_q = nn.Linear(width, width)
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])
        self.norm_q = nn.RMSNorm(width, eps=eps)
        self.norm_k = nn.RMSNorm(width, eps=eps)

    def queries(self, x: Float[Tensor, "b m d"]) -> Float[Tensor, "b m k hd"]:
        """Normed queries, split into heads."""
        return self.norm_q(self.to_q(x)).unflatten(-1, (self.num_heads, -1))

    def keys_values(
        self, x: Float[Tensor, "b m d"]
    ) -> tuple[Float[Tensor, "b m k hd"], Float[Tensor, "b m k hd"]]:
        """Normed keys, and values, split into heads."""
        keys = self.norm_k(self.to_k(x)).unflatten(-1, (self.num_heads, -1))
        return keys, self.to_v(x).unflatten(-1, (self.num_heads, -1))

    def attend(
        self,
        queries: Float[Tensor, "b m k hd"],
        keys: Float[Tensor, "b l k hd"],
        values: Float[Tensor, "b l k hd"],
        bias: Float[Tensor, "b 1 1 l"] | None = None,
    ) -> Float[Tensor, "b m d"]:
        """Weigh the values and project them out. torch picks the kernel that the device has."""
        dtype = attention_dtype(values.device.type, values.dtype)
        q, k, v = (part.to(dtype).transpose(1, 2) for part in (queries, keys, values))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=None if bias is None else bias.to(dtype))
        out: Tensor = self.to_out[0](mixed.transpose(1, 2).flatten(2).to(values.dtype))
        return out

    def forward(
        self, x: Float[Tensor, "b m d"], rotation: Float[Tensor, "#b m half 2"]
    ) -> Float[Tensor, "b m d"]:
        """Self-attention over all tokens, each turned to its place in time and space."""
        keys, values = self.keys_values(x)
        return self.attend(rotate(self.queries(x), rotation), rotate(keys, rotation), values)
