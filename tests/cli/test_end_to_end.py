"""Whole runs on tiny checkpoints: real files, real exit codes, real signals."""

import contextlib
import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from khayal.cli import main
from khayal.clip import Clip

QUICK = ("--steps", "2", "--size", "64x64", "--seconds", "0.3")
COMMAND = (sys.executable, "-m", "khayal")


@pytest.fixture
def folder(tmp_path, monkeypatch, tiny_checkpoint):
    """An empty current folder, with the tiny TI2V as the default model."""
    monkeypatch.setenv("KHAYAL_MODEL", str(tiny_checkpoint("ti2v")))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # so small that threads only wait for each other
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder, capfd):
    """Run the command in this process: (exit code, stdout, stderr)."""
    before = signal.getsignal(signal.SIGTERM)

    def call(*args):
        with pytest.raises(SystemExit) as end:
            main(args)
        out, err = capfd.readouterr()
        return end.value.code, out, err

    yield call
    signal.signal(signal.SIGTERM, before)


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_sentence_becomes_a_video(run, folder):
    code, out, err = run("a red ball bounces", *QUICK, "--seed", "7")
    assert code == 0, err
    path, report = out.splitlines()
    assert path == "a-red-ball-bounces-7.mp4"
    assert report.startswith("64×64, 0.375 s (9 frames at 24 fps), seed 7, took ")
    assert "Imagining 1/2" in err
    clip = Clip.open(folder / path)
    assert (clip.size, clip.num_frames, clip.fps) == ((64, 64), 9, 24)
    assert names(folder) == [path]


def test_json_is_the_only_thing_on_stdout(run, folder):
    code, out, err = run("a", "red", "ball", *QUICK, "--json", "--out", "ball.webm")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert 0 <= result.pop("seed") < 2**32
    assert result.pop("took_seconds") > 0
    assert result.pop("model")
    assert result.pop("memory")
    assert result.pop("guidance")[0] > 0
    assert result == {
        "path": "ball.webm",
        "size": [64, 64],
        "seconds": 0.375,
        "num_frames": 9,
        "fps": 24.0,
        "prompt": "a red ball",
        "steps": 2,
        "solver": "unipc",
        "notes": [],
    }
    assert Clip.open(folder / "ball.webm").num_frames == 9


