"""The tiny checkpoints are good instruments: what conditions the frames moves them far beyond tolerances."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import WanPipeline

import checkpoints


@pytest.mark.parametrize("kind", checkpoints.KINDS)
def test_prompt_level_and_place_matter(kind: str, tiny_checkpoint: Callable[[str], Path]) -> None:
    pipeline = WanPipeline.from_pretrained(tiny_checkpoint(kind))
    latents = torch.randn(
        1, pipeline.transformer.config.in_channels, 3, 8, 8, generator=torch.Generator().manual_seed(0)
    )

    @torch.no_grad()
    def velocity(prompt: str = "a red ball", level: int = 900, x: torch.Tensor = latents) -> torch.Tensor:
        text, _ = pipeline.encode_prompt(prompt, do_classifier_free_guidance=False, max_sequence_length=512)
        return pipeline.transformer(x, torch.tensor([level]), text).sample

    def change(other: torch.Tensor) -> float:
        return ((other - velocity()).norm() / velocity().norm()).item()

    assert change(velocity("a blue cube")) > 0.05
    assert change(velocity("ball a red")) > 0.01
    assert change(velocity(level=800)) > 0.05
    assert change(velocity(x=latents.flip(2)).flip(2)) > 0.01


def test_the_same_seed_gives_the_same_weights(tmp_path: Path, tiny_checkpoint: Callable[[str], Path]) -> None:
    name = "transformer/diffusion_pytorch_model.safetensors"
    again = checkpoints.make_checkpoint(tmp_path / "again", "wan2.1")
    assert (again / name).read_bytes() == (tiny_checkpoint("wan2.1") / name).read_bytes()
