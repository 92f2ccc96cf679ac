"""The studio on tiny checkpoints: what it makes, what it refuses, and what it tells."""

import numpy as np
import pytest
import torch

import khayal
from khayal.errors import Cancelled, CapacityError, InputError
from untrained import make_untrained

SIZE = {"wan2.1": (64, 48), "ti2v": (96, 64), "a14b": (64, 48)}
SHORT = {"num_frames": 5, "steps": 2, "seed": 3}


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("untrained") / "model"
    make_untrained(folder)
    return folder


def test_the_same_seed_gives_the_same_video_and_another_another(tiny_checkpoint):
    studio = khayal.open(tiny_checkpoint("ti2v"), device="cpu")
    given = {**SHORT, "size": SIZE["ti2v"]}
    one, same = (studio.generate("a red ball", **given).frames for _ in range(2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, studio.generate("a red ball", **{**given, "seed": 4}).frames)
    fresh = khayal.open(tiny_checkpoint("ti2v"), device="cpu").generate("a red ball", **given).frames
    assert np.array_equal(one, fresh)


def test_a_clip_gives_its_frames_again_and_again(tiny_checkpoint):
    studio = khayal.open(tiny_checkpoint("ti2v"), device="cpu")
    clip = studio.generate("a red ball", size=SIZE["ti2v"], num_frames=9, steps=2, seed=0)
    parts = list(clip)
    assert len(parts) > 1, "frames come out while later ones are still to be decoded"
    assert np.array_equal(np.concatenate(parts), clip.frames)
    assert clip.frames.shape == (9, 64, 96, 3)


@pytest.mark.parametrize("num_frames", [1, 4, 12])
def test_khayals_own_kind_generates(untrained, num_frames):
    studio = khayal.open(untrained, device="cpu")
    clip = studio.generate("a red ball", size=(64, 32), num_frames=num_frames, steps=2, seed=0)
    assert clip.frames.shape == (num_frames, 32, 64, 3)


@pytest.mark.parametrize("kind", ["ti2v", "untrained"])
def test_animate_holds_the_still_in_every_step(kind, untrained, tiny_checkpoint):
    folder = untrained if kind == "untrained" else tiny_checkpoint(kind)
    studio = khayal.open(folder, device="cpu", dtype="float32")
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    seen = []
    clip = studio.animate(
        image,
        "it moves",
        num_frames=9,
        size=(96, 64),
        steps=3,
        seed=0,
        on_step=lambda progress: seen.append(progress.latents) if progress.stage == "denoise" else None,
    )
    assert clip.frames.shape == (9, 64, 96, 3)
    still = studio.encode_image(image)
    assert len(seen) == 3
    for latents in seen:
        assert torch.equal(latents[:, :, :1], still)
        assert not torch.equal(latents[:, :, 1:2], still)


@pytest.mark.parametrize("kind", ["ti2v", "untrained"])
def test_animate_starts_with_the_users_own_pixels(kind, untrained, tiny_checkpoint):
    """Whatever the autoencoder makes of them, and whatever the rest becomes."""
    folder = untrained if kind == "untrained" else tiny_checkpoint(kind)
    studio = khayal.open(folder, device="cpu", dtype="float32")
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    frames = studio.animate(image, "it moves", num_frames=5, size=(96, 64), steps=2, seed=0).frames
    assert np.array_equal(frames[0], image), "the first frame is the still"
    assert not np.array_equal(frames[1], image)


def test_steps_are_told_and_can_stop_the_work(tiny_checkpoint):
    studio = khayal.open(tiny_checkpoint("ti2v"), device="cpu")
    told = []

    def on_step(progress):
        told.append((progress.stage, progress.step, progress.num_steps))
        if progress.stage == "denoise" and progress.step == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        studio.generate("a ball", size=SIZE["ti2v"], num_frames=5, steps=6, on_step=on_step)
    assert told == [("text", 0, 1), ("text", 1, 1), ("denoise", 1, 6), ("denoise", 2, 6)]
    # and the studio goes on working
    told.clear()
    clip = studio.generate(
        "a ball", size=SIZE["ti2v"], **SHORT, on_step=lambda p: told.append((p.stage, p.step))
    )
    _ = clip.frames
    assert told[-1] == ("decode", 5)


def test_what_a_model_cannot_do_is_refused_by_name(tiny_checkpoint):
    image = np.zeros((48, 64, 3), np.uint8)
    for kind in ("wan2.1", "a14b"):
        with pytest.raises(InputError, match=f"{kind} cannot animate"):
            khayal.open(tiny_checkpoint(kind), device="cpu").animate(image)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": (100, 70)}, "cannot make 100×70: its sides are multiples of 32. Take 96x64"),
        ({"num_frames": 6}, r"its clips have 4k\+1\. Ask for 5"),
        ({"guidance": (4.0, 3.0)}, "2 guidance scales were given: this model has 1 expert"),
        ({"guidance": 1, "negative": "blur"}, "negative prompt does nothing at guidance 1"),
        ({"noise": torch.zeros(1, 3, 2, 2, 2)}, r"shape \(1, 3, 2, 2, 2\)"),
        ({"noise": torch.zeros(1, 12, 2, 4, 6), "seed": 1}, "Both a seed and the noise"),
    ],
)
def test_what_cannot_be_made_names_what_can(settings, said, tiny_checkpoint):
    studio = khayal.open(tiny_checkpoint("ti2v"), device="cpu")
    given = {"size": SIZE["ti2v"], "num_frames": 5, "steps": 2, **settings}
    with pytest.raises(InputError, match=said):
        studio.generate("a ball", **given)


