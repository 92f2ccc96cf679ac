"""Jumps, loops, flicker and drift of clips whose course is known."""

import numpy as np
import pytest

from khayal.errors import InputError
from khayal.evaluate.motion import Course, course, ends, flicker, jumps


def turning(count, *, period, jump_at=None):
    """Stripes that move one pixel with each frame, and half a dozen at once where they jump."""
    ground = np.random.default_rng(0).integers(0, 256, (8, period, 3), dtype=np.uint8)
    shifts = np.arange(count) + (0 if jump_at is None else 6 * (np.arange(count) >= jump_at))
    return np.stack([np.roll(ground, shift, axis=1) for shift in shifts])


def changes(found):
    """The end against the beginning, as shares of it."""
    return {name: last / first - 1 for name, (first, last) in ends(found).items()}


def test_an_even_motion_neither_jumps_nor_drifts():
    found = course([turning(32, period=32)])
    at = jumps(found.motion, [16])
    assert at.seam == pytest.approx(at.inside, rel=0.02)
    closing = jumps(found.motion, [0], is_loop=True)
    assert closing.seam == pytest.approx(closing.inside, rel=0.02), "it has come round"
    assert max(map(abs, changes(found).values())) < 0.02
    assert np.allclose(course(np.array_split(turning(32, period=32), 7)).motion, found.motion)


def test_a_fading_clip_drifts_and_does_not_close():
    frames = turning(40, period=40).astype(float) * np.linspace(1, 0.5, 40)[:, None, None, None]
    found = course([frames.astype(np.uint8)])
    drift = changes(found)
    assert drift["luma"] == pytest.approx(0.54 / 0.96 - 1, abs=0.02)
    assert drift["sharpness"] < -0.4
    assert abs(drift["saturation"]) < 0.05


def test_a_cut_is_a_jump():
    frames = np.zeros((20, 4, 4, 3), np.uint8)
    frames[:, 0, 0] = np.arange(20)[:, None]
    frames[10:] += 50
    found = jumps(course([frames]).motion, [10])
    assert found.seam > 50 * found.inside
    assert np.isnan(found.border), "no chunks were spoken of"


def test_borders_of_chunks_are_told_apart_from_what_is_inside():
    motion = np.full(24, 2.0)
    motion[[4, 8, 16, 20]] = 3.0  # every chunk flickers a little
    motion[12] = 5.0
    motion[18] = 100.0  # another seam
    found = jumps(motion, [12], [4, 8, 12, 16, 20], aside=[18])
    assert (found.seam, found.border, found.inside) == (5.0, 3.0, 2.0)
    whole = flicker(motion, [4, 8, 16, 20])
    assert whole.border == 3.0
    assert whole.inside > 2.0, "there nothing is left out"


def test_only_what_is_near_a_seam_is_compared_with_it():
    motion = np.full(100, 1.0)
    motion[60:] = 50.0
    assert jumps(motion, [30]).inside == 1.0
    assert jumps(motion, [99]).inside == 50.0
    round_again = jumps(motion, [0], is_loop=True)
    assert round_again.inside == pytest.approx(25.5), "as much of the end as of the beginning"


def test_what_cannot_be_measured():
    found = course([turning(4, period=8)])
    for seam in (9, 0):
        with pytest.raises(InputError, match=f"no seam at frame {seam}"):
            jumps(found.motion, [seam])
    with pytest.raises(InputError, match="nothing beside"):
        jumps(found.motion, [1, 2, 3])
    with pytest.raises(InputError, match="no border"):
        flicker(found.motion, [])
    with pytest.raises(InputError, match="no frame"):
        course([])
    with pytest.raises(InputError, match="between frames"):
        ends(course([turning(1, period=8)]))


def test_the_ends_are_fifteen_percent_each():
    line = np.arange(100.0)
    found = ends(Course(luma=line, saturation=line, sharpness=line, motion=line))
    assert found["luma"] == (7.0, 92.0)
    assert found["motion"] == (8.0, 92.0), "the first change is that of the loop"