@pytest.mark.parametrize(
    ("word", "stop", "code"), [("Imagining", signal.SIGINT, 130), ("Developing", signal.SIGTERM, 143)]
)
def test_stopping_leaves_nothing_behind(folder, word, stop, code):
    steps = ["--steps", "1000"] if word == "Imagining" else ["--steps", "1", "--seconds", "20"]
    process = subprocess.Popen(
        [*COMMAND, "a red ball", *QUICK, *steps],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that runs the tests in the background makes its children deaf to Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(word):
            process.send_signal(stop)
            break
    out, err = process.communicate()
    assert (process.returncode, out) == (code, "")
    assert "Traceback" not in err
    if stop == signal.SIGINT:
        assert err.splitlines()[-1] == "Stopped on request."
    assert names(folder) == []


def test_a_terminal_gets_a_bar_and_the_result_stays_on_stdout(run, monkeypatch):
    screen, terminal = pty.openpty()
    drawn = bytearray()

    def draw():
        with contextlib.suppress(OSError):  # how Linux says that the other end was closed
            while part := os.read(screen, 4096):
                drawn.extend(part)

    reader = threading.Thread(target=draw)
    reader.start()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with open(terminal, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        code, out, _ = run("a ball", *QUICK, "--variations", "2", "--seed", "1")
        monkeypatch.undo()
    reader.join()
    os.close(screen)
    assert code == 0
    assert [line.split(",")[0] for line in out.splitlines()] == [
        "a-ball-1.mp4",
        "64×64",
        "a-ball-2.mp4",
        "64×64",
    ]
    assert "2 of 2 · Developing" in drawn.decode()


def test_the_same_seed_makes_the_same_file(run, folder):
    for name in ("one", "two"):
        assert run("a ball", *QUICK, "--seed", "5", "--out", f"{name}.png")[0] == 0
    assert run("a ball", *QUICK, "--seed", "6", "--out", "three.png")[0] == 0
    one, two, three = (Image.open(folder / name / "frame-00004.png") for name in ("one", "two", "three"))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, three)


def test_an_existing_file_is_only_replaced_when_it_was_named(run, folder):
    assert run("a ball", *QUICK, "--seed", "5")[1].startswith("a-ball-5.mp4\n")
    assert run("a ball", *QUICK, "--seed", "5")[1].startswith("a-ball-5-2.mp4\n")
    (folder / "old.mp4").write_text("old")
    assert run("a ball", *QUICK, "--out", "old.mp4")[0] == 0
    assert Clip.open(folder / "old.mp4").num_frames == 9


def test_variations_follow_one_another(run, folder):
    code, out, _ = run("a ball", *QUICK, "--variations", "3", "--seed", "8", "--out", "b.gif", "--json")
    assert code == 0
    results = json.loads(out)["variations"]
    assert [(result["path"], result["seed"]) for result in results] == [
        ("b-1.gif", 8),
        ("b-2.gif", 9),
        ("b-3.gif", 10),
    ]
    assert names(folder) == ["b-1.gif", "b-2.gif", "b-3.gif"]


def test_no_seconds_make_one_image(run, folder):
    code, out, _ = run("a ball", *QUICK, "--seconds", "0", "--seed", "1")
    assert code == 0
    assert out.splitlines()[0] == "a-ball-1.png"
    assert out.splitlines()[1].startswith("64×64, seed 1, took ")
    assert Image.open(folder / "a-ball-1.png").size == (64, 64)


@pytest.mark.parametrize("name", ["still.png", "still"])
@pytest.mark.parametrize(
    "length",
    [("--seconds", "0", "--fps", "60"), ("--seconds", "0.01"), ("--seconds", "0.3", "--fps", "2")],
    ids=" ".join,
)
def test_one_frame_goes_where_it_was_checked(run, folder, name, length):
    (folder / "still").mkdir()  # another's: not where one frame goes
    (folder / "still" / "letters.txt").write_text("mine")
    code, out, err = run("a ball", *QUICK, *length, "--out", name, "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert (result["path"], result["num_frames"]) == ("still.png", 1)
    assert names(folder) == ["still", "still.png", "still/letters.txt"]


def test_a_short_length_that_comes_to_one_frame_is_named_as_an_image(run, folder):
    assert run("a ball", *QUICK, "--seconds", "0.01", "--seed", "1")[1].startswith("a-ball-1.png\n")
    assert run("a ball", *QUICK, "--seconds", "0.3", "--seed", "1", "--out", "dir")[0] == 0
    (folder / "dir" / "letters.txt").write_text("mine")
    code, _, err = run("a ball", *QUICK, "--seed", "1", "--out", "dir")
    assert code == 1
    assert "other files in it" in err
    assert "Imagining" not in err


def test_a_gif_is_reported_as_it_is(run, folder):
    code, out, _ = run("a ball", *QUICK, "--fps", "240", "--out", "b.gif", "--json")
    assert code == 0
    result = json.loads(out)
    back = Clip.open(folder / "b.gif")
    assert (result["num_frames"], result["fps"]) == (back.num_frames, back.fps) == (19, 50)
    assert result["notes"][-1].startswith("Resampled from 240 to 50 fps")


def test_notes_come_before_the_work(run, folder):
    Image.new("RGB", (96, 48)).save(folder / "photo.png")
    _, _, err = run("animate", "photo.png", "word " * 600, *QUICK, "--variations", "2", "--out", "p.mp4")
    lines = err.splitlines()
    notes = [index for index, line in enumerate(lines) if line.startswith("Note: ")]
    assert any("photo.png" in lines[index] for index in notes)
    assert any("tokens" in lines[index] for index in notes)
    assert max(notes) < next(index for index, line in enumerate(lines) if "Imagining" in line)
    assert len({lines[index] for index in notes}) == len(notes)


def test_another_rate_is_resampled_and_said(run):
    code, out, err = run("a ball", *QUICK, "--fps", "12", "--out", "b.mp4")
    assert code == 0
    assert "at 12 fps" in out
    assert "Note: Resampled from 24 to 12 fps" in err


def test_a_still_comes_alive(run, folder):
    Image.fromarray(np.full((48, 96, 3), (200, 30, 40), np.uint8)).save(folder / "photo.jpg")
    code, out, err = run("animate", "photo.jpg", *QUICK, "--seed", "2")
    assert code == 0
    assert out.splitlines()[0] == "photo-2.mp4"
    assert "Note: photo.jpg 96×48 was scaled and cropped to 64×64." in err
    code, _, err = run("animate", "photo.jpg", "it", "turns", *QUICK, "--fit", "pad", "--out", "p.mp4")
    assert code == 0
    assert "scaled and padded" in err


def test_the_prompt_can_come_from_stdin(run, monkeypatch):
    def typed(words):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(words), encoding="utf-8"))

    typed("كرة حمراء\n".encode())
    code, out, err = run("-", *QUICK, "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result["prompt"] == "كرة حمراء"
    assert result["path"] == f"كرة-حمراء-{result['seed']}.mp4"
    typed(b"ball\xff")
    code, out, err = run("-", *QUICK)
    assert (code, out) == (2, "")
    assert "not text" in err


@pytest.mark.parametrize(
    ("args", "code", "sentence"),
    [
        (["--size", "100x60"], 2, "the nearest"),
        (["--device", "toaster"], 2, "toaster"),
        (["--dtype", "float7"], 2, "There is no dtype “float7”"),
        (["--model", "."], 1, "not a checkpoint"),
        (["--model", "no/such/folder"], 1, "There is no folder"),
        (["--guidance", "1", "--negative", "blur"], 2, "does nothing at guidance 1"),
    ],
)
def test_what_this_model_cannot_do_is_said_in_a_sentence(run, folder, args, code, sentence):
    ended, out, err = run("a ball", *QUICK, *args)
    assert (ended, out) == (code, "")
    assert sentence in err
    assert err.startswith("Error: ")
    assert names(folder) == []


def test_a_model_without_levels_per_frame_does_not_animate(run, folder, tiny_checkpoint):
    Image.new("RGB", (64, 64)).save(folder / "photo.png")
    code, _, err = run("animate", "photo.png", *QUICK, "--model", str(tiny_checkpoint("wan2.1")))
    assert code != 0
    assert "cannot animate" in err
    assert names(folder) == ["photo.png"]


def test_two_experts_take_two_scales(run, tiny_checkpoint):
    model = str(tiny_checkpoint("a14b"))
    assert run("a ball", *QUICK, "--model", model, "--guidance", "4,3", "--out", "b.mp4")[0] == 0
    code, _, err = run("a ball", *QUICK, "--guidance", "4,3", "--out", "b.mp4")
    assert code == 2
    assert "guidance" in err
