"""Sound stays where its frames are."""

from fractions import Fraction

import av
import numpy as np
import pytest

from khayal.clip import Clip
from khayal.sound import RATE, Sound, has_sound, samples


@pytest.fixture(scope="module")
def beeping(tmp_path_factory):
    """Two seconds of video; a tone in the second one, from the left."""
    path = tmp_path_factory.mktemp("sound") / "beep.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=12)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        audio = out.add_stream("aac", rate=44_100, layout="stereo")
        times = np.arange(2 * 44_100) / 44_100
        tone = np.where(times >= 1, 0.5 * np.sin(2 * np.pi * 440 * times), 0).astype(np.float32)
        heard = av.AudioFrame.from_ndarray(np.stack([tone, 0 * tone]), format="fltp", layout="stereo")
        heard.sample_rate, heard.pts = 44_100, 0
        for _ in range(24):
            out.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        out.mux(video.encode(None))
        out.mux(audio.encode(heard))
        out.mux(audio.encode(None))
    return path


def loudness(path, *, seconds):
    """Of each half second, from the left and the right."""
    sound = Sound(path=path, start=Fraction(0), seconds=Fraction(seconds))
    whole = np.concatenate(list(samples([sound], Fraction(seconds))), axis=1)
    assert whole.shape == (2, seconds * RATE)
    parts = np.split(whole, seconds * 2, axis=1)
    return np.array([np.sqrt(np.square(part).mean(axis=1)) for part in parts])


def test_samples_stand_where_they_are_put(beeping):
    sound = Sound(path=beeping, start=Fraction(1), seconds=Fraction(1, 2), at=Fraction(3, 2))
    whole = np.concatenate(list(samples([sound], Fraction(3))), axis=1)
    assert whole.shape == (2, 3 * RATE)
    left = np.abs(whole[0])
    assert left[: 3 * RATE // 2].max() == 0 == left[2 * RATE :].max()
    assert left[int(1.6 * RATE) : int(1.9 * RATE)].max() == pytest.approx(0.5, abs=0.05)
    assert left[3 * RATE // 2] < 0.05, "it does not begin with a click"


def test_parts_of_a_sound(beeping):
    sound = Sound(path=beeping, start=Fraction(0), seconds=Fraction(2))
    part = sound.part(Fraction(1), Fraction(3), Fraction(5))
    assert (part.start, part.seconds, part.at) == (1, 1, 5)
    assert sound.part(Fraction(2), Fraction(1), Fraction(0)) is None


@pytest.mark.parametrize("suffix", ["mp4", "webm"])
def test_a_clip_keeps_its_sound_in_a_file(beeping, tmp_path, suffix):
    clip = Clip.open(beeping)
    assert has_sound(clip.at_fps(24).save(tmp_path / f"copy.{suffix}"))
    before, after = loudness(beeping, seconds=2), loudness(tmp_path / f"copy.{suffix}", seconds=2)
    assert before[:2].max() < 0.01 < 0.3 < before[2:, 0].min()
    np.testing.assert_allclose(after, before, atol=0.05)
    assert Clip.open(tmp_path / f"copy.{suffix}").num_frames == 48


def test_a_clip_without_sound_gets_none(tmp_path):
    path = Clip.from_frames(np.zeros((4, 32, 32, 3), np.uint8), fps=4).save(tmp_path / "mute.mp4")
    assert not has_sound(path)
    assert Clip.open(path).sounds == ()
