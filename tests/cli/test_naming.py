"""Results find a name of their own and overwrite nothing."""

import pytest

from khayal.cli.naming import default_path, numbered, slug


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A red ball bounces on the grass.", "a-red-ball-bounces-on-the-grass"),
        ("كرةٌ حمراء تقفز!", "كرةٌ-حمراء-تقفز"),
        ("一只红色的球", "一只红色的球"),
        ("  ../../etc/passwd ", "etc-passwd"),
        ("Don't  stop: it's 5 o’clock", "dont-stop-its-5-oclock"),
        ("🎈!?", "khayal"),
        ("x" * 100, "x" * 48),
        ("a word " * 20, "a-word-a-word-a-word-a-word-a-word-a-word-a-word"),
        ("café\u0301\nline\0two", "café\u0301-line-two"),
    ],
)
def test_a_prompt_becomes_a_name(prompt, name):
    assert slug(prompt) == name
    assert len(slug(prompt).encode()) < 200


def test_nothing_is_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for expected in ("a-ball-7.mp4", "a-ball-7-2.mp4", "a-ball-7-3.mp4"):
        path = default_path("A ball", 7, ".mp4")
        assert str(path) == expected
        path.touch()


def test_variations_are_numbered():
    assert numbered("ball.mp4", 0, 1) == "ball.mp4"
    assert [numbered("out/ball.mp4", i, 2) for i in range(2)] == ["out/ball-1.mp4", "out/ball-2.mp4"]
    assert numbered(".", 0, 2) == "."  # names no file, and is refused as such
    assert numbered("-", 0, 2) == "-"
    assert numbered("frames/", 1, 2) == "frames-2/"
    assert numbered("frames", 1, 2) == "frames-2"
