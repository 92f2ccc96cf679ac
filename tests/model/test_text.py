"""The text encoder against `transformers`, on random weights."""

import pytest
import torch
from transformers import UMT5Config, UMT5EncoderModel

from khayal.errors import CheckpointError
from khayal.model.text import UMT5Encoder, UMT5EncoderConfig, relative_buckets

SHAPE = {
    "vocab_size": 61,
    "d_model": 32,
    "d_kv": 12,
    "d_ff": 48,
    "num_layers": 3,
    "num_heads": 4,
    "relative_attention_num_buckets": 16,
    "relative_attention_max_distance": 40,
}
LENGTHS = (23, 70, 1)  # beyond the greatest distance told apart; and a prompt of the end token alone


@pytest.fixture(scope="module")
def reference() -> UMT5EncoderModel:
    torch.manual_seed(0)
    model = UMT5EncoderModel(UMT5Config(**SHAPE, dropout_rate=0.0)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "relative_attention_bias" in name:
                parameter.normal_(0, 2.0)  # as drawn, positions would hardly matter
            elif "norm" in name:
                parameter.uniform_(0.5, 1.5)
    return model


@pytest.fixture
def encoder(reference: UMT5EncoderModel) -> UMT5Encoder:
    ours = UMT5Encoder(UMT5EncoderConfig(**SHAPE)).eval()
    weights = {k: v for k, v in reference.state_dict().items() if k != "encoder.embed_tokens.weight"}
    ours.load_state_dict(weights, strict=True)
    return ours


def prompts(lengths: tuple[int, ...] = LENGTHS, width: int = 80) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    is_token = torch.arange(width)[None] < torch.tensor(lengths)[:, None]
    token_ids = torch.randint(3, 61, (len(lengths), width), generator=generator) * is_token
    return token_ids, is_token


@torch.no_grad()
def test_parity_with_transformers(reference: UMT5EncoderModel, encoder: UMT5Encoder) -> None:
    token_ids, is_token = prompts()
    theirs = reference(input_ids=token_ids, attention_mask=is_token.long()).last_hidden_state
    ours = encoder(token_ids, is_token)
    assert ours.shape == theirs.shape
    assert (ours - theirs)[is_token].abs().max() < 1e-5
    assert ours[~is_token].abs().max() == 0


@torch.no_grad()
def test_bfloat16_stays_near_float32(encoder: UMT5Encoder) -> None:
    token_ids, is_token = prompts()
    exact = encoder(token_ids, is_token)
    rounded = encoder.to(torch.bfloat16)(token_ids, is_token)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).norm() / exact.norm() < 0.05


@torch.no_grad()
def test_padding_changes_nothing(encoder: UMT5Encoder) -> None:
    token_ids, is_token = prompts()
    together = encoder(token_ids, is_token)
    for row, length in enumerate(LENGTHS):
        alone = encoder(token_ids[row : row + 1, :length], is_token[row : row + 1, :length])
        torch.testing.assert_close(alone[0], together[row, :length], atol=1e-5, rtol=0)


@torch.no_grad()
def test_no_token_at_all_gives_zeros(encoder: UMT5Encoder) -> None:
    token_ids, is_token = prompts((0, 0), width=4)
    assert encoder(token_ids, is_token).abs().max() == 0
    token_ids, is_token = prompts((0, 3), width=4)
    encoded = encoder(token_ids, is_token)
    assert encoded[0].abs().max() == 0
    assert encoded.isfinite().all()


def test_buckets_match_transformers_at_full_length(reference: UMT5EncoderModel) -> None:
    config = UMT5EncoderConfig()
    attention = (
        UMT5EncoderModel(UMT5Config(**{**SHAPE, "num_layers": 1})).encoder.block[0].layer[0].SelfAttention
    )
    attention.relative_attention_num_buckets = config.relative_attention_num_buckets
    attention.relative_attention_max_distance = config.relative_attention_max_distance
    places = torch.arange(512)
    theirs = attention._relative_position_bucket(places[None, :] - places[:, None])
    assert torch.equal(relative_buckets(512, config), theirs)


def test_gradients_reach_every_weight() -> None:
    encoder = UMT5Encoder(UMT5EncoderConfig(**SHAPE))
    encoder.initialise(torch.Generator().manual_seed(0))
    token_ids, is_token = prompts()
    encoder(token_ids, is_token).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


def test_initialise_has_the_scales_of_transformers() -> None:
    shape = {**SHAPE, "vocab_size": 400, "d_model": 64, "d_ff": 256}
    ours = UMT5Encoder(UMT5EncoderConfig(**shape))
    ours.initialise(torch.Generator().manual_seed(0))
    theirs = dict(UMT5EncoderModel(UMT5Config(**shape)).named_parameters())
    for name, parameter in ours.named_parameters():
        if "norm" in name:
            assert torch.equal(parameter, torch.ones_like(parameter))
        else:
            assert parameter.std().item() == pytest.approx(theirs[name].std().item(), rel=0.35), name


def test_other_feed_forwards_are_refused_by_name() -> None:
    with pytest.raises(CheckpointError, match=r"feed_forward_proj is “relu”"):
        UMT5EncoderConfig(feed_forward_proj="relu")
