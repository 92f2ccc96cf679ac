"""Sizes, lengths and windows, and the processes that make them."""

import multiprocessing
import os
import signal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import user_files

from khayal.data.captions import Told
from khayal.data.cutting import Cut, Cutting, UnsuitableError, Window, cut, cutting_for, sizes_under
from khayal.data.decoders import cut_all
from khayal.data.folder import Media, Skipped
from khayal.errors import InputError
from khayal.timeline import Timeline

TOLD = (Told(texts={"caption": "a square"}),)
CUTTING = Cutting(fps=Fraction(24), lengths=(5, 9, 13), sizes=((96, 64), (64, 96)), most_enlarged=1.25)


def media(path: Path, *, is_video: bool = True) -> Media:
    return Media(path=path, name=path.name, is_video=is_video, told=TOLD)


def windows(path: Path, *, is_video: bool = True, done: frozenset[int] = frozenset()) -> list[Cut]:
    return list(cut(media(path, is_video=is_video), CUTTING, done))


def test_sizes_have_the_usual_shapes_under_the_budget() -> None:
    for pixels, multiple in ((1280 * 704, 32), (832 * 480, 16), (128 * 128, 16), (64 * 96, 32)):
        sizes = sizes_under(pixels, multiple)
        assert all(w % multiple == h % multiple == 0 and w * h <= pixels for w, h in sizes)
        assert min(w * h for w, h in sizes) > 0.9 * pixels
        assert max(w / h for w, h in sizes) >= 1.5
        assert min(w / h for w, h in sizes) <= 1 / 1.5
    assert (1280, 704) in sizes_under(1280 * 704, 32)
    assert (128, 128) in sizes_under(128 * 128, 16)
    with pytest.raises(InputError, match="too few"):
        sizes_under(900, 32)


@pytest.mark.parametrize("is_causal", [True, False])
def test_lengths_are_those_that_the_model_makes(is_causal: bool) -> None:
    timeline = Timeline(fps=Fraction(24), is_causal=is_causal)

    def lengths(seconds: float) -> tuple[int, ...]:
        chosen = cutting_for(timeline, 16, seconds=seconds, size=None, pixels=9999, most_enlarged=1.0)
        assert all(len(timeline.frames_per_column(n)) > 1 for n in chosen.lengths)
        assert all(sum(timeline.frames_per_column(n)) == n for n in chosen.lengths)
        return chosen.lengths

    assert lengths(0.5) == ((5, 9, 13) if is_causal else (8, 12))
    assert 8 <= len(lengths(5.0)) <= 16
    assert lengths(5.0)[-1] == 120 + is_causal
    with pytest.raises(InputError, match="too short"):
        lengths(0.01)
    with pytest.raises(InputError, match="positive"):
        lengths(float("nan"))
    with pytest.raises(InputError, match="Take 96x64"):
        cutting_for(timeline, 16, seconds=1, size=(100, 60), pixels=9999, most_enlarged=1.0)


def test_pictures_go_to_the_nearest_shape() -> None:
    assert CUTTING.size_for((1920, 1080)) == (96, 64)
    assert CUTTING.size_for((1080, 1920)) == (64, 96)
    assert CUTTING.size_for((80, 60)) == (96, 64)
    with pytest.raises(UnsuitableError, match="too small"):
        CUTTING.size_for((70, 60))
    with pytest.raises(UnsuitableError, match="cropped"):
        CUTTING.size_for((1000, 100))
    assert [CUTTING.length_for(n) for n in (4, 5, 12, 13, 99)] == [0, 5, 9, 13, 13]


def test_a_long_video_is_cut_into_windows(tmp_path: Path) -> None:
    path = user_files.video(tmp_path / "long.mp4", num_frames=13 + 13 + 9)
    found = windows(path)
    assert [(w.number, w.start, len(w.frames)) for w in found if isinstance(w, Window)] == [
        (0, 0, 13),
        (1, 13, 13),
        (2, 26, 9),
    ]
    again = windows(path, done=frozenset({0, 2}))
    assert [w.number for w in again if isinstance(w, Window)] == [1]
    assert isinstance(again[0], Window)
    assert isinstance(found[1], Window)
    assert np.array_equal(again[0].frames, found[1].frames)
    short = windows(user_files.video(tmp_path / "rest.mp4", num_frames=13 + 5))
    assert len(short) == 1  # what is left is less than half of a window


def test_what_a_phone_turned_is_upright(tmp_path: Path) -> None:
    path = user_files.turned(user_files.video(tmp_path / "phone.mp4", size=(96, 64), num_frames=13), 90)
    (video,) = windows(path)
    (still,) = windows(user_files.image(tmp_path / "phone.jpg", (96, 64), orientation=6), is_video=False)
    for window in (video, still):
        assert isinstance(window, Window)
        assert window.frames.shape[1:] == (96, 64, 3)
        left, right = window.frames[0, :, 8].mean(axis=0), window.frames[0, :, -8].mean(axis=0)
        assert left[2] > 150 > left[0]
        assert right[0] > 150 > right[2]  # what was above


def test_a_still_in_a_gif_is_an_image(tmp_path: Path) -> None:
    path = user_files.image(tmp_path / "one.gif", (96, 64))
    (window,) = windows(path)
    assert isinstance(window, Window)
    assert window.frames.shape == (1, 64, 96, 3)


def test_nothing_that_is_wrong_with_a_file_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "noise.mp4").write_bytes(b"noise" * 99)
    (skipped,) = windows(tmp_path / "noise.mp4")
    assert isinstance(skipped, Skipped)
    assert skipped.why == "it cannot be read"
    monkeypatch.setattr("khayal.data.cutting.open_image", lambda path: 1 / 0)
    (skipped,) = windows(tmp_path / "a.png", is_video=False)
    assert "ZeroDivisionError" in str(skipped)


def test_processes_give_files_in_order_and_survive_a_crash(tmp_path: Path) -> None:
    paths = [user_files.video(tmp_path / f"{k}.mp4", num_frames=13 * (3 - k)) for k in range(3)]
    jobs = [(media(path), frozenset[int]()) for path in paths]
    found: dict[str, list[Cut]] = {}
    for one, cuts in cut_all(jobs, CUTTING, 1):
        found[one.name] = [next(cuts)]
        if one.name == "1.mp4":
            (worker,) = multiprocessing.active_children()
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
        found[one.name] += cuts
    assert not multiprocessing.active_children()
    assert [len(cuts) for cuts in found.values()] == [3, 2, 1]
    assert isinstance(found["1.mp4"][-1], Window | Skipped)
    alone = windows(paths[2])
    assert isinstance(alone[0], Window)
    assert isinstance(found["2.mp4"][0], Window)
    assert np.array_equal(found["2.mp4"][0].frames, alone[0].frames)
    with pytest.raises(InputError, match="workers"):
        list(cut_all(jobs, CUTTING, -1))
