"""Clips are written and read back through real files."""

import contextlib
import logging
import os
import subprocess
import sys
import weakref
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from khayal.clip import Clip, contact_sheet
from khayal.destination import check_output
from khayal.errors import CapacityError, InputError, KhayalError, OutputError

FPS = Fraction(24)


def moving_square(num_frames=24, width=96, height=64):
    """A white square that moves right, on a background that is red left, green right, darker below."""
    y, x = np.mgrid[0:height, 0:width]
    ground = np.stack([200 - 150 * x // width, 40 + 120 * x // width, 60 + y // 2], axis=-1).astype(np.uint8)
    frames = np.repeat(ground[None], num_frames, axis=0)
    for index in range(num_frames):
        left = 2 * index % (width - 16)
        frames[index, 20:36, left : left + 16] = 250
    return frames


def psnr(one, other):
    return 10 * np.log10(255**2 / max(np.mean((one.astype(float) - other.astype(float)) ** 2), 1e-9))


def clip_of(frames, fps=FPS, **details):
    return Clip.from_frames(frames, fps=fps, details=details)


def test_a_clip_can_be_read_again_and_again():
    frames = moving_square(10)
    clip = clip_of(frames)
    assert clip.num_frames == 10
    assert clip.size == (96, 64)
    assert clip.seconds == pytest.approx(10 / 24)
    assert np.array_equal(clip.frames, frames)
    assert np.array_equal(np.concatenate(list(clip)), frames)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm"])
def test_a_video_comes_back_as_it_was(tmp_path, name):
    frames = moving_square()
    path = clip_of(frames).save(tmp_path / name)
    back = Clip.open(path)
    assert (back.fps, back.size, back.num_frames) == (FPS, (96, 64), 24)
    assert back.details["notes"] == ()
    assert psnr(back.frames, frames) > 33
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_an_mp4_is_what_browsers_play(tmp_path):
    path = clip_of(moving_square()).save(tmp_path / "clip.mp4")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec.canonical_name, stream.pix_fmt) == ("h264", "yuv420p")
        context = stream.codec_context
        tags = context.colorspace, context.color_primaries, context.color_trc, context.color_range
        assert tags == (1, 1, 1, 1)
        stamps = [frame.pts * frame.time_base for frame in container.decode(stream)]
    assert stamps == [index / FPS for index in range(24)]
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_colours_are_kept(tmp_path):
    colours = np.array([[200, 30, 40], [20, 180, 60], [30, 40, 220], [240, 220, 30], [128, 128, 128]])
    frames = np.repeat(np.repeat(colours[None, None].astype(np.uint8), 4, axis=0), 32, axis=1)
    frames = np.repeat(frames, 32, axis=2)
    for name in ("c.mp4", "c.webm", "c.gif"):
        back = Clip.open(clip_of(frames).save(tmp_path / name)).frames
        middles = back[1, 16, 16::32].astype(int)
        assert np.abs(middles - colours).max() <= 3, name


SAVES = """
import sys
import numpy as np
from khayal.clip import Clip
chance = np.random.default_rng(0)
ground = np.kron(chance.integers(0, 255, (6, 8, 3)), np.ones((8, 8, 1)))
frames = [np.roll(ground, 2 * n, axis=1) + chance.normal(0, 25, ground.shape) for n in range(12)]
Clip.from_frames(np.stack(frames).clip(0, 255).astype(np.uint8), fps=24).save(sys.argv[1])
"""


def test_the_same_frames_are_the_same_file_whatever_lies_in_memory(tmp_path):
    """glibc fills fresh memory with a value: an encoder that reads what nobody wrote is found out."""
    for value in ("0", "85"):
        given = {**os.environ, "MALLOC_PERTURB_": value, "OMP_NUM_THREADS": "1"}
        path = str(tmp_path / f"{value}.mp4")
        subprocess.run([sys.executable, "-c", SAVES, path], check=True, env=given)
    assert (tmp_path / "0.mp4").read_bytes() == (tmp_path / "85.mp4").read_bytes()


def test_odd_sizes_get_one_more_column_and_row(tmp_path):
    frames = moving_square(5, 95, 63)
    back = Clip.open(clip_of(frames).save(tmp_path / "clip.mp4"))
    assert back.size == (96, 64)
    assert psnr(back.frames[:, :63, :95], frames) > 33
    assert Clip.open(clip_of(frames).save(tmp_path / "clip.webm")).size == (95, 63)


def test_a_gif_keeps_its_time(tmp_path):
    frames = moving_square(48)
    path = clip_of(frames).save(tmp_path / "clip.gif")
    back = Clip.open(path)
    assert (back.fps, back.num_frames, back.size) == (FPS, 48, (96, 64))
    assert psnr(back.frames, frames) > 28
    with Image.open(path) as image:
        assert image.info["loop"] == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["clip.gif"]


def test_a_gif_is_never_faster_than_browsers_show(tmp_path):
    clip = clip_of(moving_square(50), fps=Fraction(240), num_frames=50)
    held = clip.for_file("clip.gif")
    assert (held.fps, held.num_frames, held.details["num_frames"]) == (50, 10, 10)
    back = Clip.open(clip.save(tmp_path / "clip.gif"))
    assert (back.fps, back.num_frames) == (50, 10)
    back = Clip.open(clip_of(moving_square(60), fps=Fraction(60)).save(tmp_path / "clip.gif"))
    assert (back.fps, back.num_frames) == (50, 50)
    assert clip.for_file("clip.mp4") is clip


@pytest.mark.parametrize("name", ["frames/", "frames", "frames.png"])
def test_a_folder_of_pngs_is_exact(tmp_path, name):
    frames = moving_square(5)
    path = clip_of(frames).save(f"{tmp_path}/{name}")
    assert path == tmp_path / "frames"
    assert sorted(entry.name for entry in path.iterdir()) == [f"frame-{i:05d}.png" for i in range(5)]
    assert np.array_equal(np.asarray(Image.open(path / "frame-00003.png")), frames[3])
    clip_of(frames[:3]).save(path)
    assert len(list(path.iterdir())) == 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["frames"]


@pytest.mark.parametrize("name", ["still.png", "still"])
def test_one_frame_is_a_png(tmp_path, name):
    frames = moving_square(1)
    path = clip_of(frames).save(tmp_path / name)
    assert path == tmp_path / "still.png"
    assert np.array_equal(np.asarray(Image.open(path)), frames[0])


def test_one_frame_can_be_an_mp4(tmp_path):
    assert Clip.open(clip_of(moving_square(1)).save(tmp_path / "one.mp4")).num_frames == 1


@pytest.mark.parametrize("name", ["c.mp4", "c.webm", "c.gif", "c.png", "c/"])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_nothing_and_keeps_the_old_file(tmp_path, name, stop):
    frames = moving_square(12)
    target = clip_of(frames[:2]).save(f"{tmp_path}/{name}")
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))

    def on_frame(num_written):
        if num_written >= 8:
            raise stop

    with pytest.raises(stop):
        clip_of(frames).save(target if target.suffix else f"{target}/", on_frame)
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_the_part_can_be_played_while_it_grows(tmp_path):
    num_readable = []

    def on_frame(num_written):
        if num_written == 80:
            (part,) = tmp_path.glob("clip.*.part.mp4")
            with av.open(str(part)) as container:
                num_readable.append(sum(1 for _ in container.decode(video=0)))

    clip_of(moving_square(96), fps=Fraction(8)).save(tmp_path / "clip.mp4", on_frame)
    assert 8 <= num_readable[0] < 80


