"""Every task on both kinds of autoencoder: what is known comes back unchanged, and windows fit together."""

import json

import numpy as np
import pytest
import torch

import khayal
import khayal.studio
from khayal.clip import Clip
from khayal.joins import REACH, pinned, steadied
from khayal.rollout import Rollout
from khayal.tasks import Character, Media, Shot
from untrained import make_untrained

SIZE = (32, 32)
KINDS = ("chunk", "causal")


@pytest.fixture(scope="module")
def studio_of(tmp_path_factory, tiny_checkpoint):
    made = {}

    def studio(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp("checkpoints") / "chunk"
            if kind == "chunk":
                make_untrained(folder)
            made[kind] = khayal.open(
                folder if kind == "chunk" else tiny_checkpoint("ti2v"), device="cpu", dtype="float32"
            )
        return made[kind]

    return studio


@pytest.fixture
def rollouts(monkeypatch):
    """The rollouts that a studio makes, to look inside."""
    made = []

    def keep(**given):
        made.append(Rollout(**given))
        return made[-1]

    monkeypatch.setattr(khayal.studio, "Rollout", keep)
    return made


def moving(num_frames, fps, seed=0):
    """A clip of noise that drifts."""
    rng = np.random.default_rng(seed)
    wide = rng.integers(0, 256, (SIZE[1], SIZE[0] + num_frames, 3), dtype=np.uint8)
    frames = np.stack([wide[:, shift : shift + SIZE[0]] for shift in range(num_frames)])
    return Clip.from_frames(frames, fps=fps)


STILL = np.random.default_rng(5).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)


def second(studio, frames):
    return frames / float(studio.timeline.fps)


