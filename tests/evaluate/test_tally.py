"""Shares, their intervals, and the Fréchet distance, against numbers that are known."""

import pytest
import torch

from khayal.evaluate.frechet import Gaussian, between, evened, extrapolated, frechet
from khayal.evaluate.tally import Tally, wilson


def test_wilson_intervals() -> None:
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(480, 512) == pytest.approx((0.9131, 0.9554), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_tally_says_nothing_of_what_was_not_asked() -> None:
    assert Tally.of([]).to_json() == {"right": 0, "asked": 0}
    assert Tally.of([True, False, True, True]).to_json()["share"] == 0.75


def test_the_distance_of_two_gaussians_in_closed_form() -> None:
    one = Gaussian(
        mean=torch.zeros(3).double(), covariance=torch.diag(torch.tensor([1.0, 4.0, 9.0])).double()
    )
    other = Gaussian(mean=torch.tensor([3.0, 4.0, 0.0]).double(), covariance=torch.eye(3).double())
    assert frechet(one, other) == pytest.approx(25 + 0 + 1 + 4)  # (√a − √b)² of each axis
    assert frechet(one, one) == pytest.approx(0, abs=1e-9)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).double())[0]
    turned = Gaussian(mean=turn @ one.mean, covariance=turn @ one.covariance @ turn.T)
    other_turned = Gaussian(mean=turn @ other.mean, covariance=turn @ other.covariance @ turn.T)
    assert frechet(turned, other_turned) == pytest.approx(30)


def test_few_clips_are_further_apart_than_they_are_and_a_line_mends_it() -> None:
    dice = torch.Generator().manual_seed(1)
    one, other = (torch.randn(600, 16, generator=dice) for _ in range(2))
    measured, beyond = between(one, other), extrapolated(one, other)
    assert measured > 0.1
    assert beyond is not None
    assert abs(beyond) < measured / 3
    assert extrapolated(one[:20], other[:20]) is None


def test_long_tails_are_evened() -> None:
    assert evened(torch.tensor([[0.0, torch.e - 1, 1 - torch.e, 999.0]]))[0].tolist() == pytest.approx(
        [0.0, 1.0, -1.0, 6.9078], abs=1e-4
    )
