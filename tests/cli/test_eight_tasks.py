"""The commands of clips and shots: files of every kind that people have, and what is said of bad ones."""

import json
import signal
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from khayal.cli import main
from khayal.clip import Clip

QUICK = ("--steps", "1", "--size", "32x32", "--guidance", "1")


@pytest.fixture
def folder(tmp_path, monkeypatch, tiny_checkpoint):
    """An empty current folder, with the tiny TI2V (24 fps, a second at once) as the default model."""
    monkeypatch.setenv("KHAYAL_MODEL", str(tiny_checkpoint("ti2v")))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
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
    return sorted(path.name for path in folder.iterdir())


def frames_of(count, size=(32, 32), seed=0):
    """A square that moves over noise."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(60, 200, (size[1], size[0], 3), dtype=np.uint8)
    frames = np.repeat(ground[None], count, axis=0)
    for index, frame in enumerate(frames):
        left = index % max(1, size[0] - 8)
        frame[4:12, left : left + 8] = (220, 30, 30)
    return frames


def save(path, count=24, fps=24, size=(32, 32), seed=0):
    Clip.from_frames(frames_of(count, size, seed), fps=fps).save(path)
    return str(path.name)


def write(path, frames, *, times=None, codec="libx264", pixels="yuv420p"):
    """A file as FFmpeg writes it, with timestamps of its own."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], pixels
        stream.options = {"preset": "ultrafast"} if codec == "libx264" else {}
        for index, picture in enumerate(frames):
            layout = "rgba" if picture.shape[-1] == 4 else "rgb24"
            frame = av.VideoFrame.from_ndarray(picture, format=layout)
            frame.pts = index if times is None else round(times[index] * 30)
            frame.time_base = Fraction(1, 30)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path.name


COMMANDS = {
    "extend": ("extend", "a.mp4", "it", "goes", "on", "--seconds", "0.5"),
    "backward": ("extend", "a.mp4", "--backward", "--seconds", "0.5"),
    "fill": ("fill", "a.mp4", "--missing", "0.3-0.6"),
    "keyframes": ("fill", "--keyframe", "0=a.png", "--keyframe", "0.5s=b.png", "it moves"),
    "connect": ("connect", "a.mp4", "b.webm", "--seconds", "0.3"),
    "loop": ("loop", "a.mp4", "--seconds", "0.3"),
    "remix": ("remix", "a.mp4", "a blue cube", "--strength", "strong"),
    "storyboard": ("storyboard", "story.toml"),
}
LENGTHS = {
    "extend": 24 + 12,
    "backward": 24 + 13,
    "fill": 24,
    "keyframes": 13,
    "connect": 24 + 8 + 12,
    "loop": 24 + 8,
    "remix": 24,
    "storyboard": 13 + 13,
}


@pytest.fixture
def material(folder):
    """What the commands work on; none of it may change."""
    save(folder / "a.mp4")
    save(folder / "b.webm", 15, fps=30, size=(48, 32), seed=1)
    for name, colour in (("a", (200, 0, 0)), ("b", (0, 0, 200))):
        Image.new("RGB", (32, 32), colour).save(folder / f"{name}.png")
    (folder / "story.toml").write_text(
        '[cast.ball]\ndescription = "a red ball"\n[[shot]]\nprompt = "{ball} rolls"\nseconds = 0.5\n'
        '[[shot]]\nprompt = "a cube"\nseconds = 0.5\nimage = "b.png"\n'
    )
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_makes_its_video(name, run, folder, material):
    code, out, err = run(*COMMANDS[name], *QUICK, "--seed", "1", "--out", "made.mp4", "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert (result["num_frames"], result["size"]) == (LENGTHS[name], [32, 32])
    assert Clip.open(folder / "made.mp4").num_frames == LENGTHS[name]
    for file, content in material.items():
        assert (folder / file).read_bytes() == content
    if name == "connect":
        assert result["notes"] == [
            "b.webm was resampled from 30 to 24 fps.",
            "b.webm 48×32 was cropped to 32×32.",
        ]


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["extend"], "Missing argument 'CLIP'"),
        (["extend", "none.mp4"], "none.mp4 cannot be read as a video: there is no such file"),
        (["extend", "words.txt"], "words.txt cannot be read as a video"),
        (["extend", "sound.mp4"], "it has no pictures in it"),
        (["extend", "one.mp4"], "The clip has a single frame. Bring a still to life with khayal animate."),
        (["extend", "a.mp4", "--seconds", "0"], "0 seconds add nothing"),
        (["extend", "a.mp4", "--out", "a.mp4"], "a.mp4 is not overwritten: the video is made from it"),
        (["fill"], "Missing argument 'CLIP'"),
        (["fill", "a.mp4"], "Say which spans of the clip are to be filled, such as 1.0-2.5"),
        (["fill", "a.mp4", "--missing", "1"], "“1” is not a span"),
        (["fill", "a.mp4", "--missing", "0.5-0.2"], "A span from 0.5 to 0.2 s is empty"),
        (["fill", "a.mp4", "--missing", "0.2-0.6", "--missing", "0.5-0.8"], "Two missing spans overlap"),
        (["fill", "a.mp4", "--missing", "0.5-5"], "The span 0.5-5 s leaves the clip: it lasts 1 s"),
        (["fill", "--keyframe", "a.png", "it"], "“a.png” is not a keyframe"),
        (["fill", "--keyframe", "0=none.png", "it"], "The image none.png cannot be opened"),
        (["remix", "a.mp4", "a cube", "--strength", "huge"], "There is no strength “huge”"),
        (["remix", "a.mp4", "a cube", "--seconds", "3"], "No such option '--seconds'"),
        (["connect", "a.mp4"], "Missing argument 'CLIP'"),
        (["a ball", "--resume"], "Give the result a name with --out"),
        (["a ball", "--report", "a.png"], "The report cannot be written to a.png: it is a file"),
        (["a.mp4"], "“a.mp4” is a clip. To let it go on: khayal extend a.mp4"),
        (["storyboard", "none.toml"], "For an example: khayal storyboard --new none.toml"),
        (["storyboard", "words.txt"], "The storyboard words.txt is no TOML"),
        (["storyboard", "--new", "a.png"], "a.png is there already"),
    ],
)
def test_bad_input_gets_one_sentence(run, folder, material, args, sentence):
    (folder / "words.txt").write_text("only words")
    save(folder / "one.mp4", 1)
    with av.open(str(folder / "sound.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    before = names(folder)
    code, out, err = run(*args, *(() if args[0] == "storyboard" else QUICK))
    assert sentence in err
    assert err.count("\n") == 1
    assert code in (1, 2)
    assert out == ""
    assert names(folder) == before


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The storyboard has no shots"),
        ('[[shot]]\nprompt = "a"\nlength = 3\n', "shot 1, there is an unknown key “length”"),
        ('colour = "red"\n[[shot]]\nprompt = "a"\n', "there is an unknown key “colour”"),
        ("[[shot]]\nseconds = 1\n", "shot 1: a shot has no prompt"),
        ('[[shot]]\nprompt = "a"\nseconds = "long"\n', "shot 1, “seconds” is no number"),
        ('[[shot]]\nprompt = "a"\nimage = "none.png"\n', "shot 1, the image none.png is missing"),
        ('[[shot]]\nprompt = "a"\ncut = false\n', "The first shot has nothing to go on from"),
        ('[[shot]]\nprompt = "{dog} runs"\n', "“{dog}” is not in the cast"),
        (
            '[cast.dog]\nimage = "none.png"\n[[shot]]\nprompt = "a"\n',
            "dog of the cast, the image none.png is missing",
        ),
        ("[[shot]\n", "is no TOML"),
    ],
)
def test_storyboards_with_mistakes(run, folder, text, sentence):
    (folder / "story.toml").write_text(text)
    code, out, err = run("storyboard", "story.toml", *QUICK)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_the_example_of_a_storyboard_is_one(run, folder):
    assert run("storyboard", "--new", "story.toml")[:2] == (0, "story.toml\n")
    from khayal.storyboard import read_storyboard

    found = read_storyboard(folder / "story.toml")
    assert [shot.seconds for shot in found["shots"]] == [4, 4, None]
    assert found["cast"][0].name == "ball"