TASKS = {
    "generate": lambda s, a, b: {"prompt": "a ball", "seconds": second(s, 24)},
    "animate": lambda s, a, b: {"image": STILL, "prompt": "it moves", "seconds": second(s, 24)},
    "extend": lambda s, a, b: {"clip": a, "seconds": second(s, 24)},
    "backward": lambda s, a, b: {"clip": a, "seconds": second(s, 24), "backward": True},
    "fill": lambda s, a, b: {"clip": a, "missing": ((second(s, 6), second(s, 13)),)},
    "keyframes": lambda s, a, b: {"keyframes": ((0, STILL), (second(s, 8), STILL[::-1].copy()))},
    "connect": lambda s, a, b: {"first": a, "second": b, "seconds": second(s, 24)},
    "loop": lambda s, a, b: {"clip": a, "seconds": second(s, 8)},
    "remix": lambda s, a, b: {"clip": a, "prompt": "a cube", "strength": 0.5},
    "storyboard": lambda s, a, b: {
        "shots": [
            Shot(prompt="{it} rolls", seconds=second(s, 8)),
            Shot(prompt="{it} stops", seconds=second(s, 8), is_cut=False),
            Shot(prompt="a cube", seconds=second(s, 8), image=STILL),
        ],
        "cast": [Character(name="it", description="a ball", image=STILL)],
    },
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", TASKS)
def test_every_task_keeps_what_is_known(task, kind, studio_of, rollouts):
    studio = studio_of(kind)
    fps = studio.timeline.fps
    one, other = moving(23, fps), moving(17, fps, seed=1)
    verb = {"backward": "extend", "keyframes": "fill"}.get(task, task)
    seen = []
    clip = getattr(studio, verb)(
        **TASKS[task](studio, one, other),
        size=SIZE,
        steps=2,
        seed=1,
        guidance=1,
        window_seconds=second(studio, 24),
        on_step=lambda progress: seen.append(progress.stage),
    )
    frames = clip.frames
    assert len(frames) == clip.num_frames
    assert clip.details["num_frames"] == clip.num_frames
    (rollout,) = rollouts
    assert seen.count("denoise") == 2 * len(rollout.plan.canvases)
    for number, sketch in enumerate(rollout.plan.canvases):
        canvas, latents = rollout.canvas(number), rollout.latents(number)
        assert torch.equal(latents[:, :, canvas.is_known], canvas.latents[:, :, canvas.is_known])
        assert latents.isfinite().all()
        falls = [place for place, column in enumerate(sketch.columns) if not column.is_known]
        assert latents[:, :, falls].std() > 0.01
    # the user's own frames, wherever the plan says that they stand
    at = 0
    for passage in rollout.plan.passages:
        if isinstance(passage, Media):
            given = (other if passage.index else one).frames
            expected = given[passage.first_frame : passage.first_frame + passage.num_frames]
            assert np.array_equal(frames[at : at + passage.num_frames], expected)
            at += passage.num_frames
        else:
            at += rollout.plan.canvases[passage].num_frames
    if task in ("animate", "keyframes"):
        assert np.array_equal(frames[0], STILL)
    if task == "keyframes":
        assert np.array_equal(frames[8], STILL[::-1])
    assert np.array_equal(frames, clip.frames), "a second pass gives the same"


@pytest.mark.parametrize("kind", KINDS)
def test_windows_come_one_after_the_other_and_can_be_resumed(kind, studio_of, tmp_path):
    studio = studio_of(kind)
    told = []
    request = khayal.tasks.GenerateRequest(
        prompt="a ball",
        size=SIZE,
        steps=2,
        seed=3,
        guidance=1,
        seconds=second(studio, 60),
        window_seconds=second(studio, 24),
    )

    def make():
        return studio.run(request, on_step=lambda progress: told.append(progress.stage), keep=tmp_path)

    clip = make()
    parts = iter(clip)
    next(parts)
    assert told.count("denoise") == 2, "later windows wait until their frames are asked for"
    whole = clip.frames
    finished = sorted(tmp_path.iterdir())
    assert len(finished) > 2
    finished[-1].unlink()
    told.clear()
    again = make().frames
    assert told.count("denoise") == 2 + len(finished) - 1, "only what is missing is made, step by step"
    assert np.array_equal(whole, again)


def test_a_window_that_goes_on_has_its_own_guidance_unless_the_user_gives_one(tmp_path, rollouts):
    make_untrained(tmp_path / "chunk")
    file = tmp_path / "chunk" / "khayal.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"window_guidance": 1.0}))
    studio = khayal.open(file.parent, device="cpu", dtype="float32")
    given = {"size": SIZE, "steps": 2, "seed": 3}
    given |= {"seconds": second(studio, 40), "window_seconds": second(studio, 24)}
    clips = [studio.generate("a ball", **given), studio.generate("a ball", guidance=4, **given)]
    clips.append(studio.generate("a ball", negative="a cube", **given))
    assert [clip.details["window_guidance"] for clip in clips] == [(1.0,), (4.0,), (4.0,)]
    own, asked, _ = rollouts
    assert torch.equal(own.latents(0), asked.latents(0))
    assert not torch.equal(own.latents(1), asked.latents(1))
    tail = [column.is_known for column in own.plan.canvases[1].columns]
    assert torch.equal(own.latents(1)[:, :, tail], asked.latents(1)[:, :, tail])


@pytest.mark.parametrize("is_steadied", [False, True])
def test_a_chunk_at_a_border_is_decoded_between_its_neighbours(is_steadied, studio_of, rollouts, monkeypatch):
    """Windows of chunks, put together, are decoded as one sequence would be.

    What steadies them looks half a chunk further than is decoded so, into noise here: a few levels differ.
    """
    if not is_steadied:
        monkeypatch.setattr("khayal.rollout.steadied", lambda frames, per: frames)
    studio = studio_of("chunk")
    given = {"size": SIZE, "steps": 2, "seed": 3, "guidance": 1, "seconds": second(studio, 60)}
    frames = studio.generate("a ball", window_seconds=second(studio, 24), **given).frames
    (rollout,) = rollouts
    shown = [
        rollout.latents(number)[:, :, place : place + 1]
        for number, sketch in enumerate(rollout.plan.canvases)
        for place, column in enumerate(sketch.columns)
        if column.is_shown
    ]
    autoencoder = studio.checkpoint.load_autoencoder("cpu")
    with torch.inference_mode():
        stream = autoencoder.stream(torch.cat(shown, dim=2))
        stream = steadied(stream, 4) if is_steadied else stream
        whole = khayal.studio.to_pixels(torch.cat(list(stream), dim=2))
    apart = np.abs(whole.astype(int) - frames)
    assert apart.max() <= (8 if is_steadied else 1)
    assert apart.mean() < 0.05


@pytest.mark.parametrize("size", [4, 8, 40])
def test_a_still_picture_does_not_twitch_where_chunks_meet(size):
    level = torch.arange(40) // 4 % 2 * 0.04  # every other chunk is a little brighter
    decoded = level[None, None, :, None, None].expand(2, 3, 40, 8, 8)
    made = torch.cat(list(steadied(iter(decoded.split(size, dim=2)), 4)), dim=2)
    assert made.shape == decoded.shape
    steps = made[0, 0, :, 0, 0].diff().abs()
    assert steps.max() < 0.011, "a quarter of 0.04, and a little for what is not quite still"
    assert torch.allclose(made[..., :2, :, :], decoded[..., :2, :, :]), "far from a border all is as it was"
    assert made.mean() == pytest.approx(decoded.mean().item(), abs=1e-6)


def test_what_moves_or_is_cut_is_not_smoothed():
    evenly = torch.linspace(-0.5, 0.5, 24)[None, None, :, None, None].expand(1, 3, 24, 8, 8)
    assert torch.allclose(torch.cat(list(steadied(iter([evenly]), 4)), dim=2), evenly, atol=1e-6)
    cut = torch.ones(1, 3, 16, 8, 8) * torch.where(torch.arange(16) < 8, -0.9, 0.9)[:, None, None]
    assert torch.allclose(torch.cat(list(steadied(iter([cut]), 4)), dim=2), cut, atol=1e-4)


def test_a_residual_fades_over_the_neighbours_of_a_pin():
    pin, count = 16, 40
    decoded = torch.zeros(1, 3, count, 8, 8)
    truth = torch.ones(3, 8, 8)
    for size in (1, 4, count):
        made = torch.cat(list(pinned(iter(decoded.split(size, dim=2)), {pin: truth})), dim=2)
        weights = made[0, 0, :, 0, 0]
        assert made.shape == decoded.shape
        assert weights[pin] == 1
        assert (weights[pin : pin + REACH + 1].diff() < 0).all()
        assert (weights[pin - REACH : pin + 1].diff() > 0).all()
        assert weights[pin + REACH + 1 :].abs().max() == 0 == weights[: pin - REACH].abs().max()


def test_what_moves_leaves_no_ghost():
    decoded = torch.zeros(1, 3, 3, 16, 16)
    decoded[:, :, 1:, :, 8:] = 1.0  # the right half changes after the border
    made = torch.cat(list(pinned(iter([decoded]), {0: torch.full((3, 16, 16), 0.5)})), dim=2)
    assert made[0, 0, 1, 8, 2] > 0.45, "where the picture stands still the residual is kept"
    assert made[0, 0, 1, 8, 13] == pytest.approx(1.0, abs=1e-4)


def test_frames_without_pins_pass_as_they_are():
    chunks = list(torch.randn(1, 3, 8, 2, 2).split(3, dim=2))
    assert all(a is b for a, b in zip(pinned(iter(chunks), {}), chunks, strict=True))


def test_models_with_one_level_are_refused_by_name(tiny_checkpoint):
    studio = khayal.open(tiny_checkpoint("wan2.1"), device="cpu")
    clip = moving(9, studio.timeline.fps)
    for verb, given in (
        ("extend", {"clip": clip}),
        ("fill", {"clip": clip, "missing": ((0.1, 0.2),)}),
        ("connect", {"first": clip, "second": clip}),
        ("loop", {"clip": clip}),
        ("storyboard", {"shots": [Shot(prompt="a")]}),
    ):
        with pytest.raises(khayal.KhayalError, match=f"wan2.1 cannot {verb}"):
            getattr(studio, verb)(**given)
    frames = studio.remix(clip, "a cube", size=SIZE, steps=1, seed=0, guidance=1).frames
    assert frames.shape == (9, 32, 32, 3)
