"""The transformer against diffusers' Wan, on random weights with loud conditioning."""

from dataclasses import fields

import pytest
import torch

import checkpoints
from khayal.model.transformer import SpacetimeTransformer, TransformerConfig

CHANNELS, TEXT = 8, 32


def both(seed=0, **changes):
    torch.manual_seed(seed)
    reference = checkpoints.make_transformer(CHANNELS, TEXT, **changes)
    keys = {field.name for field in fields(TransformerConfig)}
    config = TransformerConfig(**{k: _frozen(v) for k, v in reference.config.items() if k in keys})
    model = SpacetimeTransformer(config).eval()
    model.load_state_dict(reference.state_dict(), strict=True)
    return reference, model


def _frozen(value):
    return tuple(value) if isinstance(value, list) else value


def inputs(b=2, t=3, h=6, w=10, length=64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(b, CHANNELS, t, h, w, generator=generator)
    text = torch.randn(b, length, TEXT, generator=generator)
    for i in range(b):
        text[i, 9 + 8 * i :] = 0  # prompts of different lengths, padded with zeros as Wan pads them
    return latents, text


def prepared(model, text, t, size, **changes):
    given = {
        "shots": torch.zeros(1, t, dtype=torch.long),
        "positions": torch.arange(t)[None],
        "size": size,
        **changes,
    }
    return model.prepare(text if text.ndim == 4 else text[:, None], **given)


def per_token(timesteps, n):
    return timesteps[:, :, None].expand(-1, -1, n).flatten(1)


@pytest.mark.parametrize("size", [(6, 10), (10, 6), (2, 2)])
@pytest.mark.parametrize("t", [1, 5])
@torch.no_grad()
def test_one_level_for_the_whole_sample(t, size):
    reference, model = both()
    latents, text = inputs(t=t, h=size[0], w=size[1])
    expected = reference(latents, torch.tensor([923, 417]), text, return_dict=False)[0]
    timesteps = torch.tensor([[923.0], [417.0]]).expand(2, t)
    result = model(latents, timesteps, prepared(model, text, t, size))
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_level_for_each_latent_frame():
    reference, model = both()
    latents, text = inputs()
    timesteps = torch.tensor([[0.0, 923.0, 923.0], [50.0, 999.0, 3.0]])
    expected = reference(latents, per_token(timesteps, 15), text, return_dict=False)[0]
    result = model(latents, timesteps, prepared(model, text, 3, (6, 10)))
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_parity_would_notice_a_wrong_prompt_level_or_position():
    """The weights are loud enough: what should matter changes the result by a thousand tolerances."""
    _, model = both()
    latents, text = inputs()
    timesteps = torch.full((2, 3), 500.0)
    right = model(latents, timesteps, prepared(model, text, 3, (6, 10)))
    wrong = {
        "prompt": model(latents, timesteps, prepared(model, text.flip(0), 3, (6, 10))),
        "level": model(latents, timesteps + 20, prepared(model, text, 3, (6, 10))),
        "position": model(
            latents,
            timesteps,
            prepared(model, text, 3, (6, 10), positions=torch.tensor([[0, 2, 1]])),
        ),
    }
    for name, result in wrong.items():
        assert (result - right).abs().max() > 1e-2, name


@torch.no_grad()
def test_several_shots_equal_one_where_all_frames_read_it():
    """With one shot it is Wan, and prompts that no frame reads leave no trace."""
    _, model = both()
    latents, text = inputs()
    timesteps = torch.full((2, 3), 500.0)
    one = model(latents, timesteps, prepared(model, text, 3, (6, 10)))
    shots = torch.stack((text, text.flip(0)), dim=1)
    same = model(latents, timesteps, prepared(model, shots, 3, (6, 10)))
    torch.testing.assert_close(same, one, atol=1e-6, rtol=1e-6)
    other = model(latents, timesteps, prepared(model, shots, 3, (6, 10), shots=torch.tensor([[0, 1, 1]])))
    assert (other - one).abs().max() > 1e-2


@torch.no_grad()
def test_keeping_the_text_changes_nothing():
    _, model = both()
    latents, text = inputs()
    timesteps = torch.full((2, 3), 500.0)
    context = prepared(model, text, 3, (6, 10))
    model(latents, timesteps, context)  # fills the cache
    kept = model(latents, timesteps, context)
    anew = model(latents, timesteps, prepared(model, text, 3, (6, 10), keep_text=False))
    assert torch.equal(kept, anew)


@torch.no_grad()
def test_a_prompt_that_fills_its_length_has_nothing_to_fold():
    reference, model = both()
    latents, text = inputs(length=9)
    expected = reference(latents, torch.tensor([700, 700]), text, return_dict=False)[0]
    result = model(latents, torch.full((2, 3), 700.0), prepared(model, text, 3, (6, 10)))
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_an_empty_prompt_beside_a_long_one():
    reference, model = both()
    latents, text = inputs(length=64)
    text[0] = 0
    text[1] = torch.randn(64, TEXT, generator=torch.Generator().manual_seed(4))
    text[1, 40:] = 0
    expected = reference(latents, torch.tensor([700, 700]), text, return_dict=False)[0]
    result = model(latents, torch.full((2, 3), 700.0), prepared(model, text, 3, (6, 10)))
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_without_a_norm_before_cross_attention():
    reference, model = both(cross_attn_norm=False)
    latents, text = inputs()
    expected = reference(latents, torch.tensor([700, 700]), text, return_dict=False)[0]
    result = model(latents, torch.full((2, 3), 700.0), prepared(model, text, 3, (6, 10)))
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_bf16_is_as_near_to_fp32_as_diffusers_bf16():
    reference, model = both()
    latents, text = inputs()
    timestep = torch.tensor([700, 700])
    exact = reference(latents, timestep, text, return_dict=False)[0]
    theirs = reference.to(torch.bfloat16)(latents.bfloat16(), timestep, text.bfloat16(), return_dict=False)[0]
    model = model.to(torch.bfloat16)
    ours = model(latents, torch.full((2, 3), 700.0), prepared(model, text.bfloat16(), 3, (6, 10)))
    error, their_error = ((x.float() - exact).square().mean() for x in (ours, theirs))
    assert error < 1.2 * their_error
    assert error < 1e-4 * exact.square().mean()


def test_gradients_reach_every_weight():
    _, model = both()
    latents, text = inputs()
    result = model(latents, torch.full((2, 3), 500.0), prepared(model, text, 3, (6, 10)))
    result.square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_builds_on_the_meta_device():
    with torch.device("meta"):
        model = SpacetimeTransformer(TransformerConfig(num_attention_heads=24, ffn_dim=14336, num_layers=30))
    assert sum(p.numel() for p in model.parameters()) > 4.9e9
