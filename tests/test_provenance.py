"""What files say of themselves, and what happens to that when they are changed."""

import json
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner

from khayal import provenance
from khayal.cli.app import app
from khayal.clip import Clip
from khayal.errors import InputError

DETAILS = {"model": "a model", "seed": 2**40, "size": (64, 48), "fps": 24.0, "prompt": "a private matter"}


@pytest.fixture(autouse=True)
def _own_certificate(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def clip():
    frames = np.random.default_rng(0).integers(0, 255, (8, 48, 64, 3), dtype=np.uint8)
    return Clip.from_frames(frames, fps=Fraction(8))


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_a_signed_file_says_that_a_model_made_it(clip, tmp_path, name):
    path = clip.save(tmp_path / name)
    before = Clip.open(path).frames
    assert provenance.verify(path).state == "unsigned"
    assert provenance.sign(path, DETAILS)
    report = provenance.verify(path)
    assert (report.state, report.is_generated, report.generator.split()[0]) == ("trusted", True, "khayal")
    assert report.details["seed"] == 2**40
    assert "private" not in str(report)
    assert np.array_equal(Clip.open(path).frames, before)
    assert [found.name for found in tmp_path.iterdir() if found.is_file()] == [name]


def test_an_image_is_signed_too(clip, tmp_path):
    path = Clip.from_frames(clip.frames[:1], fps=1).save(tmp_path / "a.png")
    assert provenance.sign(path, DETAILS)
    assert provenance.verify(path).state == "trusted"


def test_what_it_was_made_from_stays(clip, tmp_path):
    first, second = (clip.save(tmp_path / name) for name in ("first.mp4", "second.mp4"))
    provenance.sign(first, DETAILS)
    text = tmp_path / "no.mp4"
    text.write_text("this is no video")
    provenance.sign(second, DETAILS, parents=[first, text])
    report = provenance.verify(second)
    assert (report.state, report.is_generated, report.ingredients) == ("trusted", True, ("first.mp4",))
    assert report.details["made_of"] == "first.mp4, no.mp4"


def test_one_changed_byte_is_seen(clip, tmp_path):
    path = clip.save(tmp_path / "a.mp4")
    provenance.sign(path, DETAILS)
    content = bytearray(path.read_bytes())
    content[-50] ^= 1
    path.write_bytes(content)
    report = provenance.verify(path)
    assert report.state == "invalid"
    assert report.problems


def test_only_ones_own_signature_is_trusted(clip, tmp_path, monkeypatch):
    path = clip.save(tmp_path / "a.mp4")
    other = provenance.make_credentials("somebody else")
    provenance.sign(path, DETAILS, credentials=other)
    provenance.own_credentials()
    report = provenance.verify(path)
    assert (report.state, report.signer) == ("valid", "somebody else")
    assert provenance.verify(path, trusted=other.root).state == "trusted"


def test_the_certificate_is_made_once_and_is_private(tmp_path):
    first = provenance.own_credentials()
    assert provenance.own_credentials() == first
    path = provenance.local_folder() / "certificate.pem"
    assert path.stat().st_mode & 0o077 == 0
    assert list(path.parent.iterdir()) == [path]


def test_a_certificate_of_ones_own_is_used(clip, tmp_path, monkeypatch):
    mine = provenance.make_credentials("my studio")
    (tmp_path / "chain.pem").write_bytes(mine.chain)
    (tmp_path / "key.pem").write_bytes(mine.key)
    monkeypatch.setenv("KHAYAL_CERTIFICATE", str(tmp_path / "chain.pem"))
    with pytest.raises(InputError, match="Name both files"):
        provenance.own_credentials()
    monkeypatch.setenv("KHAYAL_CERTIFICATE_KEY", str(tmp_path / "key.pem"))
    path = clip.save(tmp_path / "a.mp4")
    provenance.sign(path, DETAILS)
    assert provenance.verify(path).signer == "my studio"


def test_files_that_carry_no_manifest_stay_as_they_are(tmp_path):
    path = tmp_path / "a.webm"
    path.write_bytes(b"webm")
    assert not provenance.sign(path, DETAILS)
    assert path.read_bytes() == b"webm"
    for missing in (path, tmp_path / "none.mp4"):
        with pytest.raises(InputError):
            provenance.verify(missing)


def test_khayal_verify_tells_it(clip, tmp_path):
    path = clip.save(tmp_path / "a.mp4")
    told = CliRunner().invoke(app, ["verify", str(path)])
    assert "has no manifest" in told.output
    provenance.sign(path, DETAILS)
    told = CliRunner().invoke(app, ["verify", str(path)])
    assert told.exit_code == 0
    assert "Made by a trained model, with khayal" in told.output
    assert json.loads(CliRunner().invoke(app, ["verify", "--json", str(path)]).output)["state"] == "trusted"
    path.write_bytes(path.read_bytes()[:-20])
    told = CliRunner().invoke(app, ["verify", str(path)])
    assert (told.exit_code, "CHANGED" in told.output) == (1, True)
