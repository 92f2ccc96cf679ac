"""The spacetime diffusion transformer. With one shot and Wan's weights it is Wan.

Tokens stay in the shape `b t n d` from patch to patch: n tokens in each of t latent frames. What depends
on the noise level or on the shot is held once for each latent frame, and broadcast over its tokens.
Sources: DiT (arXiv:2212.09748) for the modulation, Wan (arXiv:2503.20314) for the block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int, Num
from torch import Tensor, nn

from khayal.model.attention import Attention
from khayal.model.rope import rotations


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The keys of `transformer/config.json` in a Wan folder, with their defaults.

    `rope_max_seq_len` bounds a table that khayal does not keep; `image_dim`, `added_kv_proj_dim` and
    `pos_embed_seq_len` belong to image-concatenation models and must be None.
    """

    patch_size: tuple[int, int, int] = (1, 2, 2)
    num_attention_heads: int = 40
    attention_head_dim: int = 128
    in_channels: int = 16
    out_channels: int | None = 16
    text_dim: int = 4096
    freq_dim: int = 256
    ffn_dim: int = 13824
    num_layers: int = 40
    cross_attn_norm: bool = True
    qk_norm: str | None = "rms_norm_across_heads"
    eps: float = 1e-6
    image_dim: int | None = None
    added_kv_proj_dim: int | None = None
    rope_max_seq_len: int = 1024
    pos_embed_seq_len: int | None = None

    @property
    def width(self) -> int:
        """d: channels of a token."""
        return self.num_attention_heads * self.attention_head_dim


@dataclass(frozen=True)
class Context:
    """What a run computes once: the text that each latent frame reads, and where every token stands.

    Attributes:
        text: embedded text, b s l d, its padding folded into few rows (`fold_padding`).
        text_bias: what the folded rows add to their attention scores, or None.
        shots: which of the s texts each latent frame reads.
        rotation: rotary angles of all tokens.
        grid: (rows, columns) of tokens in a latent frame.
        keys_values: for each block the text's keys and values, filled on first use, or None where memory
            is too short to keep them.
    """

    text: Float[Tensor, "b s l d"]
    text_bias: Float[Tensor, "b s l"] | None
    shots: Int[Tensor, "#b t"]
    rotation: Float[Tensor, "#b m half 2"]
    grid: tuple[int, int]
    keys_values: dict[int, tuple[Tensor, Tensor]] | None = field(default_factory=dict)


SHORT_TEXT = 64
"""Tokens of a text, padding and all, that is not worth folding."""


def fold_padding(
    text: Float[Tensor, "b s l e"],
) -> tuple[Float[Tensor, "b s k e"], Float[Tensor, "b s k"] | None]:
    """Replace the zero rows after each prompt by few, which weigh as much.

    Wan pads a prompt of 20 tokens to 512 with zeros and attends to all of them. Equal keys share one
    score, so m of them weigh as much as j with log(m / j) added to it: the same result from a twentieth
    of the work and memory. j is the number for which that bias rounds best in the text's own type. Short
    texts stay as they are: there is nothing to gain, and to look for their ends is to wait for the device.
    """
    length = text.shape[2]
    if length <= SHORT_TEXT:
        return text, None
    is_zero = ~text.any(-1)
    num_zero = is_zero.flip(-1).cumprod(-1).sum(-1)  # trailing zero rows of each prompt
    longest = length - int(num_zero.min())
    if length - longest <= 8:
        return text, None
    kept = min(range(1, 9), key=lambda j: _rounding_error(length - longest, j, text.dtype))
    rows = torch.arange(longest + kept, device=text.device)
    num_kept = num_zero - (length - longest) + kept
    bias = torch.where(rows >= length - num_zero[..., None], (num_zero / num_kept).log()[..., None], 0.0)
    return text[:, :, : longest + kept], bias


def _rounding_error(num_rows: int, num_kept: int, dtype: torch.dtype) -> float:
    bias = torch.tensor(num_rows / num_kept).log().to(dtype).double()
    return abs(float(bias.exp()) * num_kept / num_rows - 1)


