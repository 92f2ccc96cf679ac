"""Jumps, loops and drift of clips whose course is known."""

import numpy as np
import pytest

from khayal.errors import InputError
from khayal.evaluate.motion import course, drift, jump_ratio, loop_ratio


def turning(count, *, period, jump_at=None):
    """Stripes that move one pixel with each frame, and half a dozen at once where they jump."""
    ground = np.random.default_rng(0).integers(0, 256, (8, period, 3), dtype=np.uint8)
    shifts = np.arange(count) + (0 if jump_at is None else 6 * (np.arange(count) >= jump_at))
    return np.stack([np.roll(ground, shift, axis=1) for shift in shifts])


def test_an_even_motion_neither_jumps_nor_drifts():
    found = course([turning(32, period=32)])
    assert jump_ratio(found, [16]) == pytest.approx(1, abs=0.02)
    assert loop_ratio(found) == pytest.approx(1, abs=0.02), "it has come round"
    assert max(map(abs, drift(found).values())) < 0.02
    assert np.allclose(course(np.array_split(turning(32, period=32), 7)).motion, found.motion)


def test_a_fading_clip_drifts_and_does_not_close():
    frames = turning(40, period=40).astype(float) * np.linspace(1, 0.5, 40)[:, None, None, None]
    found = course([frames.astype(np.uint8)])
    assert drift(found)["luma"] == pytest.approx(0.54 / 0.96 - 1, abs=0.02)
    assert drift(found)["sharpness"] < -0.4
    assert abs(drift(found)["saturation"]) < 0.05


def test_a_cut_is_a_jump():
    frames = np.zeros((20, 4, 4, 3), np.uint8)
    frames[:, 0, 0] = np.arange(20)[:, None]
    frames[10:] += 50
    assert jump_ratio(course([frames]), [10]) > 50
    assert loop_ratio(course([frames[:1].repeat(3, axis=0)])) == 1, "a still picture closes"


def test_what_cannot_be_measured():
    found = course([turning(4, period=8)])
    with pytest.raises(InputError, match="no seam at frame 9"):
        jump_ratio(found, [9])
    with pytest.raises(InputError, match="no frame"):
        course([])
    with pytest.raises(InputError, match="more than one frame"):
        loop_ratio(course([turning(1, period=8)]))