def test_saving_holds_a_few_frames_only(tmp_path):
    alive, most = set(), 0

    def source():
        nonlocal most
        for index in range(150):
            chunk = np.full((4, 64, 64, 3), index, dtype=np.uint8)
            alive.add(index)
            weakref.finalize(chunk, alive.discard, index)
            most = max(most, len(alive))
            yield chunk
            del chunk

    clip = Clip(source, fps=FPS, size=(64, 64), num_frames=600)
    reported = []
    clip.save(tmp_path / "clip.mp4", reported.append)
    assert reported == list(range(4, 601, 4))
    assert most <= 2
    back = Clip.open(tmp_path / "clip.mp4")
    assert back.num_frames == sum(len(frames) for frames in back) == 600


def test_a_source_that_breaks_its_promise_is_named():
    clip = Clip(lambda: iter([np.zeros((1, 8, 8, 3), np.uint8)]), fps=FPS, size=(16, 16), num_frames=1)
    with pytest.raises(InputError, match="16×16"):
        clip.frames
    with pytest.raises(InputError, match="no clip"):
        Clip.from_frames(np.zeros((2, 8, 8, 3)), fps=24)
    for fps in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="frame rate"):
            Clip.from_frames(np.zeros((2, 8, 8, 3), np.uint8), fps=fps)