def test_files_that_people_have(run, folder):
    """4K, a variable rate, with alpha, with a broken end: each is read as it is meant.

    That turned ones are turned upright is tested where files are read (test_clip.py).
    """
    write(folder / "big.mp4", np.full((5, 2160, 3840, 3), 90, np.uint8))
    write(folder / "variable.mp4", frames_of(20), times=[index / 30 + (index > 9) for index in range(20)])
    alpha = np.concatenate([frames_of(12), np.zeros((12, 32, 32, 1), np.uint8)], axis=-1)
    write(folder / "alpha.mov", alpha, codec="png", pixels="rgba")
    whole = folder / "whole.mkv"
    write(whole, frames_of(60))
    (folder / "broken.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    said = {
        "big.mp4": "big.mp4 3840×2160 was scaled and cropped to 32×32.",
        "variable.mp4": "variable frame rate",
        "alpha.mov": "was resampled from 30 to 24 fps",
        "broken.mkv": "was resampled",
    }
    for name, sentence in said.items():
        code, out, err = run("extend", name, *QUICK, "--seconds", "0.2", "--out", "made.mp4", "--json")
        assert (code, err) == (0, ""), name
        assert any(sentence in note for note in json.loads(out)["notes"]), (name, out)
    made = Clip.open(folder / "made.mp4")
    assert 16 < made.num_frames < 60
    shown = run("extend", "alpha.mov", *QUICK, "--seconds", "0.2", "--out", "white.mp4", "--json")
    assert shown[0] == 0
    assert Clip.open(folder / "white.mp4").frames[0].min() > 240, "what is transparent is shown on white"


def test_a_long_run_can_be_resumed(run, folder):
    args = ("a ball", *QUICK, "--seconds", "3", "--resume", "--out", "long.mp4", "--json")
    parts = folder / "long.mp4.parts"
    parts.mkdir()
    (parts / "request.json").write_text("{}")
    code, _, err = run(*args, "--seed", "5")
    assert code == 2
    assert "long.mp4.parts is of another run" in err
    (parts / "request.json").unlink()
    parts.rmdir()
    code, out, _ = run(*args)
    assert code == 0
    assert names(folder) == ["long.mp4"], "nothing is kept of a complete video"
    assert json.loads(out)["num_frames"] == 73


def test_a_report_has_the_table_of_each_canvas(run, folder):
    code, out, _ = run("a ball", *QUICK, "--seconds", "2", "--report", "page", "--out", "b.mp4", "--json")
    assert code == 0
    assert json.loads(out)["report"] == "page/index.html"
    page = (folder / "page" / "index.html").read_text()
    assert page.count("<svg") == page.count("<figure>") >= 2
    assert Image.open(folder / "page" / "sheet.png").width > 100
    assert run("a ball", *QUICK, "--seconds", "0", "--report", "page", "--out", "c.png")[0] == 0
    (folder / "page" / "index.html").write_text("mine")
    code, _, err = run("a ball", *QUICK, "--report", "page")
    assert code == 1
    assert "would replace page/index.html" in err