def test_unknown_devices_and_types_are_refused(tiny_checkpoint):
    folder = tiny_checkpoint("ti2v")
    with pytest.raises(InputError, match="device “abacus” cannot be used"):
        khayal.open(folder, device="abacus")
    with pytest.raises(InputError, match="no dtype “float8”"):
        khayal.open(folder, dtype="float8")


@pytest.mark.parametrize("device", ["meta", "cpu:3", "xpu"])
def test_other_devices_are_refused_before_a_download(device):
    with pytest.raises(InputError, match=f"device “{device}” cannot be used"):
        khayal.open("nobody/nothing", device=device)


def test_a_video_beyond_all_measure_is_refused(tiny_checkpoint):
    studio = khayal.open(tiny_checkpoint("ti2v"), device="cpu")
    with pytest.raises(CapacityError, match="not enough memory"):
        studio.generate("a ball", size=(8192, 8192), seconds=3600, window_seconds=3600, steps=1)


def test_running_out_of_memory_is_one_sentence(tiny_checkpoint):
    studio = khayal.open(tiny_checkpoint("ti2v"), device="cpu")

    def on_step(progress):
        if progress.stage == "denoise":
            raise torch.OutOfMemoryError("Tried to allocate 20 GiB")

    with pytest.raises(CapacityError, match=r"memory ran out.*20 GiB.*--memory low"):
        studio.generate("a ball", size=SIZE["ti2v"], **SHORT, on_step=on_step)


def test_notes_come_before_the_work(tiny_checkpoint):
    told = []
    khayal.open(tiny_checkpoint("ti2v"), device="cpu").animate(
        np.zeros((50, 70, 3), np.uint8), size=(96, 64), **SHORT, on_step=told.append
    )
    assert "cropped" in told[0].notes[0]
    assert told[0].stage == "text"


def test_too_little_memory_is_said_before_anything_is_loaded(tiny_checkpoint, monkeypatch):
    monkeypatch.setattr("khayal.studio.available_bytes", lambda device: 10_000)
    studio = khayal.open(tiny_checkpoint("ti2v"), device="cpu")
    monkeypatch.setattr(
        type(studio.checkpoint), "load_transformer", lambda *a, **k: pytest.fail("it was loaded")
    )
    with pytest.raises(CapacityError, match=r"not enough memory.*--size"):
        studio.generate("a ball", size=SIZE["ti2v"], **SHORT)


def test_a_prompt_that_is_too_long_is_told(untrained):
    clip = khayal.open(untrained, device="cpu").generate(
        "a ball " * 40, size=(64, 32), num_frames=4, steps=1, seed=0
    )
    (note,) = clip.details["notes"]
    assert "longer than the 128 tokens" in note


def test_fps_is_resampled_and_said(tiny_checkpoint):
    studio = khayal.open(tiny_checkpoint("ti2v"), device="cpu")
    clip = studio.generate("a ball", size=SIZE["ti2v"], num_frames=9, steps=2, seed=0, fps=12)
    assert clip.fps == 12
    assert clip.num_frames in (4, 5)
    assert any("12" in note for note in clip.details["notes"])


def test_guidance_acts_only_in_its_interval(tiny_checkpoint):
    studio = khayal.open(tiny_checkpoint("ti2v"), device="cpu", dtype="float32")
    given = {**SHORT, "steps": 4, "size": SIZE["ti2v"]}
    nowhere = studio.generate("a ball", guidance=5, guidance_interval=(0, 0), **given).frames
    unguided = studio.generate("a ball", guidance=1, **given).frames
    early = studio.generate("a ball", guidance=5, guidance_interval=(0.9, 1), **given).frames
    everywhere = studio.generate("a ball", guidance=5, **given).frames
    assert np.array_equal(nowhere, unguided)
    assert not np.array_equal(early, unguided)
    assert not np.array_equal(early, everywhere)


@pytest.mark.parametrize("solver", ["euler", "heun", "unipc"])
def test_every_solver_makes_a_video(solver, tiny_checkpoint):
    clip = khayal.open(tiny_checkpoint("ti2v"), device="cpu").generate(
        "a ball", size=SIZE["ti2v"], solver=solver, **SHORT
    )
    assert clip.details["solver"] == solver
    assert clip.frames.std() > 1