def counted(num_frames, fps):
    """Frames whose value is their index."""
    frames = (
        np.zeros((num_frames, 4, 4, 3), np.uint8) + np.arange(num_frames, dtype=np.uint8)[:, None, None, None]
    )
    return Clip.from_frames(frames, fps=fps)


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (12, [0, 2, 4, 6, 8]),
        (48, [index // 2 for index in range(20)]),  # of two equally near the earlier
        (24, list(range(10))),
        (16, [0, 1, 3, 4, 6, 7, 9]),
        (2, [0]),
    ],
)
def test_resampling_takes_the_nearest_frame(fps, expected):
    clip = counted(10, 24).at_fps(fps)
    values = clip.frames[:, 0, 0, 0].tolist()
    assert values == expected
    assert clip.num_frames == len(values)
    assert clip.fps == fps
    if fps != 24:
        assert clip.details["notes"][-1].startswith(f"Resampled from 24 to {fps} fps")


def test_a_still_stays_a_still_at_any_rate(tmp_path):
    clip = counted(1, 24).at_fps(60)
    assert (clip.num_frames, clip.fps, len(clip.frames)) == (1, 60, 1)
    assert "notes" not in clip.details
    assert clip.save(tmp_path / "still.png").is_file()


def test_details_follow_the_rate():
    frames = counted(10, 24).frames
    clip = Clip.from_frames(frames, fps=24, details={"fps": 24.0, "num_frames": 10, "seed": 1})
    resampled = clip.at_fps(12)
    assert {**resampled.details, "notes": ()} == {"fps": 12.0, "num_frames": 5, "seed": 1, "notes": ()}
    assert resampled.num_frames == 5
    assert set(counted(10, 24).at_fps(12).details) == {"notes"}


# --- files that people have -----------------------------------------------------------------------------


