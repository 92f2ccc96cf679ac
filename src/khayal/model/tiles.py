"""Spatial tiles with a halo: convolutions give the same frame on tiles as on the whole.

A tile is computed from a region that is wider by the receptive field of the layers (the halo), and only
its inside is kept, so tiles meet without a seam and without blending. At the frame's own border a tile has
no halo: there the layers pad as they would for the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Span:
    """A tile along one side: [start, stop) is kept, [low, high) is read."""

    start: int
    stop: int
    low: int
    high: int


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One tile of a frame, in pixels of the layers' input."""

    rows: Span
    columns: Span

    def cut(self, x: Float[Tensor, "*axes h w"]) -> Float[Tensor, "*axes th tw"]:
        """What the layers read: the tile and its halo."""
        return x[..., self.rows.low : self.rows.high, self.columns.low : self.columns.high]

    def paste(self, y: Float[Tensor, "*axes ty tx"], onto: Float[Tensor, "*axes y x"]) -> None:
        """Put the inside of the layers' output `y` at its place in the whole frame."""
        scale = y.shape[-2] // (self.rows.high - self.rows.low)
        r, c = self.rows, self.columns
        inside = y[
            ...,
            (r.start - r.low) * scale : (r.stop - r.low) * scale,
            (c.start - c.low) * scale : (c.stop - c.low) * scale,
        ]
        onto[..., r.start * scale : r.stop * scale, c.start * scale : c.stop * scale] = inside


def tiles_of(x: Float[Tensor, "*axes h w"], *, side: int, halo: int) -> list[Tile]:
    """Tiles of about `side` pixels that cover `x`, evenly, row by row."""
    return [
        Tile(rows=rows, columns=columns)
        for rows in _spans(x.shape[-2], side, halo)
        for columns in _spans(x.shape[-1], side, halo)
    ]


def _spans(length: int, side: int, halo: int) -> list[Span]:
    count = max(1, round(length / side))
    edges = [length * i // count for i in range(count + 1)]
    return [
        Span(start=start, stop=stop, low=max(0, start - halo), high=min(length, stop + halo))
        for start, stop in pairwise(edges)
    ]
