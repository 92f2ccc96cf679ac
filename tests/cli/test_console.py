"""The estimate of the time left, and durations in words."""

import pytest

from khayal.cli.console import Display, Estimate, duration


def test_the_estimate_follows_the_pace():
    now = 0.0
    estimate = Estimate(lambda: now)
    estimate.update("text", 1, 1)
    assert (estimate.done, estimate.seconds_left) == (0, None)
    now = 30.0  # the first step also loads the model
    estimate.update("denoise", 1, 10)
    assert estimate.seconds_left is None
    now = 34.0
    estimate.update("denoise", 3, 10)
    assert estimate.seconds_left == pytest.approx(7 * 2 + 20 * 0.25)
    now = 48.0
    estimate.update("denoise", 10, 10)
    assert estimate.seconds_left == pytest.approx(5)
    assert estimate.done == pytest.approx(0.8)
    estimate.update("decode", 4, 40)
    now = 50.0
    estimate.update("decode", 8, 40)
    assert estimate.seconds_left == pytest.approx(16)
    assert estimate.done == pytest.approx(0.84)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


class Step:
    def __init__(self, stage, step, num_steps, notes=()):
        self.stage, self.step, self.num_steps, self.notes = stage, step, num_steps, notes


def test_without_a_terminal_progress_is_lines(capsys):
    with Display() as display:
        for step in (
            Step("text", 1, 1),
            *(Step("denoise", k, 9) for k in range(1, 10)),
            Step("decode", 4, 9),
        ):
            display.on_step(step)
        display.note("photo.jpg was cropped.")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "Reading the prompt",
        "Imagining 1/9",
        "Developing 4/9",
        "Note: photo.jpg was cropped.",
    ]
    with Display(is_quiet=True) as display:
        display.on_step(Step("text", 0, 1, ("photo.jpg was cropped.",)))
        display.on_step(Step("denoise", 1, 9))
        display.note("photo.jpg was cropped.")
    assert capsys.readouterr() == ("", "")


def test_notes_are_told_once_as_they_come(capsys):
    with Display() as display:
        display.on_step(Step("text", 0, 1, ("It is noise.",)))
        display.on_step(Step("text", 1, 1, ("It is noise.", "The prompt was cut.")))
        display.on_step(Step("denoise", 1, 9))
        display.begin("2 of 2")
        display.on_step(Step("text", 0, 1, ("It is noise.",)))
        display.note("It is noise.", "Resampled.")
    assert capsys.readouterr().err.splitlines() == [
        "Note: It is noise.",
        "Reading the prompt",
        "Note: The prompt was cut.",
        "Imagining 1/9",
        "2 of 2 · Reading the prompt",
        "Note: Resampled.",
    ]


def test_windows_are_estimated_together():
    now = 0.0
    estimate = Estimate(lambda: now)
    for step in range(1, 11):  # of two windows the first, then its frames
        now += 1
        estimate.update("denoise", step, 20)
    assert estimate.seconds_left == pytest.approx(10 + 20 * 0.25)
    now += 1
    estimate.update("decode", 10, 40)
    assert estimate.done == pytest.approx(0.45)
    assert estimate.seconds_left == pytest.approx(10 / (0.45 - 0.04) * 0.55)
