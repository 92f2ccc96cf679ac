"""Labels of a truth that was written by hand."""

import numpy as np
import pytest
import torch
from hand_made import truth

from khayal.evaluate.labels import PROBE, frames_seen, labels_of, labels_said
from khayal.world.captions import caption
from khayal.world.facts import facts_of

RED, BLUE, GREEN = (PROBE.colours.index(name) for name in ("red", "blue", "green"))


def test_actors_stand_in_the_row_of_their_colour() -> None:
    labels = labels_of(truth())
    kinds = labels.kinds[0].tolist()
    assert PROBE.kinds[kinds[RED]] == "ball"
    assert PROBE.kinds[kinds[BLUE]] == "cube"
    assert kinds[GREEN] == len(PROBE.kinds)
    assert PROBE.motions[int(labels.motions[0, RED])] == "roll"
    assert PROBE.directions[int(labels.directions[0, RED])] == "right"
    assert PROBE.motions[int(labels.motions[0, BLUE])] == "stand"
    assert int(labels.directions[0, BLUE]) == len(PROBE.directions)
    assert int(labels.motions[0, GREEN]) == int(labels.directions[0, GREEN]) == -1


def test_the_scene_is_named() -> None:
    labels = labels_of(truth())
    assert PROBE.settings[int(labels.settings)] == "snow"
    assert PROBE.lights[int(labels.lights)] == "sunset"
    assert PROBE.moves[int(labels.moves)] == "pan_left"
    assert not bool(labels.is_cut)


@pytest.mark.parametrize("language", ["en", "ar"])
def test_a_caption_has_the_labels_of_what_it_says(language: str) -> None:
    facts, real = facts_of(truth()), labels_of(truth())
    said = labels_said(caption(facts, language, "detailed", np.random.default_rng(0)).claims)
    for name in ("kinds", "motions", "settings", "lights", "moves", "is_cut"):
        torch.testing.assert_close(getattr(said, name), getattr(real, name), rtol=0, atol=0)
    assert PROBE.directions[int(said.directions[0, RED])] == "right"
    short = labels_said(caption(facts, language, "short", np.random.default_rng(0)).claims)
    assert int((short.kinds < len(PROBE.kinds)).sum()) == 1, "it names one actor, and is asked for one"
    assert int(short.moves) == -1


def test_a_clip_of_two_shots_has_a_cut_and_no_camera_move() -> None:
    labels = labels_of(truth(cut=20))
    assert bool(labels.is_cut)
    assert int(labels.moves) == -1


def test_boxes_are_centres_and_sizes_of_what_is_in_the_frame_at_each_step() -> None:
    labels = labels_of(truth())
    assert labels.boxes.shape == (1, len(PROBE.colours), PROBE.num_steps, 4)
    assert labels.boxes[0, BLUE, 5].tolist() == pytest.approx([0.25, 0.75, 0.1, 0.1])
    third = labels.boxes[0, RED, 2].tolist()  # frames 6 to 8: after 7/12 of a second
    assert third == pytest.approx([0.1 + 0.2 * 7 / 12 + 0.05, 0.55, 0.1, 0.1])
    assert bool(labels.is_seen[0, RED].all())
    assert not bool(labels.is_seen[0, GREEN].any())


def test_what_is_outside_is_not_seen() -> None:
    labels = labels_of(truth(left=0.97))
    assert not bool(labels.is_seen[0, BLUE].any())
    assert int(labels.kinds[0, BLUE]) == len(PROBE.kinds)
    assert labels.boxes[0, BLUE, 0].tolist() == pytest.approx([0.985, 0.75, 0.03, 0.1])


def test_other_rates_and_lengths_are_looked_at_at_the_same_times() -> None:
    assert frames_seen(48, 12, PROBE).tolist() == list(range(48))
    assert frames_seen(96, 24, PROBE)[:3].tolist() == [1, 3, 5]
    assert frames_seen(24, 12, PROBE).tolist() == [*range(24), *[23] * 24]
    assert np.all(np.diff(frames_seen(48, 6, PROBE)) >= 0)
