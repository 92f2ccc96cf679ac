"""The Fréchet distance between two sets of clips, in the features of the probe (Heusel et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """Mean and covariance of a set of features."""

    mean: Float[Tensor, "d"]
    covariance: Float[Tensor, "d d"]

    @classmethod
    def of(cls, features: Float[Tensor, "n d"]) -> Gaussian:
        """Measured in float64; at least two clips."""
        x = features.double()
        return cls(mean=x.mean(dim=0), covariance=torch.cov(x.T).reshape(x.shape[1], x.shape[1]))


def frechet(one: Gaussian, other: Gaussian) -> float:
    """|m1 − m2|² + tr(C1 + C2 − 2 (C1 C2)^½), arXiv:1706.08500.

    The trace of the root is the sum of the roots of the eigenvalues of C1^½ C2 C1^½, which is symmetric.
    """
    apart = (one.mean - other.mean).square().sum()
    root = _root(one.covariance)
    shared = torch.linalg.eigvalsh(root @ other.covariance @ root).clamp(min=0).sqrt().sum()
    total = apart + one.covariance.trace() + other.covariance.trace() - 2 * shared
    return max(0.0, float(total))


def _root(covariance: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def evened(features: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Features on a logarithmic scale, their signs kept.

    Raw ones have long tails: a few of them would be all that counts, and no Gaussian describes them.
    """
    return features.sign() * features.abs().log1p()


def between(one: Float[Tensor, "n d"], other: Float[Tensor, "m d"]) -> float:
    """The distance of two sets, as measured: too large by a term that falls like 1/n."""
    return frechet(Gaussian.of(one), Gaussian.of(other))


def extrapolated(
    one: Float[Tensor, "n d"], other: Float[Tensor, "n d"], *, num_sizes: int = 8, seed: int = 0
) -> float | None:
    """The distance at an infinite n, by a line through those of smaller sets over 1/n.

    Chong and Forsyth 2020, arXiv:1911.07023. None where there are too few clips for it.
    """
    count, width = min(len(one), len(other)), one.shape[1]
    if count < 2 * width:
        return None
    dice = torch.Generator().manual_seed(seed)
    sizes = torch.linspace(max(width, count // 4), count, num_sizes).long().tolist()
    distances = []
    for size in sizes:
        mine = torch.randperm(len(one), generator=dice)[:size]
        theirs = torch.randperm(len(other), generator=dice)[:size]
        distances.append(between(one[mine], other[theirs]))
    x = torch.stack((torch.ones(num_sizes), 1 / torch.tensor(sizes).float()), dim=1).double()
    line = torch.linalg.lstsq(x, torch.tensor(distances).double()[:, None]).solution
    return float(line[0, 0])
