"""Half of the products, the same convolution."""

import pytest
import torch
from torch.nn import functional as F

from khayal.model import winograd


@pytest.mark.parametrize("num_frames", sorted(winograd.SCHEMES))
@pytest.mark.parametrize("strip_bytes", [1, 20_000, 1 << 30])
def test_it_is_the_plain_convolution(num_frames, strip_bytes, monkeypatch):
    monkeypatch.setattr(winograd, "STRIP_BYTES", strip_bytes)
    generator = torch.manual_seed(0)
    frames = torch.randn(2, 5, num_frames + 2, 7, 6, generator=generator, dtype=torch.float64)
    weight = torch.randn(4, 5, 3, 3, 3, generator=generator, dtype=torch.float64)
    bias = torch.randn(4, generator=generator, dtype=torch.float64)
    kernels = winograd.prepare(weight, num_frames)
    assert kernels.shape[0] == num_frames + 2 < 3 * num_frames
    earlier, new = frames[:, :, :2].clone(), frames[:, :, 2:]
    result = winograd.convolve(earlier, new, kernels, bias, activate=torch.sin)
    joined = torch.cat([frames[:, :, :2], new.sin()], dim=2)
    torch.testing.assert_close(result, F.conv3d(joined, weight, bias, padding=(0, 1, 1)), atol=1e-12, rtol=0)
    assert torch.equal(earlier, joined[:, :, -2:])


@pytest.mark.parametrize("num_frames", sorted(winograd.SCHEMES))
def test_its_rounding_is_a_few_times_that_of_the_plain_one(num_frames):
    generator = torch.manual_seed(0)
    frames = torch.randn(1, 32, num_frames + 2, 8, 8, generator=generator, dtype=torch.float64)
    weight = torch.randn(32, 32, 3, 3, 3, generator=generator, dtype=torch.float64)
    bias = torch.zeros(32, dtype=torch.float64)
    exact = F.conv3d(frames, weight, bias, padding=(0, 1, 1))
    plain = F.conv3d(frames.float(), weight.float(), bias.float(), padding=(0, 1, 1))
    kernels = winograd.prepare(weight.float(), num_frames)
    ours = winograd.convolve(frames[:, :, :2].float(), frames[:, :, 2:].float(), kernels, bias.float())
    assert (ours - exact).square().mean().sqrt() < 10 * (plain - exact).square().mean().sqrt()
