"""The causal autoencoder in steps, on tiles, in training; its numbers are tested in tests/parity."""

import pytest
import torch
from torch import Tensor

from khayal.errors import CheckpointError, InputError
from khayal.model.autoencoder import Autoencoder
from khayal.model.wan_autoencoder import WanAutoencoder, WanAutoencoderConfig

STATISTICS = {"latents_mean": (0.3, -0.2, 0.5, 0.1), "latents_std": (1.5, 0.7, 1.1, 0.9)}
CONFIGS = {
    "2.1": WanAutoencoderConfig(base_dim=4, z_dim=4, num_res_blocks=1, **STATISTICS),
    "2.2": WanAutoencoderConfig(
        base_dim=4,
        decoder_base_dim=8,
        z_dim=4,
        num_res_blocks=1,
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
        **STATISTICS,
    ),
}


@pytest.fixture(scope="module", params=CONFIGS)
def autoencoder(request: pytest.FixtureRequest) -> WanAutoencoder:
    torch.manual_seed(0)
    return WanAutoencoder(CONFIGS[request.param]).eval()


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.manual_seed(1))


def test_it_keeps_the_protocol(autoencoder):
    model: Autoencoder = autoencoder
    assert (model.latent_channels, model.frames_per_latent, model.is_causal) == (4, 4, True)
    assert model.spatial_ratio == (16 if autoencoder.config.is_residual else 8)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_it_can_be_built_without_memory(config):
    with torch.device("meta"):
        model = WanAutoencoder(config)
    assert all(p.is_meta for p in model.parameters())
    assert not list(model.buffers())


@torch.no_grad()
def test_a_frame_does_not_depend_on_later_latents(autoencoder):
    latents = noise(1, 4, 5, 2, 3)
    torch.testing.assert_close(
        autoencoder.decode(latents)[:, :, :9], autoencoder.decode(latents[:, :, :3]), atol=1e-6, rtol=0
    )


@torch.no_grad()
def test_the_stream_is_the_decoded_clip_and_starts_with_one_frame(autoencoder):
    latents = noise(2, 4, 4, 2, 3)
    steps = list(autoencoder.stream(latents))
    assert [step.shape[2] for step in steps] == [1, 4, 4, 4]
    assert torch.equal(torch.cat(steps, dim=2), autoencoder.decode(latents))


@torch.no_grad()
def test_a_stream_remembers_no_more_when_it_is_longer(autoencoder):
    """What the generator holds between steps is counted tensor by tensor."""
    held = []
    stream = autoencoder.stream(noise(1, 4, 6, 2, 2))
    for _ in stream:
        past = stream.gi_frame.f_locals["past"]
        held.append(sum(frames.untyped_storage().nbytes() for frames in past.frames.values()))
    assert held[0] > 0
    assert len(set(held[1:])) == 1


@pytest.mark.parametrize("tile", [4, 6, 100])
@torch.no_grad()
def test_tiles_give_the_same_frames(autoencoder, tile):
    latents = noise(1, 4, 3, 9, 13)
    whole = autoencoder.decode(latents)
    tiled = torch.cat(list(autoencoder.stream(latents, tile=tile)), dim=2)
    assert whole.std() > 0.01
    torch.testing.assert_close(tiled, whole, atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_halo_is_as_narrow_as_it_can_be(autoencoder, monkeypatch):
    latents = noise(1, 4, 1, 8, 9)
    monkeypatch.setattr(autoencoder.decoder, "halo", autoencoder.decoder.halo - 1)
    tiled = torch.cat(list(autoencoder.stream(latents, tile=4)), dim=2)
    assert (tiled - autoencoder.decode(latents)).abs().max() > 1e-6


def test_gradients_reach_the_latents_and_every_weight(autoencoder):
    latents = noise(1, 4, 3, 2, 2).requires_grad_()
    frames = autoencoder.decode(latents)
    with torch.no_grad():
        torch.testing.assert_close(frames, autoencoder.decode(latents), atol=1e-5, rtol=0)
    (frames - autoencoder.decode(autoencoder.encode(frames.detach()))).square().mean().backward()
    assert latents.grad is not None
    assert latents.grad.abs().amax(dim=(0, 1, 3, 4)).min() > 0
    assert all(p.grad is not None for p in autoencoder.parameters())
    autoencoder.zero_grad()


@torch.no_grad()
def test_half_precision_stays_close(autoencoder):
    latents = noise(1, 4, 2, 2, 2)
    frames = autoencoder.decode(latents)
    autoencoder.bfloat16()
    rough = autoencoder.decode(latents.bfloat16())
    autoencoder.float()
    assert rough.dtype is torch.bfloat16
    assert (rough - frames).square().mean() < 0.01 * frames.square().mean()


def test_frames_that_no_latents_hold_are_refused(autoencoder):
    with pytest.raises(InputError, match="48×32"):
        autoencoder.encode(torch.zeros(1, 3, 1, 36, 50))
    with pytest.raises(InputError, match="Use 5"):
        autoencoder.encode(torch.zeros(1, 3, 8, 32, 32))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("latents_mean", (0.0,)),
        ("patch_size", 2),
        ("scale_factor_spatial", 16),
        ("temperal_downsample", (True,)),
        ("attn_scales", (0.5,)),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(key, value):
    with pytest.raises(CheckpointError):
        WanAutoencoderConfig(**{key: value})
