"""Every pattern's table, the mixture, and what counts in the loss."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from khayal.errors import InputError
from khayal.train.chance import Chance
from khayal.train.denoising import with_weights
from khayal.train.loss import (
    MIXTURE,
    NUM_ANCHORS,
    PATTERNS,
    Extent,
    Levels,
    Mixture,
    Table,
    arrange,
    as_timesteps,
    flow_matching_loss,
    noise_canvases,
)
from khayal.train.source import LatentBatch

T = 12
CLIP = Extent(num_columns=T, still_columns=(0, T - 1), shot_of_column=(0,) * 5 + (1,) * 3 + (2,) * 4)
LEVELS = Levels()


def tables(name: str, extent: Extent = CLIP, count: int = 300) -> list[Table]:
    return [PATTERNS[name].draw(extent, LEVELS, np.random.default_rng([3, k])) for k in range(count)]


def chance(step: int = 0, batch: int = 8, rows: range | None = None) -> Chance:
    return Chance(seed=1, step=step, batch_size=batch, rows=range(batch) if rows is None else rows)


@pytest.mark.parametrize("name", PATTERNS)
def test_every_pattern_is_a_sound_table(name: str) -> None:
    for table in tables(name):
        size = len(table.columns)
        assert table.is_known.shape == table.sigmas.shape == table.positions.shape == (size,)
        assert not table.is_known.all(), "something is left to learn"
        assert ((table.sigmas >= 0) & (table.sigmas <= 1)).all()
        assert (np.diff(table.positions) > 0).all()
        known = table.sigmas[table.is_known]
        assert (known <= LEVELS.most_known).all()
        assert len(set(known)) <= 1, "the known columns of a canvas share their level"
        if PATTERNS[name].keeps_shape:
            assert size == T
    clean = [(t.sigmas[t.is_known] == 0).all() for t in tables(name) if t.is_known.any()]
    assert not clean or 0.35 < np.mean(clean) < 0.65


def known(name: str) -> list[list[bool]]:
    return [table.is_known.tolist() for table in tables(name)]


def test_what_each_pattern_knows() -> None:
    assert not any(map(any, known("shared") + known("independent") + known("images")))
    for row in known("prefix"):
        assert row == sorted(row, reverse=True)
        assert row[0]
    for row in known("suffix"):
        assert row == sorted(row)
        assert row[-1]
    for row in known("ends"):
        assert row[0]
        assert row[-1]
    for table in tables("joined"):
        assert table.is_known[0]
        assert table.is_known[-1]
        assert table.is_other is not None
        assert not table.is_other[0]
        assert table.is_other[-1]
        assert (np.diff(table.is_other.astype(int)) >= 0).all()
        assert (np.diff(table.is_known.astype(int)) != 0).sum() == 2, "one gap"
        cut, gap = int(table.is_other.argmax()), np.flatnonzero(~table.is_known)
        assert gap[0] <= cut <= gap[-1] + 1, "what is known of each clip is its own"
        assert len(gap) == 1 or gap[0] < cut <= gap[-1], "a seam is no cut where there is room for one"
    for row in known("middle"):
        assert not row[0]
        assert not row[-1]
        assert any(row)
    assert {sum(row) for row in known("prefix")} == set(range(1, T))
    assert len({tuple(row) for row in known("middle")}) > 30


def test_levels_are_shared_or_independent() -> None:
    for name in ("shared", "prefix", "suffix", "ends", "joined", "middle", "stills", "anchors", "shots"):
        for table in tables(name, count=20):
            assert len(set(table.sigmas[~table.is_known])) == 1
    assert all(len(set(table.sigmas)) == T for table in tables("independent", count=20))


def test_levels_are_a_shifted_bell_and_some_even_ones() -> None:
    drawn = LEVELS.draw(np.random.default_rng(0), 100_000)
    bell = Levels(uniform_share=0).draw(np.random.default_rng(0), 100_000)
    assert abs(np.median(bell) - 2 / 3) < 0.01  # sigmoid(0) = 1/2, shifted by 2
    assert (bell < 0.02).mean() < 1e-4
    assert 0.0015 < (drawn < 0.02).mean() < 0.0025  # a tenth of the even fiftieth


def test_levels_beside_known_columns_have_a_shift_of_their_own() -> None:
    levels = Levels(shift=10, shift_beside_known=1, uniform_share=0)
    for name, lowest, highest in (("shared", 0.88, 0.94), ("prefix", 0.45, 0.55), ("joined", 0.45, 0.55)):
        dice = np.random.default_rng(0)
        drawn = [PATTERNS[name].draw(CLIP, levels, dice) for _ in range(2000)]
        median = np.median([table.sigmas[~table.is_known][0] for table in drawn])
        assert lowest < median < highest, name


def test_a_column_that_is_alone_has_a_shift_of_its_own() -> None:
    levels = Levels(shift=10, shift_alone=1, uniform_share=0)
    alone = replace(CLIP, num_columns=1, still_columns=(), shot_of_column=())
    for extent, name, lowest, highest in (
        (alone, "shared", 0.45, 0.55),
        (CLIP, "shared", 0.88, 0.94),
        (CLIP, "images", 0.45, 0.55),
    ):
        dice = np.random.default_rng(0)
        drawn = [PATTERNS[name].draw(extent, levels, dice).sigmas[0] for _ in range(2000)]
        assert lowest < np.median(drawn) < highest, name


def test_two_clips_are_joined_in_pairs() -> None:
    latents = torch.arange(3.0)[:, None, None, None, None].expand(3, 2, T, 2, 2)
    plain = Table.of(np.arange(T) < 4, 0.5, 0.0)
    joined = replace(plain, is_other=np.arange(T) >= 7)
    clean = arrange([joined, plain, joined], latents, None, least_scored=0.02).clean[:, 0, :, 0, 0]
    assert clean[0].tolist() == [0.0] * 7 + [1.0] * (T - 7)
    assert clean[1].tolist() == [1.0] * T
    assert clean[2].tolist() == [2.0] * T, "nobody is left to be its neighbour"


def test_stills_stand_where_their_frames_do() -> None:
    seen = set()
    for table in tables("stills"):
        assert table.columns[0] == T  # the first still
        assert table.is_known[0]
        assert table.columns[1:-1].tolist() == list(range(1, T - 1))
        assert table.columns[-1] == (T + 1 if table.is_known[-1] else T - 1)
        assert table.positions.tolist() == list(range(T))
        seen.add(bool(table.is_known[-1]))
    assert seen == {True, False}
    causal = tables("stills", Extent(num_columns=T))
    assert all(table.columns.tolist() == list(range(T)) for table in causal)


def test_images_are_stills() -> None:
    assert {tuple(table.columns) for table in tables("images")} == {(T,), (T + 1,)}
    assert {tuple(table.columns) for table in tables("images", Extent(num_columns=T))} == {(0,)}


def test_anchors_stand_before_a_gap() -> None:
    gaps, sizes, new_shots = [], set(), []
    for table in tables("anchors"):
        new_shots.append(not table.is_known[NUM_ANCHORS:].any())
        sizes.add(len(table.columns))
        window = table.positions[NUM_ANCHORS:]
        assert (np.diff(window) == 1).all()
        assert (np.diff(table.columns) > 0).all()
        assert table.is_known[:NUM_ANCHORS].all()
        assert (np.diff(table.is_known[NUM_ANCHORS:].astype(int)) <= 0).all(), "a window's beginning is known"
        gaps.append(window[0] - table.positions[NUM_ANCHORS - 1])
    assert sizes == {NUM_ANCHORS + T // 2}
    assert 0.4 < np.mean(new_shots) < 0.6
    assert max(gaps) > 100
    assert min(gaps) == 1


def test_shots_before_a_cut_are_known() -> None:
    counts = set()
    for table in tables("shots"):
        assert table.shots is not None
        assert table.shots.tolist() == list(CLIP.shot_of_column)
        counts.add(int(table.is_known.sum()))
    assert counts == {5, 8}  # up to the first cut, or up to the second
    uncut = tables("shots", Extent(num_columns=T))
    assert not any(table.is_known.any() for table in uncut)


def test_the_mixture_keeps_its_shares() -> None:
    mixture, steps = Mixture(), 3000
    kinds: dict[str, int] = {}
    for step in range(steps):
        kind, drawn = mixture.draw([CLIP] * 2, chance(step, batch=2))
        assert len({len(table.columns) for table in drawn}) == 1, "a batch has one shape"
        kinds[kind] = kinds.get(kind, 0) + 1
    for name in ("images", "anchors", "shots"):
        assert abs(kinds[name] / steps - MIXTURE[name]) < 0.012


def test_every_process_draws_the_same_batch() -> None:
    whole = Mixture().draw([CLIP] * 8, chance())[1]
    part = Mixture().draw([CLIP] * 4, chance(rows=range(4, 8)))[1]
    for one, other in zip(whole[4:], part, strict=True):
        np.testing.assert_array_equal(one.sigmas, other.sigmas)
    noise = chance().normal(3, (2, 5))
    torch.testing.assert_close(noise[4:], chance(rows=range(4, 8)).normal(3, (2, 5)), rtol=0, atol=0)


def test_a_short_clip_gets_what_fits_it() -> None:
    for step in range(40):
        kind, drawn = Mixture().draw([Extent(num_columns=1)] * 2, chance(step, batch=2))
        assert kind in ("levels", "images", "shots")
        assert all(len(table.columns) == 1 for table in drawn)


@pytest.mark.parametrize("weights", [{"sideways": 1.0}, {"shared": -1.0}, {"shared": 0.0}])
def test_a_mixture_that_makes_no_sense_is_refused(weights: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Mixture(weights=weights)


def test_what_stands_on_the_canvas() -> None:
    latents, stills = torch.randn(2, 3, T, 2, 2), torch.randn(2, 3, 2, 2, 2)
    drawn = [tables("stills")[0], tables("stills")[1]]
    canvases = arrange(drawn, latents, stills, least_scored=0.02)
    torch.testing.assert_close(canvases.clean[:, :, 0], stills[:, :, 0])
    torch.testing.assert_close(canvases.clean[:, :, 1 : T - 1], latents[:, :, 1 : T - 1])
    drawn = tables("anchors")[:2]
    canvases = arrange(drawn, latents, stills, least_scored=0.02)
    for row, table in enumerate(drawn):
        torch.testing.assert_close(canvases.clean[row], latents[row][:, torch.from_numpy(table.columns)])
    assert canvases.positions.shape == (2, 8)


def test_the_loss_is_of_noised_columns_alone() -> None:
    torch.manual_seed(0)
    latents, noise = torch.randn(1, 3, T, 2, 2), torch.randn(1, 3, T, 2, 2)
    is_known = np.arange(T) < 4
    sigmas = np.where(is_known, 0.1, 0.7)
    sigmas[5] = 0.01  # too little noise to be seen
    table = Table(columns=np.arange(T), positions=np.arange(T) * 1.0, is_known=is_known, sigmas=sigmas)
    canvases = arrange([table], latents, None, least_scored=0.02)
    assert canvases.num_scored == T - 4 - 1
    predicted = torch.randn(1, 3, T, 2, 2, requires_grad=True)
    loss = flow_matching_loss(predicted, canvases, noise)
    loss.backward()
    assert predicted.grad is not None
    moved = predicted.grad.abs().sum(dim=(0, 1, 3, 4)) > 0
    assert moved.tolist() == [False] * 4 + [True, False] + [True] * 6
    wanted = [(predicted - (noise - latents))[:, :, t].square().mean() for t in (4, *range(6, T))]
    torch.testing.assert_close(loss, torch.stack(wanted).sum())
    perfect = flow_matching_loss(noise - latents, canvases, noise)
    assert perfect < 1e-10


def test_what_a_clip_is_about_counts_more_wherever_its_columns_go() -> None:
    torch.manual_seed(0)
    focus = torch.zeros(2, T, 2, 2)
    focus[0, 3, 1, 1] = 1.0  # one place of one column of one clip
    batch = LatentBatch(
        latents=torch.randn(2, 3, T, 2, 2),
        stills=torch.randn(2, 3, 2, 2, 2),
        still_columns=(0, T - 1),
        passages=((), ()),
        frames_per_column=(4,) * T,
        focus=focus,
    )
    weighed = with_weights(batch, 3.0)
    columns = np.array([0, 3, 5])
    table = Table(columns=columns, positions=columns * 1.0, is_known=columns < 0, sigmas=np.full(3, 0.5))
    canvases = arrange([table] * 2, weighed.latents, weighed.stills, least_scored=0.02).weighed()
    torch.testing.assert_close(canvases.clean, batch.latents[:, :, columns])
    weights = canvases.weights
    assert weights is not None
    assert weights.shape == (2, 1, 3, 2, 2)
    torch.testing.assert_close(weights[0, 0, 1, 1, 1] / weights[0, 0, 0, 0, 0], torch.tensor(4.0))
    torch.testing.assert_close(weights[1], torch.ones(1, 3, 2, 2))
    torch.testing.assert_close(weighed.latents[:, -1].mean(dim=(1, 2, 3)), torch.ones(2))
    noise = torch.randn(2, 3, 3, 2, 2)
    wrong = noise - canvases.clean
    wrong[0, :, 1, 1, 1] += 1.0
    heavy = flow_matching_loss(wrong, canvases, noise)
    torch.testing.assert_close(heavy, weights[0, 0, 1, 1, 1] / 4)


def test_columns_are_noised_to_their_levels_and_told_in_whole_numbers() -> None:
    latents, noise = torch.zeros(1, 1, 3, 1, 1), torch.ones(1, 1, 3, 1, 1)
    table = Table(
        columns=np.arange(3),
        positions=np.arange(3.0),
        is_known=np.array([True, False, False]),
        sigmas=np.array([0.0, 0.4567, 1.0]),
    )
    canvases = arrange([table], latents, None, least_scored=0.02)
    torch.testing.assert_close(noise_canvases(canvases, noise).flatten(), torch.tensor([0.0, 0.4567, 1.0]))
    assert as_timesteps(canvases.sigmas).tolist() == [[0.0, 456.0, 1000.0]]
