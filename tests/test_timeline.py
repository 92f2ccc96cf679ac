"""Seconds, frames and latent frames, for both kinds of autoencoder."""

from fractions import Fraction

import pytest

from khayal.timeline import Timeline, nearest_size

WAN = Timeline(fps=Fraction(24), is_causal=True)
OWN = Timeline(fps=Fraction(12))


@pytest.mark.parametrize(
    ("timeline", "seconds", "num_frames"),
    [
        (WAN, 5, 121),
        (WAN, 4, 97),
        (WAN, 0, 1),
        (WAN, 0.01, 1),  # nearer to one frame than to five
        (WAN, 0.2, 5),
        (OWN, 4, 48),
        (OWN, 0, 1),
        (OWN, 0.01, 4),  # a moving clip has a whole chunk at least
        (OWN, 60, 720),
    ],
)
def test_seconds_become_the_nearest_number_of_frames(timeline, seconds, num_frames):
    assert timeline.num_frames(seconds) == num_frames


def test_a_still_in_front_adds_its_frame():
    assert OWN.num_frames(4, with_still=True) == 49
    assert OWN.frames_per_column(49, with_still=True) == (1, *(4,) * 12)


@pytest.mark.parametrize("timeline", [WAN, OWN])
@pytest.mark.parametrize("with_still", [False, True])
def test_columns_sum_to_every_possible_length(timeline, with_still):
    for wanted in range(1, 60):
        num_frames = timeline.nearest_num_frames(wanted, with_still=with_still)
        columns = timeline.frames_per_column(num_frames, with_still=with_still)
        assert sum(columns) == num_frames
        assert timeline.nearest_num_frames(num_frames, with_still=with_still) == num_frames
        assert abs(num_frames - wanted) <= 3


def test_halves_are_rounded_up():
    assert OWN.nearest_num_frames(6) == 8
    assert OWN.nearest_num_frames(5) == 4
    assert WAN.nearest_num_frames(7) == 9


def test_nearest_size():
    assert nearest_size((1280, 720), 32) == (1280, 736)
    assert nearest_size((1280, 719), 32) == (1280, 704)
    assert nearest_size((1, 1), 32) == (32, 32)
    assert nearest_size((832, 480), 16) == (832, 480)
