"""The same numbers as diffusers' AutoencoderKLWan, on tiny checkpoints with random weights."""

import copy
import json
from dataclasses import fields

import pytest
import torch
from diffusers import AutoencoderKLWan

from khayal.model.wan_autoencoder import WanAutoencoder, WanAutoencoderConfig

STATISTICS = {
    "latents_mean": (0.3, -0.2, 0.5, 0.1, -0.4, 0.0),
    "latents_std": (1.5, 0.7, 1.1, 0.9, 2.0, 1.2),
}
CONFIGS = {
    "2.1": WanAutoencoderConfig(base_dim=8, z_dim=6, num_res_blocks=1, **STATISTICS),
    "2.2": WanAutoencoderConfig(
        base_dim=8,
        decoder_base_dim=16,
        z_dim=6,
        num_res_blocks=1,
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
        **STATISTICS,
    ),
}


def pair(config: WanAutoencoderConfig) -> tuple[WanAutoencoder, AutoencoderKLWan]:
    """The same random weights in both; every gain and bias is far from its initial value."""
    torch.manual_seed(0)
    ours = WanAutoencoder(config).eval()
    for name, parameter in ours.named_parameters():
        parameter.data.normal_(1.0 if name.endswith("gamma") else 0.0, parameter[0].numel() ** -0.5)
        if parameter.ndim == 1:
            parameter.data.mul_(0.3)
    keys = {f.name: getattr(config, f.name) for f in fields(config) if f.name != "clip_output"}
    theirs = AutoencoderKLWan(**json.loads(json.dumps(keys))).eval()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.fixture(scope="module", params=CONFIGS)
def autoencoders(request: pytest.FixtureRequest) -> tuple[WanAutoencoder, AutoencoderKLWan]:
    return pair(CONFIGS[request.param])


def statistics(config: WanAutoencoderConfig) -> tuple[torch.Tensor, torch.Tensor]:
    mean, std = torch.tensor(config.latents_mean), torch.tensor(config.latents_std)
    return mean.view(1, -1, 1, 1, 1), std.view(1, -1, 1, 1, 1)


def test_state_dict_keys_and_shapes_are_those_of_diffusers(autoencoders):
    ours, theirs = autoencoders
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }


def test_config_has_the_keys_and_defaults_of_diffusers():
    theirs = {k: v for k, v in AutoencoderKLWan().config.items() if not k.startswith("_")}
    ours = {f.name: f.default for f in fields(WanAutoencoderConfig)}
    assert ours.pop("clip_output") is False
    assert json.loads(json.dumps(ours)) == json.loads(json.dumps(theirs))


@pytest.mark.parametrize("num_frames", [1, 5, 9, 17])
@torch.no_grad()
def test_encode(autoencoders, num_frames):
    ours, theirs = autoencoders
    frames = torch.rand(2, 3, num_frames, 32, 48, generator=torch.manual_seed(1)) * 2 - 1
    mean, std = statistics(ours.config)
    expected = (theirs.encode(frames).latent_dist.mode() - mean) / std
    latents = ours.encode(frames)
    assert expected.std() > 0.1
    torch.testing.assert_close(latents, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("num_latents", [1, 2, 3, 5])
@torch.no_grad()
def test_decode(autoencoders, num_latents):
    """Diffusers computes in float64, so that the bound is on our rounding and not on theirs beside it."""
    ours, theirs = autoencoders
    exactly = copy.deepcopy(theirs).double()
    ratio = ours.spatial_ratio
    latents = torch.randn(2, 6, num_latents, 64 // ratio, 96 // ratio, generator=torch.manual_seed(2))
    mean, std = statistics(ours.config)
    expected = exactly.decode(latents.double() * std + mean).sample
    frames = ours.decode(latents)
    assert frames.shape[2] == 4 * num_latents - 3
    assert expected.std() > 0.1
    torch.testing.assert_close(frames.clamp(-1, 1).double(), expected, atol=1e-5, rtol=0)
    exact = copy.deepcopy(ours).double().decode(latents.double())
    torch.testing.assert_close(exact.clamp(-1, 1), expected, atol=1e-6, rtol=0)
