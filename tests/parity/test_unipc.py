"""UniPC and its schedule against diffusers' scheduler, step by step."""

import pytest
import torch
from diffusers import UniPCMultistepScheduler

from khayal.flow import schedule
from khayal.sample.solvers import UniPC


def velocity(latents, sigma):
    """Any smooth function will do; this one mixes frames and depends on the level."""
    return torch.sin(3 * latents) * (0.5 + sigma) + 0.2 * latents.mean(dim=2, keepdim=True)


@pytest.mark.parametrize("shift", [1.0, 3.0, 5.0])
@pytest.mark.parametrize("num_steps", [1, 2, 5, 27, 50])
def test_same_latents_after_every_step(num_steps, shift):
    reference = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )
    reference.set_timesteps(num_steps)
    sigmas = schedule(num_steps, shift=shift)
    assert (sigmas * 1000).trunc().long()[:-1].tolist() == reference.timesteps.tolist()

    latents = torch.randn(2, 4, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    expected, solver = latents.clone(), UniPC()
    for k, timestep in enumerate(reference.timesteps):
        prediction = velocity(expected, float(sigmas[k]))
        expected = reference.step(prediction, timestep, expected, return_dict=False)[0]
        latents = solver.step(
            lambda x, row: velocity(x, float(row[0])), latents, sigmas[k].expand(3), sigmas[k + 1].expand(3)
        )
        torch.testing.assert_close(latents, expected, atol=1e-5, rtol=1e-5)
