"""What khayal writes is whole, comes back the same, and opens in diffusers and transformers."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import WanPipeline
from torch import nn
from transformers import UMT5EncoderModel

import checkpoints
from khayal.checkpoint.defaults import Defaults
from khayal.checkpoint.folder import Checkpoint, open_checkpoint
from khayal.checkpoint.save import save_checkpoint
from khayal.errors import OutputError
from khayal.model.chunk_autoencoder import ChunkAutoencoder, ChunkAutoencoderConfig

Kind = Callable[[str], Path]


def save_again(checkpoint: Checkpoint, folder: Path, **changes: Any) -> None:
    contents = {
        "transformers": [
            checkpoint.load_transformer("cpu", torch.float32, expert)
            for expert in range(checkpoint.num_experts)
        ],
        "autoencoder": checkpoint.load_autoencoder("cpu"),
        "text_encoder": checkpoint.load_text_encoder("cpu", torch.float32),
        "tokenizer": checkpoint.path / "tokenizer",
        "scheduler": checkpoint.scheduler,
        "expand_timesteps": checkpoint.expand_timesteps,
        "boundary_ratio": checkpoint.boundary_ratio,
        "defaults": checkpoint.defaults,
    }
    save_checkpoint(folder, **(contents | changes))


def equal(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("kind", checkpoints.KINDS)
@pytest.mark.parametrize("shard_bytes", [10**9, 100_000])
def test_diffusers_opens_what_khayal_writes(
    tiny_checkpoint: Kind, tmp_path: Path, kind: str, shard_bytes: int
) -> None:
    original = open_checkpoint(tiny_checkpoint(kind))
    folder = tmp_path / "written"
    save_again(original, folder, shard_bytes=shard_bytes)

    again = open_checkpoint(folder)
    for field in ("transformer", "autoencoder", "text", "scheduler", "boundary_ratio", "expand_timesteps"):
        assert getattr(again, field) == getattr(original, field)
    assert again.defaults == original.defaults
    is_sharded = (folder / "vae" / "diffusion_pytorch_model.safetensors.index.json").exists()
    assert is_sharded == (shard_bytes == 100_000)

    theirs, before = WanPipeline.from_pretrained(folder), WanPipeline.from_pretrained(tiny_checkpoint(kind))
    for part in ("transformer", "transformer_2", "vae", "text_encoder"):
        if getattr(before, part) is not None:
            assert equal(getattr(theirs, part), getattr(before, part)), part
    for key, value in before.scheduler.config.items():
        assert key.startswith("_") or theirs.scheduler.config[key] == value, key
    for key in ("boundary_ratio", "expand_timesteps"):
        assert theirs.config[key] == before.config[key]
    words = "a red ball <3 &amp; كرة"
    assert theirs.tokenizer(words).input_ids == before.tokenizer(words).input_ids
    assert equal(UMT5EncoderModel.from_pretrained(folder / "text_encoder"), before.text_encoder)


def test_metadata_that_other_readers_need(tiny_checkpoint: Kind, tmp_path: Path) -> None:
    from safetensors import safe_open

    save_again(open_checkpoint(tiny_checkpoint("ti2v")), tmp_path / "written")
    with safe_open(tmp_path / "written/vae/diffusion_pytorch_model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
    assert "clip_output" not in json.loads((tmp_path / "written/vae/config.json").read_text())


def test_a_checkpoint_with_khayals_own_autoencoder(tiny_checkpoint: Kind, tmp_path: Path) -> None:
    original = open_checkpoint(tiny_checkpoint("ti2v"))
    config = ChunkAutoencoderConfig(
        latent_channels=12,
        widths=(8, 8, 8),
        encoder_depths=(1, 1, 1),
        decoder_depths=(1, 1, 1),
        latents_mean=(0.5,) * 12,
        latents_std=(2.0,) * 12,
    )
    autoencoder = ChunkAutoencoder(config).to(torch.bfloat16)
    folder = tmp_path / "own"
    defaults = Defaults(fps=original.defaults.fps, seconds=2.0, size=(128, 64), steps=4, guidance=(3.0,))
    save_again(original, folder, autoencoder=autoencoder, defaults=defaults)

    own = open_checkpoint(folder)
    assert own.autoencoder == config
    assert not own.timeline.is_causal
    assert own.defaults == defaults
    assert json.loads((folder / "model_index.json").read_text())["vae"] == ["khayal", "ChunkAutoencoder"]
    assert equal(own.load_autoencoder("cpu", torch.bfloat16), autoencoder)


def test_nothing_is_overwritten_without_being_told(tiny_checkpoint: Kind, tmp_path: Path) -> None:
    original = open_checkpoint(tiny_checkpoint("wan2.1"))
    folder = Path(shutil.copytree(tiny_checkpoint("ti2v"), tmp_path / "model"))
    with pytest.raises(OutputError, match=r"There is a checkpoint at .*model already"):
        save_again(original, folder)
    assert open_checkpoint(folder).expand_timesteps
    save_again(original, folder, overwrite=True)
    assert not open_checkpoint(folder).expand_timesteps
    assert [child.name for child in tmp_path.iterdir()] == ["model"]


def test_what_is_no_checkpoint_is_never_replaced(tiny_checkpoint: Kind, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").touch()
    with pytest.raises(OutputError, match="is no checkpoint"):
        save_again(open_checkpoint(tiny_checkpoint("wan2.1")), tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos" / "cat.png").exists()


def test_a_checkpoint_that_appeared_in_the_meantime_stays(
    tiny_checkpoint: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"

    def another_process(*arguments: Any) -> None:
        shutil.copytree(tiny_checkpoint("ti2v"), folder)

    monkeypatch.setattr("khayal.checkpoint.save._copy_tokenizer", another_process)
    with pytest.raises(OutputError, match=r"model could not be written: .*not empty"):
        save_again(open_checkpoint(tiny_checkpoint("wan2.1")), folder)
    assert open_checkpoint(folder).expand_timesteps
    assert [child.name for child in tmp_path.iterdir()] == ["model"]


def test_an_empty_folder_is_filled(tiny_checkpoint: Kind, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    save_again(open_checkpoint(tiny_checkpoint("wan2.1")), tmp_path / "model")
    open_checkpoint(tmp_path / "model")


def test_no_parent_folder(tiny_checkpoint: Kind, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"There is no folder .*nowhere"):
        save_again(open_checkpoint(tiny_checkpoint("wan2.1")), tmp_path / "nowhere" / "model")


def test_a_failure_leaves_nothing_behind(tiny_checkpoint: Kind, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint("ti2v"), tmp_path / "model"))
    with pytest.raises(AssertionError, match="Linear is not a part"):
        save_again(
            open_checkpoint(tiny_checkpoint("wan2.1")), folder, text_encoder=nn.Linear(2, 2), overwrite=True
        )
    assert [child.name for child in tmp_path.iterdir()] == ["model"]
    assert open_checkpoint(folder).expand_timesteps
