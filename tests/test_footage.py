"""Clips are read where they are needed, and give the same frames as a whole pass."""

from fractions import Fraction

import numpy as np
import pytest

from khayal import video_reader
from khayal.clip import Clip
from khayal.footage import Footage
from khayal.tasks import Medium


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    """Eight seconds whose grey tells the frame."""
    frames = np.repeat(np.arange(192, dtype=np.uint8)[:, None, None, None] + 30, 32, axis=1)
    path = tmp_path_factory.mktemp("footage") / "counting.mp4"
    return Clip.from_frames(np.ascontiguousarray(np.broadcast_to(frames, (192, 32, 32, 3))), fps=24).save(
        path
    )


@pytest.mark.parametrize("fps", [24, 12, 30, Fraction(24000, 1001)])
def test_frames_from_the_middle_are_those_of_a_whole_pass(counting, fps):
    clip = Clip.open(counting).at_fps(fps)
    whole = clip.frames
    for first in (0, 1, 23, 50, 95, len(whole) - 3, len(whole)):
        parts = list(clip.since(first))
        found = np.concatenate(parts) if parts else whole[:0]
        assert np.array_equal(found, whole[first:]), first


def test_the_end_of_a_long_file_is_read_without_its_beginning(counting, monkeypatch):
    decoded = []
    pixels = video_reader._pixels
    monkeypatch.setattr(video_reader, "_pixels", lambda *given: decoded.append(1) or pixels(*given))
    footage = Footage(Medium(given=counting, is_still=False), fps=Fraction(24), size=(16, 16), fit="crop")
    decoded.clear()
    tail = footage.read(180, 12)
    assert tail.shape == (12, 16, 16, 3)
    assert len(decoded) <= 16
    again = footage.read(191, 1)
    assert np.array_equal(again[0], tail[-1])
    assert len(decoded) <= 16, "what was read is kept"


def test_before_the_first_and_after_the_last_frames_stand_still():
    clip = Clip.from_frames(np.arange(5 * 12, dtype=np.uint8).reshape(5, 2, 2, 3), fps=12)
    footage = Footage(Medium(given=clip, is_still=False), fps=Fraction(12), size=(2, 2), fit="crop")
    frames = footage.read(-2, 9)
    assert np.array_equal(frames[:3], np.stack([clip.frames[0]] * 3))
    assert np.array_equal(frames[-3:], np.stack([clip.frames[-1]] * 3))


def test_a_file_whose_end_is_broken_is_as_long_as_it_can_be_read(counting, tmp_path):
    whole = Clip.open(counting)
    missing = Clip(
        lambda: iter([whole.frames[:100]]),
        fps=whole.fps,
        size=whole.size,
        num_frames=120,
        details={"notes": ()},
    )
    footage = Footage(Medium(given=missing, is_still=False), fps=Fraction(24), size=(32, 32), fit="crop")
    assert footage._readable(missing) == 100
    assert "breaks off: 100 of its 120 frames" in footage.notes[-1]


def test_of_an_hour_only_the_end_is_decoded(tmp_path, monkeypatch):
    path = Clip.from_frames(np.zeros((3600, 16, 16, 3), np.uint8), fps=1).save(tmp_path / "hour.mp4")
    decoded = []
    pixels = video_reader._pixels
    monkeypatch.setattr(video_reader, "_pixels", lambda *given: decoded.append(1) or pixels(*given))
    footage = Footage(Medium(given=path, is_still=False), fps=Fraction(12), size=(16, 16), fit="crop")
    assert footage.num_frames == 3600 * 12
    assert footage.read(footage.num_frames - 16, 16).shape == (16, 16, 16, 3)
    assert len(decoded) < 100
