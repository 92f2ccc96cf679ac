"""What is said and refused before any model is opened."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from khayal.cli import main


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Run the command in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KHAYAL_MODEL", raising=False)
    before = signal.getsignal(signal.SIGTERM)

    def call(*args):
        with pytest.raises(SystemExit) as end:
            main(args)
        out, err = capsys.readouterr()
        return end.value.code, out, err

    yield call
    signal.signal(signal.SIGTERM, before)


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from khayal.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'av', 'numpy', 'PIL', 'rich', 'huggingface_hub'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 'khayal "a red ball bounces on the grass"' in done.stdout


def test_help_begins_with_examples(run):
    assert run("train", "--help")[1].startswith("Usage: khayal train")
    for args in ((), ("--help",), ("help",), ("-h",)):
        code, out, _ = run(*args)
        assert code == 0
        assert out.index("khayal animate photo.jpg") < out.index("Options:")
    assert run("help", "animate")[1].startswith("Usage: khayal animate")
    shown = " ".join(run("generate", "--help")[1].split())
    assert "default: (the one that khayal comes with)" in shown
    for option in (
        "--seconds S Total length; 0 makes one image.",
        "--steps N Denoising steps: more are finer and slower.",
    ):
        assert f"{option} [default: (the model's)]" in shown
    assert run("--version")[1].startswith("khayal 0.")


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["generte", "a ball"], "“generte” is not a command. Did you mean: khayal generate?"),
        (["Model"], "“Model” is not a command. Did you mean: khayal models?"),
        (["a ball", "--sed", "3"], "No such option '--sed'"),
        (["generate"], "Missing argument 'PROMPT...'"),
        (["a ball", "--size", "1280"], "“1280” is not a size. Write width x height in pixels: 1280x704."),
        (["a ball", "--size", "-64x64"], "“-64x64” is not a size"),
        (["a ball", "--size", "0x64"], "width cannot be 0"),
        (["a ball", "--size", "99999x64"], "width cannot be 99999"),
        (["a ball", "--seconds", "-1"], "seconds cannot be -1. Give 0 to 3600."),
        (["a ball", "--seconds", "nan"], "seconds cannot be nan"),
        (["a ball", "--seconds", "inf"], "seconds cannot be inf"),
        (["a ball", "--seconds", "1e9"], "seconds cannot be 1e+09"),
        (["a ball", "--seconds", "long"], "'long' is not a valid float"),
        (["a ball", "--fps", "0"], "fps cannot be 0"),
        (["a ball", "--fps", "-24"], "fps cannot be -24"),
        (["a ball", "--fps", "1/0"], "“1/0” is not a frame rate"),
        (["a ball", "--fps", "1e6"], "fps cannot be 1e+06"),
        (["a ball", "--steps", "0"], "steps cannot be 0"),
        (["a ball", "--guidance", "nan"], "guidance cannot be nan"),
        (["a ball", "--seed", "-1"], "seed cannot be -1"),
        (["a ball", "--variations", "0"], "0 is not in the range"),
        (["a ball", "--memory", "huge"], "'huge' is not one of"),
        (["a ball", "--solver", "magic"], "'magic' is not one of"),
        (["  "], "The prompt is empty. Say in a sentence what the video shows."),
        (["word " * 20_000], "The prompt has 99,999 characters"),
        (["ball\udcff"], "The prompt is not text"),
        (["a ball", "--negative", "word " * 20_000], "The negative prompt has 100,000 characters"),
        (["a ball", "--out", "ball.avi"], "“.avi” is not a format that khayal knows"),
        (["a ball", "--out", "nowhere/ball.mp4"], "the folder nowhere does not exist"),
        (["a ball", "--out", "/proc/ball.mp4"], "/proc/ball.mp4 cannot be written"),
        (["a ball", "--out", "taken.txt/ball.mp4"], "taken.txt is not a folder"),
        (["a ball", "--out", "-"], "A video cannot be written to stdout"),
        (["a ball", "--out", "-", "--variations", "2"], "A video cannot be written to stdout"),
        (["animate"], "Missing argument 'IMAGE'"),
        (["animate", "missing.jpg"], "The image missing.jpg cannot be opened: there is no such file"),
        (["animate", "taken.txt"], "it is not an image that can be read"),
        (["animate", "photo.png", "--fit", "stretch"], "'stretch' is not one of"),
        (["photo.png"], "“photo.png” is an image. To bring it to life: khayal animate photo.png"),
    ],
)
def test_bad_input_gets_one_sentence_before_the_work(run, tmp_path, args, sentence):
    (tmp_path / "taken.txt").write_text("words")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "photo.png")
    code, out, err = run(*args)
    assert sentence in err
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert (code, out) == (1 if "--out" in args else 2, "")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["photo.png", "taken.txt"]


def test_an_error_in_json_leaves_stdout_empty(run):
    code, out, err = run("a ball", "--seconds", "nan", "--json")
    assert (code, out) == (2, "")
    error = json.loads(err)["error"]
    assert error == {
        "kind": "InputError",
        "message": "seconds cannot be nan. Give 0 to 3600.",
        "what": "seconds cannot be nan",
        "why": "",
        "fix": "give 0 to 3600",
        "exit_code": 2,
    }
    assert json.loads(run("generte", "--json")[2])["error"]["kind"] == "UsageError"


@pytest.mark.parametrize("module", ["click.core", "khayal.cli.train", "torch._utils"])
@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_stopping_while_modules_are_imported(tmp_path, module, extra):
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "khayal", "a ball", *extra],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        # a shell that runs the tests in the background makes its children deaf to Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.rstrip().endswith(f" {module}"):
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    said = err.splitlines()[-1]
    if extra:
        assert json.loads(said) == {
            "error": {"kind": "Cancelled", "message": "Stopped on request.", "exit_code": 130}
        }
    else:
        assert said == "Stopped on request."
    assert list(tmp_path.iterdir()) == []


def test_debugging_shows_the_traceback(run, monkeypatch):
    monkeypatch.setenv("KHAYAL_DEBUG", "1")
    code, _, err = run("a ball", "--seconds", "nan")
    assert code == 2
    assert "Traceback" in err
    assert err.endswith("Error: seconds cannot be nan. Give 0 to 3600.\n")


def test_a_model_that_is_not_there(run):
    code, _, err = run("a ball", "--model", "./nothing/here")
    assert code == 1
    assert err.startswith("Error: There is no folder nothing/here")
