"""Guided velocities against what the transformer says when it is asked by hand."""

import pytest
import torch

from khayal.flow import schedule
from khayal.model.transformer import SpacetimeTransformer, TransformerConfig
from khayal.sample.canvas import Canvas
from khayal.sample.guidance import Expert, Guidance, GuidedModel

TINY = TransformerConfig(
    num_attention_heads=2,
    attention_head_dim=12,
    in_channels=4,
    out_channels=4,
    text_dim=16,
    freq_dim=16,
    ffn_dim=32,
    num_layers=2,
    patch_size=(1, 1, 1),
)
KNOWN = torch.tensor([True, False, False])


@pytest.fixture
def transformer():
    torch.manual_seed(0)
    model = SpacetimeTransformer(TINY).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return model


@pytest.fixture
def canvas():
    levels = schedule(4)[:, None].repeat(1, 3)
    levels[:, KNOWN] = 0
    return Canvas(
        latents=torch.randn(1, 4, 3, 2, 2, generator=torch.Generator().manual_seed(1)),
        is_known=KNOWN,
        is_given=KNOWN,
        is_shown=torch.ones(3, dtype=torch.bool),
        sigmas=levels,
        positions=torch.arange(3.0),
        shots=torch.zeros(3, dtype=torch.long),
        frames_per_column=(1, 4, 4),
    )


@torch.no_grad()
def velocity(transformer, canvas, noise, row, **guidance):
    dice = torch.Generator().manual_seed(2)
    text, negative = torch.randn(2, 1, 1, 5, 16, generator=dice).expand(-1, len(noise), -1, -1, -1)
    model = GuidedModel(
        experts=[Expert(load=lambda: transformer, guidance=Guidance(**guidance))],
        canvas=canvas,
        text=text,
        noise=noise,
        negative=negative,
    )
    return model(canvas.start(noise), canvas.sigmas[row])


@torch.no_grad()
def asked(transformer, canvas, prompt, latents, sigmas):
    dice = torch.Generator().manual_seed(2)
    text = torch.randn(2, 1, 1, 5, 16, generator=dice)[("text", "negative").index(prompt)]
    context = transformer.prepare(
        text.expand(len(latents), -1, -1, -1),
        shots=canvas.shots[None],
        positions=canvas.positions[None],
        size=(2, 2),
    )
    return transformer(latents, (sigmas * 1000).trunc().float()[None], context)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("is_batched", [True, False])
def test_history_guidance_leads_away_from_what_is_there_without_the_given_frames(
    transformer, canvas, is_batched, count
):
    noise = torch.randn(count, 4, 3, 2, 2, generator=torch.Generator().manual_seed(3))
    latents, sigmas = canvas.start(noise), canvas.sigmas[1]
    positive = asked(transformer, canvas, "text", latents, sigmas)
    without = torch.where(KNOWN[:, None, None], noise, latents)
    negative = asked(transformer, canvas, "negative", without, torch.where(KNOWN, 1.0, sigmas))
    found = velocity(transformer, canvas, noise, 1, scale=3.0, history_from=0.7, is_batched=is_batched)
    torch.testing.assert_close(found, negative + 3 * (positive - negative))
    plain = velocity(transformer, canvas, noise, 1, scale=3.0, is_batched=is_batched)
    assert not torch.allclose(found, plain)


def test_below_its_level_and_where_nothing_is_given_there_is_none(transformer, canvas):
    noise = torch.randn(1, 4, 3, 2, 2, generator=torch.Generator().manual_seed(3))
    assert float(canvas.sigmas[2].max()) < 0.7
    low = [velocity(transformer, canvas, noise, 2, scale=3.0, history_from=level) for level in (0.7, None)]
    assert torch.equal(*low)
    vars(canvas)["is_given"] = torch.zeros(3, dtype=torch.bool)
    free = [velocity(transformer, canvas, noise, 1, scale=3.0, history_from=level) for level in (0.7, None)]
    assert torch.equal(*free)