class NoiseLevelEmbedding(nn.Module):
    """Sinusoids of the noise level through a two-layer perceptron."""

    def __init__(self, num_frequencies: int, width: int) -> None:
        super().__init__()
        self.num_frequencies = num_frequencies
        self.linear_1 = nn.Linear(num_frequencies, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, timesteps: Float[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        half = self.num_frequencies // 2
        exponents = -math.log(10_000) * torch.arange(half, device=timesteps.device, dtype=torch.float32)
        angles = timesteps.float()[..., None] * torch.exp(exponents / half)
        waves = torch.cat((angles.cos(), angles.sin()), dim=-1)
        out: Tensor = self.linear_2(F.silu(self.linear_1(waves.to(self.linear_1.weight.dtype))))
        return out


class TextEmbedding(nn.Module):
    """The text encoder's width → the transformer's."""

    def __init__(self, text_width: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(text_width, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, text: Float[Tensor, "b s l e"]) -> Float[Tensor, "b s l d"]:
        out: Tensor = self.linear_2(F.gelu(self.linear_1(text), approximate="tanh"))
        return out


class ConditionEmbedding(nn.Module):
    """Noise levels and text, brought to the width of the transformer."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.time_embedder = NoiseLevelEmbedding(config.freq_dim, config.width)
        self.time_proj = nn.Linear(config.width, 6 * config.width)
        self.text_embedder = TextEmbedding(config.text_dim, config.width)

    def forward(
        self, timesteps: Float[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b t 1 d"], Float[Tensor, "b t 6 d"]]:
        """The level's embedding, and the six modulation rows that all blocks share."""
        level = self.time_embedder(timesteps).to(self.time_proj.weight.dtype)
        rows = self.time_proj(F.silu(level)).unflatten(-1, (6, -1))
        return level[:, :, None].float(), rows.float()


class FeedForward(nn.Module):
    """Two layers with a tanh-approximated GELU between; keys as in Wan's diffusers folders."""

    def __init__(self, width: int, hidden_width: int) -> None:
        super().__init__()
        expand = nn.ModuleDict({"proj": nn.Linear(width, hidden_width)})
        self.net = nn.ModuleList([expand, nn.Identity(), nn.Linear(hidden_width, width)])

    def forward(self, x: Float[Tensor, "b m d"]) -> Float[Tensor, "b m d"]:
        expand, _, contract = self.net
        assert isinstance(expand, nn.ModuleDict)
        out: Tensor = contract(F.gelu(expand["proj"](x), approximate="tanh"))
        return out


def modulate(
    x: Float[Tensor, "b t n d"],
    shift: Float[Tensor, "b t 1 d"],
    scale: Float[Tensor, "b t 1 d"],
    eps: float,
) -> Float[Tensor, "b t n d"]:
    """A layer norm without weights of its own, scaled and shifted by the noise level, in float32."""
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=eps), 1 + scale)


class Block(nn.Module):
    """Self-attention over all of space and time, cross-attention to the text, feed-forward."""

    def __init__(self, config: TransformerConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.eps = config.eps
        width = config.width
        self.attn1 = Attention(width, config.num_attention_heads, eps=config.eps)
        self.attn2 = Attention(width, config.num_attention_heads, eps=config.eps)
        self.norm2 = nn.LayerNorm(width, eps=config.eps) if config.cross_attn_norm else nn.Identity()
        self.ffn = FeedForward(width, config.ffn_dim)
        self.scale_shift_table = nn.Parameter(torch.empty(1, 6, width).normal_(std=width**-0.5))

    def forward(
        self, x: Float[Tensor, "b t n d"], rows: Float[Tensor, "b t 6 d"], context: Context
    ) -> Float[Tensor, "b t n d"]:
        """x is the residual stream, kept in float32 whatever the weights are."""
        _, t, n, _ = x.shape
        weight_dtype = self.attn1.to_q.weight.dtype
        table = self.scale_shift_table.float() + rows
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = table[:, :, :, None].unbind(2)

        inside = modulate(x, shift, scale, self.eps).to(weight_dtype).flatten(1, 2)
        x = torch.addcmul(x, self.attn1(inside, context.rotation).unflatten(1, (t, n)).float(), gate)
        inside = self.norm2(x.to(self._norm2_dtype(x))).to(weight_dtype)
        x = x + self._read_text(inside, context).float()
        inside = modulate(x, ffn_shift, ffn_scale, self.eps).to(weight_dtype).flatten(1, 2)
        return torch.addcmul(x, self.ffn(inside).unflatten(1, (t, n)).float(), ffn_gate)

    def _norm2_dtype(self, x: Tensor) -> torch.dtype:
        return self.norm2.weight.dtype if isinstance(self.norm2, nn.LayerNorm) else x.dtype

    def _read_text(self, x: Float[Tensor, "b t n d"], context: Context) -> Float[Tensor, "b t n d"]:
        """Every token attends to the text of its own shot."""
        b, t, n, _ = x.shape
        keys, values = self._text_keys_values(context)
        bias = None if context.text_bias is None else context.text_bias[:, :, None, None]
        if keys.shape[1] == 1:  # one shot: all tokens of a sample in one call
            queries = self.attn2.queries(x.flatten(1, 2))
            bias = None if bias is None else bias[:, 0]
            return self.attn2.attend(queries, keys[:, 0], values[:, 0], bias).unflatten(1, (t, n))
        read = torch.arange(b, device=x.device)[:, None], context.shots
        queries = self.attn2.queries(x.flatten(0, 1))
        keys, values = (part[read].flatten(0, 1) for part in (keys, values))
        bias = None if bias is None else bias[read].flatten(0, 1)
        return self.attn2.attend(queries, keys, values, bias).unflatten(0, (b, t))

    def _text_keys_values(self, context: Context) -> tuple[Tensor, Tensor]:
        """Shapes b s l k hd. The text does not change over a run, so neither do these."""
        if context.keys_values is not None and self.index in context.keys_values:
            return context.keys_values[self.index]
        b, s = context.text.shape[:2]
        keys, values = self.attn2.keys_values(context.text.flatten(0, 1))
        pair = keys.unflatten(0, (b, s)), values.unflatten(0, (b, s))
        if context.keys_values is not None:
            context.keys_values[self.index] = pair
        return pair


class SpacetimeTransformer(nn.Module):
    """Predicts the velocity (noise − clean) of every latent frame from all of them, each at its own level."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.patch_embedding = nn.Conv3d(
            config.in_channels, width, kernel_size=config.patch_size, stride=config.patch_size
        )
        self.condition_embedder = ConditionEmbedding(config)
        self.blocks = nn.ModuleList(Block(config, index) for index in range(config.num_layers))
        out_channels = config.out_channels or config.in_channels
        self.proj_out = nn.Linear(width, out_channels * math.prod(config.patch_size))
        self.scale_shift_table = nn.Parameter(torch.empty(1, 2, width).normal_(std=width**-0.5))

    def prepare(
        self,
        text: Float[Tensor, "b s l e"],
        *,
        shots: Int[Tensor, "#b t"],
        positions: Num[Tensor, "#b t"],
        size: tuple[int, int],
        keep_text: bool = True,
    ) -> Context:
        """What stays the same over all steps of a run.

        Args:
            text: the encoded prompt of each shot.
            shots: which of the s prompts each latent frame reads.
            positions: where in time each latent frame stands.
            size: (h, w) of the latents.
            keep_text: keep every block's keys and values of the text, or compute them in each step.
        """
        _, rows, columns = self.config.patch_size
        grid = size[0] // rows, size[1] // columns
        weight = self.condition_embedder.text_embedder.linear_1.weight
        rotation = rotations(positions, grid, self.config.attention_head_dim, device=weight.device)
        text, text_bias = fold_padding(text.to(weight.device, weight.dtype))
        return Context(
            text=self.condition_embedder.text_embedder(text),
            text_bias=text_bias,
            shots=shots.to(weight.device),
            rotation=rotation.flatten(1, 2),
            grid=grid,
            keys_values={} if keep_text else None,
        )

    def forward(
        self,
        latents: Float[Tensor, "b c t h w"],
        timesteps: Float[Tensor, "#b t"],
        context: Context,
    ) -> Float[Tensor, "b c t h w"]:
        """The velocity of all latent frames.

        Args:
            latents: each frame noised to its own level.
            timesteps: that level as Wan counts it: sigma × 1000.
            context: from `prepare`.
        """
        x = self.embed(latents)
        level, rows = self.condition_embedder(timesteps.expand(x.shape[0], -1))
        for block in self.blocks:
            x = block(x, rows, context)
        return self.unembed(x, level, context.grid)

    def embed(self, latents: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b t n d"]:
        """Cut the latents into patches, one token each."""
        patches = self.patch_embedding(latents.to(self.patch_embedding.weight.dtype))
        return rearrange(patches, "b d t rows columns -> b t (rows columns) d").float().contiguous()

    def unembed(
        self, x: Float[Tensor, "b t n d"], level: Float[Tensor, "b t 1 d"], grid: tuple[int, int]
    ) -> Float[Tensor, "b c t h w"]:
        """Tokens → velocities in the layout of the latents, in float32."""
        shift, scale = (self.scale_shift_table.float() + level)[:, :, :, None].unbind(2)
        x = self.proj_out(modulate(x, shift, scale, self.config.eps).to(self.proj_out.weight.dtype))
        pt, ph, pw = self.config.patch_size
        return rearrange(
            x.float(),
            "b t (rows columns) (pt ph pw c) -> b c (t pt) (rows ph) (columns pw)",
            rows=grid[0],
            columns=grid[1],
            pt=pt,
            ph=ph,
            pw=pw,
        )
