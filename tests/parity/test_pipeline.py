"""From prompt and noise to frames: khayal's studio against diffusers' pipelines on the same folder."""

import numpy as np
import pytest
import torch
from PIL import Image

import khayal
import khayal.studio

PROMPT, NEGATIVE = "a red ball bounces on the green grass", "blurred, static"
SIZE = {"wan2.1": (64, 48), "ti2v": (96, 64), "a14b": (64, 48)}


def psnr(one, other):
    """Of frames in [0, 1]."""
    return 10 * np.log10(1 / np.square(one.astype(np.float64) - other).mean())


@pytest.fixture
def unrounded(monkeypatch):
    """Frames in [0, 1] as the decoder gave them, before they become whole levels."""
    kept = []
    to_pixels = khayal.studio.to_pixels

    def keep(frames):
        kept.append((frames[0].permute(1, 2, 3, 0) * 0.5 + 0.5).clamp(0, 1).numpy())
        return to_pixels(frames)

    monkeypatch.setattr(khayal.studio, "to_pixels", keep)

    def frames(clip):
        kept.clear()
        pixels = clip.frames
        made = np.concatenate(kept)
        assert np.array_equal(pixels, (made * 255).round().astype(np.uint8))
        return made

    return frames


def noise_for(pipeline, size, num_frames, seed=5):
    ratio = pipeline.vae_scale_factor_spatial
    shape = (
        1,
        pipeline.vae.config.z_dim,
        (num_frames - 1) // 4 + 1,
        size[1] // ratio,
        size[0] // ratio,
    )
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def quiet(pipeline):
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("kind", ["wan2.1", "ti2v", "a14b"])
@pytest.mark.parametrize("num_frames", [1, 9])
def test_generate(kind, num_frames, tiny_checkpoint, unrounded):
    from diffusers import WanPipeline

    folder, size = tiny_checkpoint(kind), SIZE[kind]
    pipeline = quiet(WanPipeline.from_pretrained(folder))
    noise = noise_for(pipeline, size, num_frames)
    scales = {"guidance_scale": 4.0, "guidance_scale_2": 3.0} if kind == "a14b" else {"guidance_scale": 4.0}
    expected = pipeline(
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        width=size[0],
        height=size[1],
        num_frames=num_frames,
        num_inference_steps=6,
        latents=noise.clone(),
        **scales,
    ).frames[0]

    studio = khayal.open(folder, device="cpu", dtype="float32")
    given = {
        "negative": NEGATIVE,
        "size": size,
        "num_frames": num_frames,
        "steps": 6,
        "guidance": tuple(scales.values()),
        "noise": noise,
    }
    assert psnr(unrounded(studio.generate(PROMPT, **given)), expected) > 60
    # The same test would fail for a wrong prompt, negative prompt or guidance.
    for wrong in ({"negative": "a blue cube"}, {"guidance": tuple(s + 1 for s in scales.values())}):
        assert psnr(unrounded(studio.generate(PROMPT, **{**given, **wrong})), expected) < 45
    assert psnr(unrounded(studio.generate("two blue cubes", **given)), expected) < 45


def test_animate_on_ti2v(tiny_checkpoint, unrounded, tmp_path):
    from diffusers import AutoencoderKLWan, WanImageToVideoPipeline

    folder, size = tiny_checkpoint("ti2v"), SIZE["ti2v"]
    vae = AutoencoderKLWan.from_pretrained(folder / "vae")
    pipeline = quiet(WanImageToVideoPipeline.from_pretrained(folder, vae=vae))
    noise = noise_for(pipeline, size, 9)
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    picture.save(tmp_path / "still.png")
    expected = pipeline(
        image=picture,
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        width=size[0],
        height=size[1],
        num_frames=9,
        num_inference_steps=6,
        guidance_scale=4.0,
        latents=noise.clone(),
    ).frames[0]

    studio = khayal.open(folder, device="cpu", dtype="float32")
    given = {
        "negative": NEGATIVE,
        "size": size,
        "num_frames": 9,
        "steps": 6,
        "guidance": 4.0,
        "noise": noise,
    }
    result = unrounded(studio.animate(tmp_path / "still.png", PROMPT, **given))
    assert psnr(result, expected) > 60
    other = unrounded(studio.animate(np.zeros((64, 96, 3), np.uint8), PROMPT, **given))
    assert psnr(other, expected) < 45


def test_two_calls_give_the_frames_of_one_batched_call(tiny_checkpoint):
    """Memory decides which it is, so it must not show."""
    folder = tiny_checkpoint("ti2v")
    frames = [
        khayal.open(folder, dtype="float32", memory=memory)
        .generate(PROMPT, size=(96, 64), num_frames=9, steps=4, seed=1)
        .frames.astype(int)
        for memory in ("high", "low")
    ]
    assert np.abs(frames[0] - frames[1]).max() <= 1
