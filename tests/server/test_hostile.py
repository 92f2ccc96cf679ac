"""What strangers send: broken and outsized media, addresses that are none of theirs."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from khayal.cli.app import app
from khayal.clip import Clip
from khayal.errors import InputError
from khayal.server.decoding import Bounds, decode
from khayal.server.fetch import fetch, is_public, public_address
from khayal.server.requests import native_size

BOUNDS = Bounds(max_pixels=200 * 200, max_seconds=2.0, max_frames=40)


@pytest.fixture
def video(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (8, 48, 64, 3), dtype=np.uint8)
    return Clip.from_frames(frames, fps=8).save(tmp_path / "clip.mp4")


def test_media_are_known_by_their_content_and_written_anew(video, tmp_path):
    given = tmp_path / "upload"
    given.write_bytes(video.read_bytes())
    told = decode(given, tmp_path / "out", BOUNDS)
    assert (told.name, told.kind, told.size, told.num_frames) == ("out.mp4", "video", (64, 48), 8)
    assert told.seconds == 1.0
    Image.new("RGB", (60, 40), (9, 9, 9)).save(given, "PNG")
    told = decode(given, tmp_path / "out", BOUNDS)
    assert (told.name, told.kind, told.size) == ("out.png", "image", (60, 40))


def test_broken_and_outsized_media_are_refused_in_a_sentence(video, tmp_path):
    whole = video.read_bytes()
    Image.new("RGB", (300, 300)).save(tmp_path / "large.png")
    large = (tmp_path / "large.png").read_bytes()
    playlist = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
    corpus = {
        "empty": b"",
        "text": b"no picture",
        "playlist": playlist,
        "head": whole[:40],
        "holes": whole[:600] + bytes(len(whole) - 600),
        "png": large[:200],
        "large": large,
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    }
    for name, content in corpus.items():
        given = tmp_path / name
        given.write_bytes(content)
        with pytest.raises(InputError) as refused:
            decode(given, tmp_path / f"out-{name}", BOUNDS)
        assert str(tmp_path) not in str(refused.value), "no place on the server is told"
        assert not list(tmp_path.glob(f"out-{name}*"))
    with pytest.raises(InputError, match="Keep it under"):
        decode(video, tmp_path / "out", Bounds(max_pixels=10**6, max_seconds=0.5, max_frames=40))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"),
        *("224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "::ffff:127.0.0.1"),
        *("64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1"),
    ],
)
def test_private_addresses_are_known(address):
    assert not is_public(address)


def test_public_addresses_are_known():
    assert is_public("93.184.215.14")
    assert is_public("2606:2800:21f:cb07:6820:80da:af6b:8b2c")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.org/a.png", "Only https"),
        ("file:///etc/passwd", "Only https"),
        ("ftp://example.org/a.png", "Only https"),
        ("https://user:password@example.org/a.png", "Only https"),
        ("https://elsewhere.example/a.png", "not among those"),
        ("https://example.org.evil.example/a.png", "not among those"),
        ("https://localhost/a.png", "not public"),
        ("https://127.0.0.1:22/", "not public"),
        ("https://[::1]/", "not public"),
        ("https://0x7f000001/", "not public|no host"),
        ("https://[::1/", "cannot be read"),
        ("data:image/png;base64,***", "broken"),
        ("data:nothing", "broken"),
    ],
)
def test_urls_that_are_not_fetched(url, said, tmp_path):
    allowed = ("example.org", "localhost", "127.0.0.1", "::1", "0x7f000001")
    with pytest.raises(InputError, match=said):
        fetch(url, tmp_path / "out", allowed)


def test_a_name_may_not_lead_to_a_private_address(monkeypatch):
    import socket

    found = [(2, 1, 6, "", ("93.184.215.14", 443)), (2, 1, 6, "", ("10.0.0.1", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: found)
    with pytest.raises(InputError, match="not public"):
        public_address("rebinding.example", 443)


def test_the_nearest_shape_that_a_model_makes():
    own, multiple = (1280, 704), 32
    assert native_size((1280, 720), own, multiple) == (1280, 704)
    assert native_size((720, 1280), own, multiple) == (704, 1280)
    assert native_size((640, 352), own, multiple) == (640, 352)
    for asked in ((1920, 1080), (1024, 1792), (64, 48), (16, 4000)):
        width, height = native_size(asked, own, multiple)
        assert width % multiple == height % multiple == 0
        assert width * height <= own[0] * own[1] * 1.05
    trained = ((128, 128), (160, 96))
    assert native_size((720, 1280), (128, 128), 32, trained[:1]) == (128, 128)
    assert native_size((1280, 720), (128, 128), 32, trained) == (160, 96)
    assert native_size((720, 1280), (128, 128), 32, trained) == (128, 128)
    assert native_size((1080, 1920), (256, 144), 16)[0] < native_size((1080, 1920), (256, 144), 16)[1]


def test_keys_are_made_listed_and_ended_from_the_command_line(tmp_path):
    data = ["--data", str(tmp_path / "data")]

    def run(*words):
        told = CliRunner().invoke(app, ["keys", *words, *data], catch_exceptions=False)
        return told.output

    made = json.loads(run("add", "laptop", "--max-queued", "2", "--json"))
    assert made["key"].startswith("kh-")
    (listed,) = json.loads(run("list", "--json"))["keys"]
    assert (listed["name"], listed["limits"], listed["is_revoked"]) == ("laptop", {"max_queued": 2}, False)
    assert made["key"] not in run("list")
    with pytest.raises(InputError, match="already"):
        run("add", "laptop")
    run("revoke", "laptop")
    assert "revoked" in run("list")
    with pytest.raises(InputError, match="no key"):
        run("revoke", "laptop")
