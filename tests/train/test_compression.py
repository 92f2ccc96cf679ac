"""The autoencoder's objective: both kinds, the decoder alone, and the latents of another."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import tiny
import torch

from khayal.errors import InputError
from khayal.model.chunk_autoencoder import ChunkAutoencoder, ChunkAutoencoderConfig
from khayal.model.wan_autoencoder import WanAutoencoder, WanAutoencoderConfig
from khayal.train.compression import Compression, CompressionConfig, charbonnier, coarse, scaled
from khayal.train.config import OptimiserConfig
from khayal.train.log import read_log
from khayal.train.loop import Sitting, Trainer
from khayal.train.optimiser import Optimiser
from khayal.train.parts import load_part, save_part
from khayal.train.shards import Crops, FrameShards
from khayal.train.source import Reading
from khayal.train.weights import Weights

QUIET = Sitting(is_shown=False)


def test_the_autoencoder_learns_and_its_latents_are_measured(prepared: Path) -> None:
    told = read_log(prepared / "autoencoder")
    assert told[-1]["loss"] < told[0]["loss"]
    assert {"fine", "coarse", "motion", "latents", "psnr"} <= told[0].keys()
    config = json.loads((prepared / "autoencoder" / "model" / "config.json").read_text())
    assert len(config["latents_mean"]) == len(config["latents_std"]) == 4
    assert (prepared / "autoencoder" / "previews" / "step-00000012.png").exists()


def test_a_decoder_learns_on_while_the_latents_stay(prepared: Path) -> None:
    config = tiny.autoencoder(prepared, steps=6)
    before = load_part(prepared / "autoencoder" / "model", "vae", torch.float32)
    shape = CompressionConfig(decoder_of=prepared / "autoencoder" / "model")
    decoder = replace(config, objective=partial(Compression, shape))
    Trainer(decoder, prepared / "decoder", QUIET).run()
    after = load_part(prepared / "decoder" / "model", "vae", torch.float32)
    assert after.config == before.config
    same = {k: torch.equal(v, before.state_dict()[k]) for k, v in after.state_dict().items()}
    assert all(value for key, value in same.items() if key.startswith("encoder."))
    assert not any(
        v for key, v in same.items() if key.startswith("decoder.") and key.endswith("conv1.weight")
    )


def test_a_causal_autoencoder_is_trained_and_encodes_with(prepared: Path, tmp_path: Path) -> None:
    statistics = {"latents_mean": (0.0,) * 4, "latents_std": (1.0,) * 4}
    patched = {"is_residual": True, "patch_size": 2, "in_channels": 12, "out_channels": 12}
    shape = WanAutoencoderConfig(
        base_dim=4, z_dim=4, num_res_blocks=1, scale_factor_spatial=16, **statistics, **patched
    )
    config = replace(
        tiny.autoencoder(prepared, steps=8),
        objective=partial(Compression, CompressionConfig(autoencoder=shape)),
        source=lambda: FrameShards(prepared / "frames", Crops(num_frames=9, side=16)),
    )
    Trainer(config, tmp_path / "autoencoder", QUIET).run()
    told = read_log(tmp_path / "autoencoder")
    assert told[-1]["loss"] < told[0]["loss"]
    learned = load_part(tmp_path / "autoencoder" / "model", "vae", torch.float32)
    assert isinstance(learned, WanAutoencoder)
    fresh = config.objective().autoencoder.state_dict()
    assert not any(
        torch.equal(value, fresh[key]) for key, value in learned.state_dict().items() if "conv1" in key
    )
    assert learned.config.latents_std != shape.latents_std, "they were measured"
    frames = FrameShards(prepared / "frames", Crops(num_frames=13, side=32))
    crops = next(frames.batches(Reading(seed=0, start=0, batch_size=2, rows=range(2)))).frames
    latents = learned.encode(scaled(crops))
    assert latents.shape == (2, 4, 4, 2, 2)


def test_a_causal_autoencoder_learns_the_latents_of_another(prepared: Path, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher"
    torch.manual_seed(0)
    other = ChunkAutoencoder(
        ChunkAutoencoderConfig(
            latent_channels=4, widths=(8, 8, 12), encoder_depths=(1, 0, 1), decoder_depths=(0, 0, 1)
        )
    )
    save_part(teacher, other)
    patched = {"is_residual": True, "patch_size": 2, "in_channels": 12, "out_channels": 12}
    shape = WanAutoencoderConfig(
        base_dim=4,
        z_dim=4,
        num_res_blocks=1,
        scale_factor_spatial=16,
        latents_mean=(0.0,) * 4,
        latents_std=(1.0,) * 4,
        **patched,
    )
    learns = CompressionConfig(autoencoder=shape, latents_of=teacher, latent_weight=1.0)
    config = replace(
        tiny.autoencoder(prepared, steps=12),
        objective=partial(Compression, learns),
        source=lambda: FrameShards(prepared / "frames", Crops(num_frames=9, side=16)),
    )
    Trainer(config, tmp_path / "autoencoder", QUIET).run()
    learned = load_part(tmp_path / "autoencoder" / "model", "vae", torch.float32)
    assert learned.config.latents_std == shape.latents_std, "its latents have the other's statistics"
    frames = FrameShards(prepared / "frames", Crops(num_frames=9, side=32))
    crops = scaled(next(frames.batches(Reading(seed=0, start=0, batch_size=4, rows=range(4)))).frames)
    wanted = torch.cat([other.encode(part) for part in crops.split([1, 8], dim=2)], dim=2)
    fresh = config.objective().autoencoder
    assert (learned.encode(crops) - wanted).square().mean() < (fresh.encode(crops) - wanted).square().mean()


def test_latents_of_another_are_for_a_causal_autoencoder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="The latents of another autoencoder cannot be learned here"):
        CompressionConfig(latents_of=tmp_path)


def test_kernels_are_muons_too(prepared: Path) -> None:
    objective = tiny.autoencoder(prepared).objective()
    kernels = [key for key, p in objective.named_parameters() if p.ndim == 4]
    last = len(objective.autoencoder.decoder.high) - 1
    ends = {"autoencoder.encoder.0.weight", f"autoencoder.decoder.high.{last}.weight"}
    assert {key for key in kernels if not objective.is_matrix(key)} == ends
    weights = Weights(objective, torch.float32)
    optimiser = Optimiser(OptimiserConfig(), weights.masters, objective.is_matrix)
    before = {key: weights.masters[key].detach().clone() for key in kernels}
    for master in weights.masters.values():
        master.grad = torch.randn_like(master)
    optimiser.step(1.0)
    state = optimiser.state()
    for key in kernels:
        moved = (weights.masters[key] - before[key]).detach()
        assert moved.abs().max() > 0, "the matrix that Muon moves is the kernel itself"
        assert ("momentum_buffer" in state[key]) == (key not in ends)


def test_terms_of_the_reconstruction() -> None:
    error = torch.full((1, 3, 2, 16, 16), 0.5)
    assert charbonnier(error, 1e-2) == pytest.approx(0.4901, abs=1e-4)
    assert coarse(error, 1e-2) == pytest.approx(3 * 0.4901, abs=1e-3)
    assert charbonnier(torch.zeros(3), 1e-2) == 0
    checkers = torch.ones(1, 3, 1, 16, 16)
    checkers[..., ::2] = -1
    assert coarse(checkers, 1e-2) == pytest.approx(0, abs=1e-6)
