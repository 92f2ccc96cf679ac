"""The chunk autoencoder: every latent alone, its neighbours in the decoder, streams and tiles exactly."""

import pytest
import torch
from torch import Tensor

from khayal.errors import CheckpointError, InputError
from khayal.model.autoencoder import Autoencoder
from khayal.model.chunk_autoencoder import ChunkAutoencoder, ChunkAutoencoderConfig

SMALL = ChunkAutoencoderConfig(
    latent_channels=4,
    widths=(8, 12, 16),
    latents_mean=(0.5, -0.5, 0.0, 1.0),
    latents_std=(1.0, 2.0, 0.5, 1.5),
)


@pytest.fixture(scope="module")
def autoencoder() -> ChunkAutoencoder:
    """Random weights; the convolutions that start at zero too, so that every layer has a say."""
    torch.manual_seed(0)
    model = ChunkAutoencoder(SMALL).eval()
    for parameter in model.parameters():
        if parameter.ndim == 4:
            torch.nn.init.kaiming_normal_(parameter)
    return model


def pixels(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.manual_seed(seed)) * 2 - 1


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.manual_seed(seed))


def test_it_keeps_the_protocol(autoencoder):
    model: Autoencoder = autoencoder
    assert (model.latent_channels, model.spatial_ratio, model.frames_per_latent) == (4, 16, 4)
    assert model.is_causal is False
    assert model.encode(pixels(2, 3, 12, 32, 48)).shape == (2, 4, 3, 2, 3)
    assert model.decode(noise(2, 4, 3, 2, 3)).shape == (2, 3, 12, 32, 48)


def test_default_size_is_about_three_million_parameters():
    with torch.device("meta"):
        model = ChunkAutoencoder(ChunkAutoencoderConfig())
    assert 2.5e6 < sum(p.numel() for p in model.parameters()) < 3.5e6


@torch.no_grad()
def test_every_latent_encodes_its_chunk_alone(autoencoder):
    frames = pixels(1, 3, 24, 32, 32)
    whole = autoencoder.encode(frames)
    alone = torch.cat([autoencoder.encode(chunk) for chunk in frames.split(4, dim=2)], dim=2)
    torch.testing.assert_close(whole, alone, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_still_is_repeated_into_its_chunk(autoencoder):
    still = pixels(1, 3, 1, 32, 32)
    torch.testing.assert_close(autoencoder.encode(still), autoencoder.encode(still.repeat(1, 1, 4, 1, 1)))


@torch.no_grad()
def test_latents_are_normalised_by_the_config(autoencoder):
    plain = ChunkAutoencoder(ChunkAutoencoderConfig(latent_channels=4, widths=(8, 12, 16))).eval()
    plain.load_state_dict(autoencoder.state_dict())
    frames = pixels(1, 3, 8, 32, 32)
    mean = torch.tensor(SMALL.latents_mean).view(1, 4, 1, 1, 1)
    std = torch.tensor(SMALL.latents_std).view(1, 4, 1, 1, 1)
    raw = plain.encode(frames)
    torch.testing.assert_close(autoencoder.encode(frames), (raw - mean) / std)
    torch.testing.assert_close(
        autoencoder.decode((raw - mean) / std), plain.decode(raw), atol=1e-5, rtol=1e-5
    )


@torch.no_grad()
def test_a_frame_depends_on_its_latent_and_the_two_beside_it(autoencoder):
    latents = noise(1, 4, 7, 2, 2)
    changed = latents.clone()
    changed[:, :, 3] += 1
    moved = (autoencoder.decode(latents) - autoencoder.decode(changed)).abs().amax(dim=(0, 1, 3, 4)) > 1e-6
    assert moved.tolist() == [4 * 2 <= frame < 4 * 5 for frame in range(28)]


@torch.no_grad()
def test_the_stream_is_the_decoded_clip(autoencoder):
    latents = noise(2, 4, 11, 2, 3)
    steps = list(autoencoder.stream(latents))
    assert len(steps) > 1
    assert torch.equal(torch.cat(steps, dim=2), autoencoder.decode(latents))


@pytest.mark.parametrize("tile", [3, 5, 100])
@torch.no_grad()
def test_tiles_give_the_same_frames(autoencoder, tile):
    latents = noise(1, 4, 3, 9, 13)
    whole = autoencoder.decode(latents)
    tiled = torch.cat(list(autoencoder.stream(latents, tile=tile)), dim=2)
    torch.testing.assert_close(tiled, whole, atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_halo_is_as_narrow_as_it_can_be(autoencoder, monkeypatch):
    latents = noise(1, 4, 1, 9, 13)
    monkeypatch.setattr(autoencoder.decoder, "halo", autoencoder.decoder.halo - 1)
    tiled = torch.cat(list(autoencoder.stream(latents, tile=5)), dim=2)
    assert (tiled - autoencoder.decode(latents)).abs().max() > 1e-3


def test_it_learns():
    torch.manual_seed(0)
    model = ChunkAutoencoder(SMALL)
    ramp = torch.linspace(-1, 1, 32)
    frames = torch.stack([ramp.roll(4 * i).expand(3, 32, 32) for i in range(4)], dim=1)[None]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = (model.decode(model.encode(frames)) - frames).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    assert all(p.grad is not None for p in model.parameters())


def test_frames_that_no_latents_hold_are_refused(autoencoder):
    with pytest.raises(InputError, match="48×32"):
        autoencoder.encode(pixels(1, 3, 4, 40, 50))
    with pytest.raises(InputError, match="Use 4"):
        autoencoder.encode(pixels(1, 3, 6, 32, 32))


@pytest.mark.parametrize("wrong", [{"decoder_depths": (1,)}, {"latents_std": (1.0,)}])
def test_a_config_that_contradicts_itself_is_refused(wrong):
    with pytest.raises(CheckpointError, match=next(iter(wrong))):
        ChunkAutoencoderConfig(**wrong)
