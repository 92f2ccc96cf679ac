"""On a CUDA device: the CPU's numbers, every memory mode's frames, and estimates that hold."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import khayal
from khayal.footprint import decoder_bytes
from khayal.memory import HIGH, LOW, MIDDLE
from khayal.model.wan_autoencoder import WanAutoencoder, WanAutoencoderConfig

pytestmark = pytest.mark.gpu
GIVEN = {"size": (160, 128), "num_frames": 9, "steps": 3, "seed": 0}


@pytest.fixture(autouse=True)
def exact_products(monkeypatch):
    """TF32 would hide what is compared here."""
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def test_the_frames_of_the_cpu(tiny_checkpoint):
    frames = [
        khayal.open(tiny_checkpoint("ti2v"), device=device, dtype="float32")
        .generate("a ball", **GIVEN)
        .frames
        for device in ("cpu", "cuda")
    ]
    assert np.abs(frames[0].astype(int) - frames[1]).max() <= 1


def test_every_mode_gives_the_same_frames(tiny_checkpoint, monkeypatch):
    frames = []
    for way in (HIGH, MIDDLE, replace(LOW, tile=2)):
        monkeypatch.setattr("khayal.studio.choose", lambda *args, way=way, **kwargs: way)
        studio = khayal.open(tiny_checkpoint("ti2v"), device="cuda", dtype="float32")
        frames += [studio.generate("a ball", **GIVEN).frames.astype(int) for _ in "ab"]
    for other in frames[1:]:
        assert np.abs(other - frames[0]).max() <= 1


def test_bf16_is_near_fp32(tiny_checkpoint):
    exact, rounded = (
        khayal.open(tiny_checkpoint("ti2v"), device="cuda", dtype=dtype).generate("a ball", **GIVEN).frames
        for dtype in ("float32", "bfloat16")
    )
    assert np.square(exact.astype(float) - rounded).mean() < 255**2 / 10**2.5  # 25 dB, on loud weights


@pytest.mark.parametrize("tile", [None, 8])
def test_decoding_stays_under_its_estimate(tile):
    config = WanAutoencoderConfig(
        base_dim=64,
        z_dim=48,
        is_residual=True,
        patch_size=2,
        in_channels=12,
        out_channels=12,
        scale_factor_spatial=16,
        latents_mean=(0.0,) * 48,
        latents_std=(1.0,) * 48,
    )
    autoencoder = WanAutoencoder(config).cuda().eval()
    latents = torch.randn(1, 48, 6, 24, 40, device="cuda")
    with torch.inference_mode():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        for _ in autoencoder.stream(latents, tile=tile):
            pass
        taken = torch.cuda.max_memory_allocated() - before
    expected = decoder_bytes(config, (6, 24, 40), torch.float32, tile)
    assert 0.5 * expected < taken < 1.15 * expected
