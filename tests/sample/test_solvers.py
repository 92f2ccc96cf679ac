"""Solvers against flows whose solution is known in closed form.

The data distribution is a Gaussian with mean m and deviation s, for which the velocity field of the path
x = (1 − sigma) clean + sigma noise is known exactly, and so is where each point of noise ends.
"""

import itertools

import pytest
import torch

from khayal.flow import NEARLY_ONE, schedule
from khayal.sample.canvas import Canvas, column
from khayal.sample.denoise import denoise
from khayal.sample.solvers import SOLVERS

MEAN, DEVIATION = 0.7, 0.3


def deviation_at(sigma):
    return (((1 - sigma) * DEVIATION) ** 2 + sigma**2).sqrt()


def gaussian_velocity(latents, sigmas):
    """E[noise − clean | x] for Gaussian data."""
    sigma = column(sigmas, latents)
    variance = deviation_at(sigma) ** 2
    slope = (sigma - (1 - sigma) * DEVIATION**2) / variance
    return slope * (latents - (1 - sigma) * MEAN) - MEAN


def endpoint(start, sigmas):
    """Where a point at `sigmas` ends at sigma 0: its distance in deviations is kept along the flow."""
    sigma = column(sigmas, start)
    return MEAN + DEVIATION * (start - (1 - sigma) * MEAN) / deviation_at(sigma)


def canvas(sigmas, known=(), latents=None):
    t = sigmas.shape[1]
    is_known = torch.zeros(t, dtype=torch.bool)
    is_known[list(known)] = True
    return Canvas(
        latents=torch.zeros(1, 2, t, 3, 4) if latents is None else latents,
        is_known=is_known,
        is_given=is_known,
        is_shown=torch.ones(t, dtype=torch.bool),
        sigmas=sigmas,
        positions=torch.arange(t).float(),
        shots=torch.zeros(t, dtype=torch.long),
        frames_per_column=(4,) * t,
    )


def shared_level(num_steps, t=3):
    return schedule(num_steps, shift=2.0)[:, None].expand(-1, t).contiguous()


def staggered(num_steps, t=4, delay=5):
    """Column i starts i · delay rows later, and waits for the others once it is clean."""
    falling = schedule(num_steps, shift=2.0)
    rows = torch.arange(num_steps + 1 + delay * (t - 1))
    return torch.stack([falling[(rows - i * delay).clamp(0, num_steps)] for i in range(t)], dim=1)


def error(solver, sigmas, **kwargs):
    noise = torch.randn(1, 2, sigmas.shape[1], 3, 4, generator=torch.Generator().manual_seed(3))
    drawn = canvas(sigmas, **kwargs)
    result = denoise(gaussian_velocity, drawn, noise, solver=SOLVERS[solver]())
    return (result - endpoint(noise, sigmas[0])).abs().max().item()


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2), ("unipc", 2)])
def test_error_falls_with_the_order_of_the_solver(solver, order):
    coarse, fine = error(solver, shared_level(20)), error(solver, shared_level(80))
    assert fine < 3e-2
    assert coarse / fine > 0.8 * 4**order


@pytest.mark.parametrize("solver", SOLVERS)
def test_staggered_columns_end_where_a_shared_level_ends(solver):
    """The velocity of a column depends on that column alone here, so its neighbours' rows must not matter."""
    alone, mixed = shared_level(24, t=4), staggered(24)
    noise = torch.randn(1, 2, 4, 3, 4, generator=torch.Generator().manual_seed(5))
    expected = denoise(gaussian_velocity, canvas(alone), noise, solver=SOLVERS[solver]())
    result = denoise(gaussian_velocity, canvas(mixed), noise, solver=SOLVERS[solver]())
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("solver", ["heun", "unipc"])
def test_staggered_table_agrees_with_a_fine_euler_run(solver):
    """Here every column's velocity depends on all of them, so that only the table's rows decide."""

    def coupled(latents, sigmas):
        return gaussian_velocity(latents, sigmas) + 0.3 * latents.mean(dim=2, keepdim=True)

    def refined(sigmas, factor):
        parts = [
            torch.lerp(upper, lower, torch.tensor(i / factor, dtype=torch.float64))
            for upper, lower in itertools.pairwise(sigmas)
            for i in range(factor)
        ]
        return torch.stack([*parts, sigmas[-1]])

    noise = torch.randn(1, 2, 4, 3, 4, generator=torch.Generator().manual_seed(7))
    table = staggered(40, delay=10)
    truth = denoise(coupled, canvas(refined(table, 60)), noise, solver=SOLVERS["euler"]())
    coarse = denoise(coupled, canvas(table), noise, solver=SOLVERS["euler"]())
    result = denoise(coupled, canvas(table), noise, solver=SOLVERS[solver]())
    assert (result - truth).abs().max() < 0.25 * (coarse - truth).abs().max()


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("level", [0.0, 0.1])
def test_known_columns_keep_their_level_and_come_back_unchanged(solver, level):
    sigmas = shared_level(10, t=5).clone()
    sigmas[:, [0, 4]] = level
    clean = torch.randn(1, 2, 5, 3, 4, generator=torch.Generator().manual_seed(11))
    noise = torch.randn(1, 2, 5, 3, 4, generator=torch.Generator().manual_seed(13))
    seen = []

    def predict(latents, row):
        seen.append((latents[:, :, [0, 4]].clone(), row[[0, 4]]))
        return gaussian_velocity(latents, row)

    drawn = canvas(sigmas, known=(0, 4), latents=clean)
    result = denoise(predict, drawn, noise, solver=SOLVERS[solver]())
    assert torch.equal(result[:, :, [0, 4]], clean[:, :, [0, 4]])
    for latents, row in seen:
        assert (row == level).all()
        torch.testing.assert_close(latents, torch.lerp(clean, noise, level)[:, :, [0, 4]])
    assert (result[:, :, 2] - endpoint(noise, sigmas[0])[:, :, 2]).abs().max() < 0.25


def test_a_column_that_starts_at_one_is_the_noise_itself():
    noise = torch.randn(1, 2, 3, 3, 4, generator=torch.Generator().manual_seed(17))
    drawn = canvas(shared_level(4), latents=torch.full((1, 2, 3, 3, 4), float("nan")))
    assert torch.equal(drawn.start(noise), noise)


def test_schedule_falls_from_nearly_one_to_zero():
    sigmas = schedule(5, shift=3.0)
    expected = [NEARLY_ONE, 0.9232, 0.8184, 0.6672, 0.4298, 0.0]
    torch.testing.assert_close(sigmas, torch.tensor(expected, dtype=torch.float64), atol=5e-5, rtol=0)


def test_a_remix_starts_at_its_strength_whatever_the_shift():
    for shift in (1.0, 3.0):
        sigmas = schedule(7, shift=shift, start=0.4)
        assert sigmas[0].item() == pytest.approx(0.4)
        assert sigmas[-1] == 0
        assert (sigmas.diff() < 0).all()


def test_the_loop_stops_when_the_callback_raises():
    class Stop(Exception):  # noqa: N818
        pass

    done = []

    def on_step(step, num_steps, latents):
        done.append((step, num_steps))
        if step == 2:
            raise Stop

    noise = torch.zeros(1, 2, 3, 3, 4)
    with pytest.raises(Stop):
        denoise(gaussian_velocity, canvas(shared_level(9)), noise, solver=SOLVERS["euler"](), on_step=on_step)
    assert done == [(1, 9), (2, 9)]
