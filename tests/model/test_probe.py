"""The probe can learn what it is for: from a few clips of coloured squares, all of it."""

import pytest
import torch
from torch import Tensor

from khayal.model.probe import Probe, ProbeConfig, ProbeLabels, shifted
from khayal.train.chance import Chance
from khayal.train.probing import ProbeBatch, Probing, losses, mirrored, rights, worn

TINY = ProbeConfig(
    kinds=("square", "bar"),
    colours=("red", "green", "blue"),
    motions=("slide", "stand"),
    directions=("left", "right"),
    settings=("dark", "grey"),
    lights=("day",),
    moves=("still", "pan_left", "pan_right"),
    num_frames=8,
    side=32,
    frames_per_step=2,
    width=16,
    deep_width=16,
    token_width=24,
)
LEFT, RIGHT = 0, 1


def clips() -> ProbeBatch:
    """Six clips: a square or a bar of some colour stands, or slides to the left or to the right."""
    count, steps = 6, TINY.num_steps
    frames = torch.full((count, 3, TINY.num_frames, TINY.side, TINY.side), -0.9)
    labels = ProbeLabels(
        kinds=torch.full((count, 3), 2),
        motions=torch.full((count, 3), -1),
        directions=torch.full((count, 3), -1),
        is_seen=torch.zeros(count, 3, steps, dtype=torch.bool),
        boxes=torch.zeros(count, 3, steps, 4),
        settings=torch.tensor([0, 1] * 3),
        lights=torch.zeros(count, dtype=torch.int64),
        moves=torch.zeros(count, dtype=torch.int64),
        is_cut=torch.zeros(count, dtype=torch.bool),
    )
    frames[1::2] += 0.5
    for clip in range(count):
        colour, kind, direction = clip % 3, clip % 2, (None, LEFT, RIGHT)[clip // 2]
        labels.kinds[clip, colour] = kind
        labels.motions[clip, colour] = int(direction is None)
        labels.directions[clip, colour] = 2 if direction is None else direction
        labels.is_seen[clip, colour] = True
        high, wide = (8, 8) if kind == 0 else (4, 12)
        for frame in range(TINY.num_frames):
            left = 10 + (0 if direction is None else frame * (2 * direction - 1))
            frames[clip, :, frame, 12 : 12 + high, left : left + wide] = -0.9
            frames[clip, colour, frame, 12 : 12 + high, left : left + wide] = 0.9
            box = torch.tensor([left + wide / 2, 12 + high / 2, wide, high]) / TINY.side
            labels.boxes[clip, colour, frame // 2] += box / 2
    return ProbeBatch(frames=frames, labels=labels)


def test_it_learns_a_few_clips_by_heart() -> None:
    batch = clips()
    probe = Probing(TINY, seed=1).probe
    optimiser = torch.optim.AdamW(probe.parameters(), lr=4e-3)
    for _ in range(120):
        reading = probe(batch.frames)
        loss = torch.stack(list(losses(reading, batch.labels).values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    told = rights(probe(batch.frames), batch.labels)
    assert {name for name, share in told.items() if share < 0.99} == set()
    seen = batch.labels.is_seen
    error = (reading.boxes - batch.labels.boxes)[seen].abs()
    assert error.mean() < 0.03
    assert bool(((reading.is_seen > 0) == seen).all())


def test_an_untrained_probe_does_not_know() -> None:
    batch = clips()
    told = rights(Probing(TINY, seed=1).probe(batch.frames), batch.labels)
    assert told["kind_right"] < 0.9
    assert told["colours_right"] < 0.9


def test_a_mirror_changes_sides_and_nothing_else() -> None:
    batch = clips()
    other = mirrored(batch, torch.tensor([True, False, True, True, False, True]), TINY)
    assert torch.equal(other.frames[2], batch.frames[2].flip(-1))
    assert torch.equal(other.frames[1], batch.frames[1])
    assert int(other.labels.directions[2, 2]) == RIGHT
    assert int(batch.labels.directions[2, 2]) == LEFT
    assert int(other.labels.directions[0, 0]) == 2  # nowhere in particular
    assert int(other.labels.directions[0, 1]) == -1  # not asked for
    where = batch.labels.boxes[2, 2, :, 0] + other.labels.boxes[2, 2, :, 0]
    assert where.tolist() == pytest.approx([1.0] * TINY.num_steps)
    again = mirrored(other, torch.tensor([True, False, True, True, False, True]), TINY)
    assert torch.equal(again.labels.moves, batch.labels.moves)


def test_wear_is_a_function_of_the_step_and_of_each_sample() -> None:
    frames = clips().frames

    def at(rows: range) -> Tensor:
        return worn(frames[rows.start : rows.stop], Chance(seed=3, step=7, batch_size=6, rows=rows))

    assert torch.equal(at(range(6))[2:4], at(range(2, 4)))
    assert not torch.equal(at(range(6)), frames)


def test_channels_are_shifted_in_time_within_a_clip_only() -> None:
    x = torch.arange(2 * 3).float().reshape(6, 1, 1, 1).expand(6, 8, 1, 1)
    y = shifted(x, 3)[:, :, 0, 0]
    assert y[:, 0].tolist() == [0, 0, 1, 0, 3, 4]
    assert y[:, 1].tolist() == [1, 2, 0, 4, 5, 0]
    assert y[:, 2].tolist() == [0, 1, 2, 3, 4, 5]


def test_it_reads_clips_alone_as_it_reads_them_together() -> None:
    frames = clips().frames
    probe = Probe(TINY).eval()
    both, alone = probe(frames), probe(frames[:1])
    torch.testing.assert_close(both.kinds[:1], alone.kinds, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(both.boxes[:1], alone.boxes, rtol=1e-4, atol=1e-5)
