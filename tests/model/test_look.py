"""A closer look at an actor: where it looks, what it learns, and what it leaves to the probe."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from khayal.errors import CheckpointError
from khayal.model.look import CROP, FILE, Look, crops_of
from khayal.model.probe import Probe, ProbeConfig, ProbeLabels, resized
from khayal.train.chance import Chance
from khayal.train.config import OptimiserConfig
from khayal.train.looking import MOMENTS, Looking, drawn_moments, shaken
from khayal.train.optimiser import Optimiser
from khayal.train.probing import ProbeBatch
from khayal.train.recipe import call_recipe, find_recipe

TINY = ProbeConfig(
    kinds=("square", "cross"),
    colours=("red", "green"),
    motions=("stand",),
    directions=("left",),
    settings=("dark",),
    lights=("day",),
    moves=("still",),
    num_frames=8,
    side=32,
    full_side=64,
    frames_per_step=2,
    width=16,
    deep_width=16,
    token_width=24,
)
NOBODY = 2


def clips(count: int = 8) -> ProbeBatch:
    """A red and a green actor stand side by side; every kind comes in every colour and at every side."""
    frames = torch.full((count, 3, TINY.num_frames, 64, 64), -0.8)
    boxes = torch.zeros(count, 2, TINY.num_steps, 4)
    kinds = torch.zeros(count, 2, dtype=torch.int64)
    for clip in range(count):
        for colour in range(2):
            kind, left = (clip >> colour) & 1, 8 + 28 * (colour ^ (clip >> 2 & 1))
            kinds[clip, colour] = kind
            mask = torch.zeros(64, 64, dtype=torch.bool)
            if kind == 0:
                mask[20:40, left : left + 20] = True
            else:
                mask[27:33, left : left + 20] = mask[20:40, left + 7 : left + 13] = True
            frames[clip, colour, :, mask] = 0.9
            boxes[clip, colour] = torch.tensor([left + 10, 30, 20, 20]) / 64
    nothing = torch.zeros(count, dtype=torch.int64)
    labels = ProbeLabels(
        kinds=kinds,
        motions=torch.zeros(count, 2, dtype=torch.int64),
        directions=torch.ones(count, 2, dtype=torch.int64),
        is_seen=torch.ones(count, 2, TINY.num_steps, dtype=torch.bool),
        boxes=boxes,
        settings=nothing,
        lights=nothing,
        moves=nothing,
        is_cut=torch.zeros(count, dtype=torch.bool),
    )
    return ProbeBatch(frames=frames, labels=labels)


def close_up(batch: ProbeBatch) -> ProbeBatch:
    return replace(batch, frames=batch.frames[:, :, TINY.close_frames])


def chance(step: int, count: int = 8) -> Chance:
    return Chance(seed=1, step=step, batch_size=count, rows=range(count))


@pytest.fixture(scope="module")
def learned() -> Looking:
    looking, batch = Looking(TINY, Path("no probe"), seed=1), close_up(clips())
    config = OptimiserConfig(matrix_learning_rate=5e-3, learning_rate=2e-3)
    optimiser = Optimiser(config, dict(looking.named_parameters()), looking.is_matrix)
    for step in range(40):
        score = looking(batch, chance(step))
        looking.zero_grad()
        (score.total / score.count).backward()
        optimiser.step(1 - step / 40)
    return looking


def test_a_crop_shows_what_is_in_the_box_and_around_it() -> None:
    frames = torch.zeros(1, 1, 3, 64, 64)
    frames[..., 10:30, 30:50] = 1  # its middle is at (40, 20), its sides are 20
    crop = crops_of(frames, torch.tensor([[[40.0, 20.0, 20.0, 12.0]]]) / 64)[0, 0, 0]
    assert crop.shape == (CROP, CROP)
    inside = (crop > 0.5).float()
    assert abs(float(inside.mean()) - (20 / 30) ** 2) < 0.03  # half as much again is seen
    assert torch.equal(inside, inside.flip(0))
    assert torch.equal(inside, inside.flip(1))


def test_it_learns_whose_kind_it_is(learned: Looking) -> None:
    batch = close_up(clips())
    score = learned(batch, chance(1000))
    assert float(score.parts["kind_right"]) / score.count > 0.95
    assert score.count == 16
    untrained = Looking(TINY, Path("no probe"), seed=1)(batch, chance(1000))
    assert float(untrained.parts["kind_right"]) / untrained.count < 0.8


def test_who_is_not_there_or_never_seen_is_not_learned_from() -> None:
    batch = close_up(clips())
    batch.labels.kinds[0, 0] = NOBODY
    batch.labels.is_seen[1, 1] = False
    assert Looking(TINY, Path("no probe"))(batch, chance(0)).count == 14


def test_a_batch_in_which_nobody_is_seen_teaches_nothing() -> None:
    batch, looking = close_up(clips()), Looking(TINY, Path("no probe"))
    batch.labels.is_seen[:] = False
    score = looking(batch, chance(0))
    (score.total / score.count).backward()
    assert all(bool((weight.grad == 0).all()) for weight in looking.parameters())


def test_a_probe_that_is_not_there_is_refused_before_the_training(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no probe"):
        call_recipe(find_recipe("recipes.probe:look"), tmp_path, {})


def test_moments_are_taken_where_an_actor_is_seen() -> None:
    is_seen = torch.zeros(2, 1, 8, dtype=torch.bool)
    is_seen[0, 0, 2:5] = True
    is_seen[1, 0, 6] = True
    drawn = drawn_moments(is_seen, chance(0, count=2))
    assert drawn.shape == (2, 1, MOMENTS)
    assert sorted(drawn[0, 0].tolist()) == [2, 3, 4]
    assert 6 in drawn[1, 0].tolist()


def test_boxes_are_shaken_by_as_much_as_a_probe_errs() -> None:
    boxes = torch.tensor([0.5, 0.5, 0.2, 0.1]).expand(64, 2, 8, 4)
    off = shaken(boxes, chance(0, count=64)) - boxes
    assert 0.01 < float(off[..., :2].std()) < 0.04
    assert bool((shaken(boxes, chance(0, count=64))[..., 2:] > 0).all())


def test_a_probe_with_it_names_kinds_by_it_and_keeps_who_is_there(learned: Looking) -> None:
    torch.manual_seed(0)
    plain, frames = Probe(TINY).eval(), clips().frames
    closer = Probe(TINY, Look(2, 2)).eval()
    closer.load_state_dict(plain.state_dict() | dict(learned.state_dict()))
    with torch.no_grad():
        before, after = plain(frames), closer(frames)
    torch.testing.assert_close(after.kinds.softmax(-1)[..., -1], before.kinds.softmax(-1)[..., -1])
    assert not torch.allclose(after.kinds, before.kinds)
    for name in ("motions", "boxes", "is_seen", "features", "settings"):
        assert torch.equal(getattr(after, name), getattr(before, name))


def test_who_is_surely_not_there_is_not_looked_at() -> None:
    torch.manual_seed(0)
    probe = Probe(TINY, Look(2, 2)).eval()
    probe.kinds[1].bias.data[-1] = 50.0  # nobody, whatever is seen
    plain = Probe(TINY).eval()
    plain.load_state_dict({k: v for k, v in probe.state_dict().items() if not k.startswith("look.")})
    with torch.no_grad():
        assert torch.equal(probe(clips().frames).kinds, plain(clips().frames).kinds)


def test_it_is_exported_beside_the_probe_that_it_is_of(tmp_path: Path) -> None:
    (tmp_path / "of").mkdir()
    save_file(Probe(TINY).state_dict(), tmp_path / "of" / "probe.safetensors")
    looking = Looking(TINY, tmp_path / "of", seed=2)
    weights = dict(looking.state_dict())
    looking.export(tmp_path / "model", weights, iter(()))
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [FILE, "probe.safetensors"]
    again = looking.exported(tmp_path / "model")
    assert set(again) == set(weights)
    for key, weight in weights.items():
        torch.testing.assert_close(again[key], weight, rtol=1e-2, atol=1e-2)


def test_small_frames_are_means_of_large_ones() -> None:
    frames = torch.rand(2, 3, 4, 8, 8)
    small = resized(frames, 4)
    torch.testing.assert_close(small[0, 1, 2, 3, 0], frames[0, 1, 2, 6:8, 0:2].mean())
    assert resized(frames, 8) is frames
