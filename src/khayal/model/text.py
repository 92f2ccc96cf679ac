"""A UMT5 encoder: the text model of the Wan checkpoints, and of khayal's own in a smaller size.

UMT5 (Chung et al. 2023, https://arxiv.org/abs/2304.09151) is T5 1.1 with a table of relative positions in
every layer instead of one for all. Attribute names follow the weights' names in the files.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from khayal.errors import CheckpointError

NEIGHBOURS = (-1, 1, -2, 2)
"""Whom heads that read neighbours look at, in turn: how many places on."""
NEIGHBOUR_BIAS = 5.0
"""At first, what is added to the score of a neighbour: of fifteen tokens it then gets nine tenths."""


@dataclass(frozen=True, kw_only=True)
class UMT5EncoderConfig:
    """The shape of the encoder; names and defaults are those of a UMT5 `config.json`.

    Attributes:
        d_model: width of the text tokens that come out.
        d_kv: width of one attention head; heads × d_kv need not be d_model.
        relative_attention_num_buckets: distances told apart, half of them to each side.
        relative_attention_max_distance: tokens beyond which all distances are one.

    Raises:
        CheckpointError: for a feed-forward layer other than UMT5's own.
    """

    vocab_size: int = 250112
    d_model: int = 512
    d_kv: int = 64
    d_ff: int = 1024
    num_layers: int = 8
    num_heads: int = 6
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6
    feed_forward_proj: str = "gated-gelu"

    def __post_init__(self) -> None:
        if self.feed_forward_proj != "gated-gelu":
            raise CheckpointError(
                f"The text encoder's feed_forward_proj is “{self.feed_forward_proj}”",
                why="khayal computes “gated-gelu” only",
                fix="use a UMT5 or T5 1.1 encoder",
            )


class SelfAttention(nn.Module):
    """Attention of all tokens to all, with a learned bias for each distance and head, without scaling."""

    def __init__(self, config: UMT5EncoderConfig) -> None:
        super().__init__()
        inner = config.num_heads * config.d_kv
        self.num_heads = config.num_heads
        self.q = nn.Linear(config.d_model, inner, bias=False)
        self.k = nn.Linear(config.d_model, inner, bias=False)
        self.v = nn.Linear(config.d_model, inner, bias=False)
        self.o = nn.Linear(inner, config.d_model, bias=False)
        self.relative_attention_bias = nn.Embedding(config.relative_attention_num_buckets, config.num_heads)

    def forward(
        self, x: Float[Tensor, "b l d"], buckets: Int[Tensor, "l l"], is_token: Bool[Tensor, "b l"] | None
    ) -> Float[Tensor, "b l d"]:
        """`is_token` is None where every position is a token of its prompt."""
        q, k, v = (
            rearrange(p(x), "b l (h d) -> b h l d", h=self.num_heads) for p in (self.q, self.k, self.v)
        )
        bias = rearrange(self.relative_attention_bias(buckets), "q k h -> 1 h q k")
        if is_token is not None:
            bias = bias.masked_fill(~is_token[:, None, None, :], torch.finfo(bias.dtype).min)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        return self.o(rearrange(attended, "b h l d -> b l (h d)"))


class FeedForward(nn.Module):
    """Two projections, one of them through a tanh-GELU as the gate of the other."""

    def __init__(self, config: UMT5EncoderConfig) -> None:
        super().__init__()
        self.wi_0 = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wi_1 = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)

    def forward(self, x: Float[Tensor, "b l d"]) -> Float[Tensor, "b l d"]:
        return self.wo(F.gelu(self.wi_0(x), approximate="tanh") * self.wi_1(x))


class AttentionLayer(nn.Module):
    """Norm, attention, residual."""

    def __init__(self, config: UMT5EncoderConfig) -> None:
        super().__init__()
        self.SelfAttention = SelfAttention(config)
        self.layer_norm = nn.RMSNorm(config.d_model, eps=config.layer_norm_epsilon)

    def forward(
        self, x: Float[Tensor, "b l d"], buckets: Int[Tensor, "l l"], is_token: Bool[Tensor, "b l"] | None
    ) -> Float[Tensor, "b l d"]:
        return x + self.SelfAttention(self.layer_norm(x), buckets, is_token)


class FeedForwardLayer(nn.Module):
    """Norm, feed-forward, residual."""

    def __init__(self, config: UMT5EncoderConfig) -> None:
        super().__init__()
        self.DenseReluDense = FeedForward(config)
        self.layer_norm = nn.RMSNorm(config.d_model, eps=config.layer_norm_epsilon)

    def forward(self, x: Float[Tensor, "b l d"]) -> Float[Tensor, "b l d"]:
        return x + self.DenseReluDense(self.layer_norm(x))


class TextBlock(nn.Module):
    """One layer of the encoder."""

    def __init__(self, config: UMT5EncoderConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList([AttentionLayer(config), FeedForwardLayer(config)])

    def forward(
        self, x: Float[Tensor, "b l d"], buckets: Int[Tensor, "l l"], is_token: Bool[Tensor, "b l"] | None
    ) -> Float[Tensor, "b l d"]:
        attention, feed_forward = self.layer
        return feed_forward(attention(x, buckets, is_token))


class TextStack(nn.Module):
    """The blocks and the norm after them."""

    def __init__(self, config: UMT5EncoderConfig) -> None:
        super().__init__()
        self.block = nn.ModuleList(TextBlock(config) for _ in range(config.num_layers))
        self.final_layer_norm = nn.RMSNorm(config.d_model, eps=config.layer_norm_epsilon)


class UMT5Encoder(nn.Module):
    """Token numbers in, one vector for each token out.

    Runs in float32 and bfloat16; the norms compute in float32. Not in float16: activations of UMT5-XXL go
    past its range.
    """

    def __init__(self, config: UMT5EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder = TextStack(config)

    def forward(self, token_ids: Int[Tensor, "b l"], is_token: Bool[Tensor, "b l"]) -> Float[Tensor, "b l d"]:
        """Encode a batch of prompts.

        Only the columns up to the end of the longest prompt are computed, which changes nothing: positions
        are relative, and padding is masked out as a key.

        Args:
            token_ids: each prompt's tokens, then padding.
            is_token: True where a position is a token of its prompt, False on padding.

        Returns:
            The encoded tokens, zero on padding, as the Wan transformers were trained to read them.
        """
        used = int(is_token.any(dim=0).nonzero().max()) + 1 if is_token.any() else 0
        ids, mask = token_ids[:, :used], is_token[:, :used]
        x = self.shared(ids)
        buckets = relative_buckets(used, self.config, device=x.device)
        keys = None if bool(mask.all()) else mask
        for block in self.encoder.block:
            x = block(x, buckets, keys)
        x = self.encoder.final_layer_norm(x)
        x = x.masked_fill(~mask[..., None], 0)
        return F.pad(x, (0, 0, 0, token_ids.shape[1] - used))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Draw fresh weights with T5's scales, for training from scratch (Raffel et al. 2020, section 3)."""
        config = self.config
        fan_in = config.d_model**-0.5
        scales = {
            "shared": 1.0,
            "q": (config.d_model * config.d_kv) ** -0.5,
            "o": (config.num_heads * config.d_kv) ** -0.5,
            "wo": config.d_ff**-0.5,
        }
        for name, parameter in self.named_parameters():
            if "layer_norm" in name:
                parameter.fill_(1)
            else:
                parameter.normal_(0, scales.get(name.split(".")[-2], fan_in), generator=generator)

    @torch.no_grad()
    def read_neighbours(self) -> None:
        """Have four heads of each layer begin by reading a neighbour, since what belongs to a word is there.

        From biases of no size that is learned late, or never where the logits grow large before: then an
        encoder tells what a caption names, and not which word goes with which.
        """
        for name, parameter in self.named_parameters():
            if "relative_attention_bias" in name:
                self._look_beside(parameter, range(min(4, parameter.shape[1])))

    @torch.no_grad()
    def with_more_heads(self, num: int, generator: torch.Generator | None = None) -> UMT5Encoder:
        """The same encoder with room to learn: in each layer more heads, which read a neighbour each.

        At first they say nothing, so the same text comes out.

        Args:
            num: heads for each layer.
        """
        before = self.config.num_heads
        wider = UMT5Encoder(replace(self.config, num_heads=before + num))
        wider.initialise(generator)
        for (name, given), parameter in zip(self.named_parameters(), wider.parameters(), strict=True):
            if name.endswith(".o.weight"):
                parameter.zero_()
            if "relative_attention_bias" in name:
                parameter.zero_()
                self._look_beside(parameter, range(before, before + num))
            parameter[tuple(slice(side) for side in given.shape)] = given
        return wider

    def _look_beside(self, bias: Float[Tensor, "buckets h"], heads: Sequence[int]) -> None:
        """Have heads look at the token before, the one after, the second before, the second after."""
        after = self.config.relative_attention_num_buckets // 2
        for head, step in zip(heads, itertools.cycle(NEIGHBOURS)):
            bias[abs(step) + after * (step > 0), head] = NEIGHBOUR_BIAS


def relative_buckets(
    length: int, config: UMT5EncoderConfig, *, device: torch.device | None = None
) -> Int[Tensor, "l l"]:
    """The row of the bias table for each (query, key): exact for near keys, logarithmic for far ones.

    Half of the rows are for keys behind the query; the sides are told apart by the upper half's offset.
    """
    side = config.relative_attention_num_buckets // 2
    exact = side // 2
    places = torch.arange(length, device=device)
    offset = places[None, :] - places[:, None]
    distance = offset.abs()
    steps = math.log(config.relative_attention_max_distance / exact)
    # The order of operations, and the truncation, decide which bucket a distance on an edge falls into.
    far = torch.log(distance.clamp(min=exact).float() / exact) / steps * (side - exact)
    far = (exact + far.long()).clamp(max=side - 1)
    return torch.where(distance < exact, distance, far) + side * (offset > 0)