def write_video(path, frames, *, stamps=None, codec="libx264", pixels="yuv420p", matrix=None, options=None):
    """A file by PyAV alone, with the given timestamps in 1/1000 s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for index, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(array, format="rgba" if array.shape[-1] == 4 else "rgb24")
            frame.time_base = Fraction(1, 1000)
            frame.pts = stamps[index] if stamps else round(index * 1000 / 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_phone_video_is_turned_upright(tmp_path):
    frames = moving_square(4)
    clockwise = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]  # x' = −y, y' = x: as phones write it
    back = Clip.open(write_video(tmp_path / "phone.mp4", frames, matrix=clockwise))
    assert back.size == (64, 96)
    assert psnr(back.frames, np.rot90(frames, -1, axes=(1, 2))) > 28


def test_a_variable_rate_becomes_constant(tmp_path):
    frames = np.repeat(np.arange(0, 240, 12, dtype=np.uint8)[:, None, None, None], 3, axis=3)
    frames = np.ascontiguousarray(np.broadcast_to(frames, (20, 64, 64, 3)))
    stamps, now = [], 0
    for index in range(20):
        stamps.append(now)
        now += 200 if index == 9 else 40
    back = Clip.open(write_video(tmp_path / "screen.mkv", frames, stamps=stamps))
    assert back.fps == 25
    assert back.num_frames == 24
    levels = back.frames[:, 32, 32, 0].astype(int)
    indices = np.abs(levels[:, None] - np.arange(0, 240, 12)).argmin(axis=1).tolist()
    assert indices == [*range(10), 9, 9, 10, 10, *range(10, 20)]
    assert "variable" in back.details["notes"][0]


def test_what_is_transparent_is_shown_on_white(tmp_path):
    frames = np.zeros((3, 64, 64, 4), np.uint8)
    frames[:, :, :32] = (200, 30, 40, 255)
    path = write_video(tmp_path / "logo.mov", frames, codec="qtrle", pixels="argb")
    back = Clip.open(path).frames[0]
    assert back[32, 48].tolist() == [255, 255, 255]
    assert back[32, 16].tolist() == [200, 30, 40]


def test_a_file_that_breaks_off_gives_what_can_be_read(tmp_path, caplog):
    frames = moving_square(96)
    whole = clip_of(frames).save(tmp_path / "whole.mp4").read_bytes()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(whole[: len(whole) * 6 // 10])
    with caplog.at_level(logging.WARNING):
        clip = Clip.open(broken)
        back = clip.frames
    assert 20 < len(back) <= clip.num_frames < 96
    assert psnr(back[:20], frames[:20]) > 33
    assert "breaks off" in clip.details["notes"][0]


def test_damage_in_the_middle_is_passed_over(tmp_path):
    frames = moving_square(96)
    data = bytearray(clip_of(frames).save(tmp_path / "whole.mp4").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    (tmp_path / "damaged.mp4").write_bytes(data)
    back = Clip.open(tmp_path / "damaged.mp4").frames
    assert len(back) > 70
    assert psnr(back[-1], frames[-1]) > 28


@pytest.mark.parametrize("content", [None, b"", b"not a video at all, only words" * 50])
def test_what_is_no_video_is_refused(tmp_path, content):
    path = tmp_path / "x.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.mp4 cannot be read as a video"):
        Clip.open(path)
    with pytest.raises(InputError, match="folder"):
        Clip.open(tmp_path)


def test_an_unfinished_mp4_without_index_is_refused(tmp_path):
    frames = moving_square(24)
    data = write_video(tmp_path / "moov_last.mp4", frames).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cannot be read as a video"):
        Clip.open(tmp_path / "cut.mp4")


def test_sound_alone_is_refused(tmp_path):
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(InputError, match="no pictures"):
        Clip.open(tmp_path / "sound.wav")


# --- where a result may go ------------------------------------------------------------------------------


def test_places_that_cannot_be_written_are_found_before(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letters.txt").write_text("mine")
    (tmp_path / "named.mp4").mkdir()
    for path, message in [
        (tmp_path / "clip.avi", r"“.avi” is not a format .* \.mp4, \.webm, \.gif, \.png"),
        (tmp_path / "nowhere" / "clip.mp4", "does not exist.*mkdir"),
        (tmp_path / "file" / "clip.mp4", "is not a folder"),
        (tmp_path / "named.mp4", "it is a folder"),
        (tmp_path / "full", "other files in it"),
        (tmp_path / "file", "a file has that name"),
        (tmp_path / ("x" * 300 + ".mp4"), "too long"),
        ("/proc/clip.mp4", "cannot be written"),
        ("-", "cannot be written to stdout.*Give a file name"),
        ("", "names no file"),
        (".", "names no file"),
    ]:
        with pytest.raises(OutputError, match=message):
            check_output(path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "full", "named.mp4"]
    assert check_output(tmp_path / "CLIP.MP4") == tmp_path / "CLIP.MP4"
    assert check_output(f"{tmp_path}/frames.v2/") == tmp_path / "frames.v2"


def test_saving_through_a_link_keeps_the_link(tmp_path):
    real = tmp_path / "real.mp4"
    real.write_bytes(b"old")
    link = tmp_path / "link.mp4"
    link.symlink_to(real)
    clip_of(moving_square(2)).save(link)
    assert link.is_symlink()
    assert Clip.open(real).num_frames == 2


def tree(folder):
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.parametrize("name", ["ball.mp4", "ball.gif", "ball.webm", "ball.png", "frames/"])
@pytest.mark.parametrize("is_stopped", [False, True])
def test_only_what_a_run_made_is_removed(tmp_path, name, is_stopped):
    for label in ("part", "old.part", "whole.part", "old", "whole", "copy"):
        for file in (f"ball.{label}.mp4", f"ball.{label}.gif", f"ball.{label}.mkv", f"ball.{label}.png"):
            (tmp_path / file).write_text("mine")
        for folder in (f"frames.{label}", f"ball.{label}"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "thesis.txt").write_text("mine")
    before = tree(tmp_path)

    def on_frame(num_written):
        if is_stopped:
            raise KeyboardInterrupt

    clip = clip_of(moving_square(1 if name == "ball.png" else 5))
    with contextlib.suppress(KeyboardInterrupt):
        clip.save(f"{tmp_path}/{name}", on_frame)
    after = tree(tmp_path)
    assert {path: after.get(path) for path in before} == before
    made = {path.parts[0] for path in set(after) - set(before)}
    assert made == (set() if is_stopped else {name.rstrip("/")})


@pytest.mark.parametrize("name", ["clip.mp4", "frames/"])
def test_two_runs_to_one_target_do_not_meet(tmp_path, name):
    target = f"{tmp_path}/{name}"
    other = clip_of(moving_square(9))
    saved = []

    def on_frame(num_written):
        if not saved:
            saved.append(other.save(target))

    path = clip_of(moving_square(5)).save(target, on_frame)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    num_frames = Clip.open(path).num_frames if path.is_file() else len(list(path.iterdir()))
    assert num_frames == 5


def test_an_old_folder_comes_back_where_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    target = clip_of(moving_square(3)).save(f"{tmp_path}/frames/")
    before = tree(tmp_path)
    replace = os.replace

    def interrupted(source, destination):
        if ".part" in str(source):
            raise KeyboardInterrupt
        replace(source, destination)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        clip_of(moving_square(5)).save(f"{target}/")
    assert tree(tmp_path) == before


def test_what_came_into_the_folder_meanwhile_is_kept(tmp_path):
    target = clip_of(moving_square(3)).save(f"{tmp_path}/frames/")

    def on_frame(num_written):
        (target / "thesis.txt").write_text("mine")

    with pytest.raises(OutputError, match="other files in it"):
        clip_of(moving_square(5)).save(f"{target}/", on_frame)
    assert (target / "thesis.txt").read_text() == "mine"
    assert len(tree(tmp_path)) == 5
    (target / "thesis.txt").unlink()
    (target / "frame-00003.png").mkdir()
    with pytest.raises(OutputError, match="other files in it"):
        check_output(target)


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (MemoryError("Unable to allocate 9 GiB"), CapacityError, "memory ran out while .*: Unable to all"),
        (CapacityError("The device is full"), CapacityError, "The device is full"),
        (FileNotFoundError(2, "No such file"), KhayalError, "frames could not be made after the first 2: No"),
    ],
)
def test_what_fails_while_frames_are_made_is_said_in_a_sentence(tmp_path, error, kind, sentence):
    def source():
        yield moving_square(2)
        raise error

    clip = Clip(source, fps=FPS, size=(96, 64), num_frames=9)
    for name in ("clip.mp4", "clip.gif", "frames/"):
        with pytest.raises(kind, match=sentence) as raised:
            clip.save(f"{tmp_path}/{name}")
        assert type(raised.value) is kind
    assert list(tmp_path.iterdir()) == []


# --- for the eye ----------------------------------------------------------------------------------------


def test_a_notebook_shows_the_video():
    clip = clip_of(moving_square(4), prompt='a "quoted" <ball>')
    shown = clip._repr_html_()
    assert shown.startswith('<video src="data:video/mp4;base64,')
    assert 'title="a &quot;quoted&quot; &lt;ball&gt;"' in shown
    assert "data:image/png" in clip_of(moving_square(1))._repr_html_()


def test_a_contact_sheet_has_the_first_and_the_last_frame():
    frames = moving_square(30)
    sheet = contact_sheet(clip_of(frames), columns=3, count=5)
    assert sheet.shape == (2 * 68 + 4, 3 * 100 + 4, 3)
    assert np.array_equal(sheet[4:68, 4:100], frames[0])
    assert np.array_equal(sheet[72:136, 104:200], frames[-1])
    assert contact_sheet(clip_of(frames), width=48).shape[1] == 4 * 52 + 4
