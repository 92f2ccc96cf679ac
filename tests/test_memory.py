"""Memory: what is estimated, what is chosen, and that no way of running changes the frames."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import khayal
from khayal import memory
from khayal.errors import CapacityError
from khayal.footprint import LiveBytes, decoder_bytes
from khayal.memory import GB, HIGH, LOW, MIDDLE, Parts, Work, choose, estimate
from khayal.model.text import UMT5EncoderConfig
from khayal.model.transformer import SpacetimeTransformer, TransformerConfig
from khayal.model.wan_autoencoder import WanAutoencoderConfig
from khayal.streaming import StreamedBlocks, stream_blocks

CUDA = torch.device("cuda")
TI2V_5B = Parts(
    text=UMT5EncoderConfig(
        vocab_size=256_384, d_model=4096, d_kv=64, d_ff=10_240, num_layers=24, num_heads=64
    ),
    transformer=TransformerConfig(
        num_attention_heads=24, in_channels=48, out_channels=48, ffn_dim=14_336, num_layers=30
    ),
    autoencoder=WanAutoencoderConfig(
        base_dim=160,
        decoder_base_dim=256,
        z_dim=48,
        is_residual=True,
        patch_size=2,
        in_channels=12,
        out_channels=12,
        scale_factor_spatial=16,
        latents_mean=(0.0,) * 48,
        latents_std=(1.0,) * 48,
    ),
    dtype=torch.bfloat16,
    autoencoder_dtype=torch.float32,
)
FIVE_SECONDS_OF_720P = Work(latents=(31, 44, 80))
TINY = TransformerConfig(
    num_attention_heads=2,
    attention_head_dim=12,
    in_channels=4,
    out_channels=4,
    text_dim=16,
    ffn_dim=48,
    num_layers=5,
)


def choice(mode, free, work=FIVE_SECONDS_OF_720P):
    """What would be chosen on a GPU with `free` GB, without one."""
    return choose(mode, TI2V_5B, work, CUDA, available=int(free * GB))


def test_ti2v_5b_at_720p_fits_24_gb_in_auto_and_12_gb_in_low(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda device: 64 * GB)  # of the host
    assert choice("auto", 24.0).name == "one component at a time"
    assert choice("auto", 18.0).name == "one component at a time, decoding on tiles"
    assert choice("low", 11.5).streams_blocks
    assert choice("auto", 11.5) == choice("low", 11.5)
    assert choice("auto", 80.0).keeps_all


def test_low_needs_least_and_high_most():
    needed = [estimate(TI2V_5B, FIVE_SECONDS_OF_720P, way) for way in (HIGH, MIDDLE, LOW)]
    assert needed == sorted(needed, reverse=True)
    assert needed[0] > 25 * GB  # the weights alone


def test_the_ceiling_is_above_every_estimate():
    own = khayal.open(device="cpu").checkpoint
    ours = replace(TI2V_5B, text=own.text, transformer=own.transformer, autoencoder=own.autoencoder)
    for parts, shape in [
        (ours, (1, 8, 8)),
        (ours, (12, 8, 8)),
        (ours, (60, 8, 8)),
        (TI2V_5B, (2, 4, 4)),
        (TI2V_5B, (31, 44, 80)),
    ]:
        work = Work(latents=shape)
        assert memory.ceiling(parts, work) > estimate(parts, work, HIGH), shape


def test_khayals_own_model_starts_without_pytorchs_compiler(tmp_path):
    """Its import takes longer than the denoising: 1.3 of 5 seconds."""
    code = (
        "import sys, khayal; khayal.open().generate('a ball', seconds=0.3, steps=1);"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 0


def test_a_longer_or_larger_video_needs_more():
    small, longer, larger = (Work(latents=shape) for shape in ((8, 22, 40), (31, 22, 40), (8, 44, 40)))
    for way in (HIGH, MIDDLE):
        needed = estimate(TI2V_5B, small, way)
        assert estimate(TI2V_5B, longer, way) >= needed
        assert estimate(TI2V_5B, larger, way) > needed
    assert estimate(TI2V_5B, replace(longer, latents=(200, 22, 40)), MIDDLE) > estimate(
        TI2V_5B, longer, MIDDLE
    )


def test_decoding_needs_the_same_for_any_length():
    for tile in (None, 20):
        short, minute = (
            decoder_bytes(TI2V_5B.autoencoder, (t, 44, 80), torch.float32, tile) for t in (4, 360)
        )
        assert minute == pytest.approx(short, rel=1e-3)


def test_what_does_not_fit_says_what_to_change():
    with pytest.raises(
        CapacityError, match=r"about \d+\.\d GB on cuda and 3\.0 GB are free.*--size, --seconds"
    ):
        choice("auto", 3.0)
    with pytest.raises(CapacityError, match="Use --memory auto"):
        choice("high", 12.0)


def test_what_leaves_the_device_has_to_fit_beside_it(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda device: 8 * GB)
    with pytest.raises(CapacityError, match=r"not enough CPU memory.*about 21\.4 GB and 8\.0 GB"):
        choice("low", 11.5)


def test_an_unknown_mode_is_refused():
    with pytest.raises(khayal.KhayalError, match="no memory mode “huge”"):
        choose("huge", TI2V_5B, FIVE_SECONDS_OF_720P, CUDA, available=GB)


def test_streamed_blocks_compute_the_same():
    torch.manual_seed(0)
    whole = SpacetimeTransformer(TINY).eval()
    streamed = SpacetimeTransformer(TINY).eval()
    streamed.load_state_dict(whole.state_dict())
    stream_blocks(streamed, torch.device("cpu"))
    latents, text = torch.randn(1, 4, 3, 4, 4), torch.randn(1, 1, 7, 16)

    def run(model):
        context = model.prepare(
            text,
            shots=torch.zeros(1, 3, dtype=torch.long),
            positions=torch.arange(3)[None],
            size=(4, 4),
        )
        with torch.no_grad():
            return [model(latents, torch.full((1, 3), level), context) for level in (900.0, 300.0)]

    for expected, result in zip(run(whole), run(streamed), strict=True):
        assert torch.equal(result, expected)


def test_streamed_blocks_hold_two_blocks_on_the_device():
    model = SpacetimeTransformer(TINY)
    blocks = StreamedBlocks(model.blocks, torch.device("cpu"))
    weights = [dict(block.named_parameters()) for block in model.blocks]
    seen = []
    for index, call in enumerate(blocks):
        slot = call.args[1]
        seen.append({parameter.data_ptr() for parameter in slot.values()})
        for name, parameter in slot.items():
            assert torch.equal(parameter, weights[index][name])
            assert parameter.data_ptr() != weights[index][name].data_ptr()
    assert seen[0] == seen[2] == seen[4]
    assert seen[1] == seen[3]
    assert not seen[0] & seen[1]


def test_the_same_frames_come_out_of_every_mode(tiny_checkpoint, monkeypatch):
    """Low as on a GPU: streamed blocks, one prompt a call, tiles, one component at a time."""
    frames = {}
    tile = 2  # of 8×10 latents, so that there is something to put together
    ways = {"high": HIGH, "middle": MIDDLE, "low": replace(LOW, tile=tile)}
    for name, way in ways.items():
        monkeypatch.setattr("khayal.studio.choose", lambda *args, way=way, **kwargs: way)
        studio = khayal.open(tiny_checkpoint("ti2v"), device="cpu", dtype="float32")
        clips = [studio.generate("a ball", size=(160, 128), num_frames=9, steps=3, seed=0) for _ in "ab"]
        frames[name] = clips[0].frames.astype(int)
        assert np.array_equal(frames[name], clips[1].frames), "a second run finds its parts again"
    for name in ("middle", "low"):
        assert np.abs(frames[name] - frames["high"]).max() <= 1


def test_live_bytes_counts_storages_once_and_until_they_die():
    with LiveBytes() as live:
        one = torch.empty(1000, device="meta")
        view = one[:10]
        assert live.now == 4000
        del one
        assert live.now == 4000, "a view keeps its storage"
        del view
        assert live.now == 0
    assert live.peak == 4000


@pytest.fixture
def tight(tiny_checkpoint, monkeypatch):
    """A studio with one component at a time, which records what is sent away."""
    monkeypatch.setattr("khayal.studio.choose", lambda *args, **kwargs: MIDDLE)
    studio = khayal.open(tiny_checkpoint("ti2v"), device="cpu", dtype="float32")
    sent = []
    send_away = studio._components._send_away

    def record(name):
        send_away(name)
        sent.append((name, name not in studio._components._parts))

    monkeypatch.setattr(studio._components, "_send_away", record)
    return studio, sent


def test_what_a_clip_decodes_with_stays_while_another_is_made(tight):
    studio, sent = tight
    given = {"size": (96, 64), "num_frames": 9, "steps": 2}
    clip = studio.generate("a ball", seed=0, **given)
    expected = clip.frames
    frames = iter(clip)
    first = next(frames)
    sent.clear()
    other = studio.generate("two cubes", seed=1, **given)  # in the middle of the first one's frames
    assert ("autoencoder", False) in sent
    assert np.array_equal(np.concatenate([first, *frames]), expected)
    sent.clear()
    studio.generate("a cat", seed=2, **given)
    assert ("autoencoder", True) in sent, "once the frames are out it may go"
    assert other.frames.shape == expected.shape


def test_what_the_studio_holds_counts_as_free(tiny_checkpoint, monkeypatch):
    """The second video is made like the first, though the first one's parts still fill the device."""
    folder = tiny_checkpoint("ti2v")
    given = {"size": (96, 64), "num_frames": 5, "steps": 1, "seed": 0}
    monkeypatch.setattr(memory, "ceiling", lambda parts, work: 10**18)
    studio = khayal.open(folder, device="cpu", dtype="float32", memory="high")
    studio.generate("a ball", **given)
    needed, held = studio._components.residence.needed, studio._components.held_bytes()
    assert held > 0
    monkeypatch.setattr("khayal.studio.available_bytes", lambda device: needed - held)
    studio.generate("a ball", **given)
    monkeypatch.setattr("khayal.studio.available_bytes", lambda device: needed - held - 1)
    with pytest.raises(CapacityError):
        studio.generate("a ball", **given)
