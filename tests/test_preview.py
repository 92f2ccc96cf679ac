"""The picture of a video that forms: what it may cost, and that it shows the video."""

import numpy as np
import pytest
import torch

import khayal
import untrained
from khayal import preview
from khayal.checkpoint.folder import open_checkpoint
from khayal.preview import SHARE, Colours, Preview, Sketchbook

QUICK = {"prompt": "a red ball", "seconds": 1, "size": (64, 64), "steps": 6, "guidance": 1.0, "seed": 3}


class Clock:
    """Steps and pictures take as long as they are told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("untrained") / "model"
    untrained.make_untrained(folder)
    return folder


@pytest.mark.parametrize("sharp_seconds", [0.01, 0.1, 0.5, 3.0])
@pytest.mark.parametrize("num_steps", [5, 25, 50])
def test_pictures_keep_to_their_share_of_the_time(sharp_seconds, num_steps):
    clock, book, drawn = Clock(), Sketchbook(), []
    spent = {True: sharp_seconds, False: sharp_seconds / 50}

    def draw(is_sharp):
        clock.now += spent[is_sharp]
        drawn.append((run, is_sharp))
        return np.zeros((2, 2, 3), np.uint8)

    for run in range(9):  # noqa: B007 - `draw` reads it
        shown = Preview(lambda picture: None, book, clock=clock)
        for step in range(1, num_steps + 1):
            clock.now += 1.0
            shown.after(step, num_steps, torch.zeros(1, 4, 3, 2, 2), draw)
    later = [spent[kind] for kind in (True, False) for _ in [one for one in drawn if one[1] == kind][2:]]
    assert sum(later) <= 1.05 * SHARE * 8 * num_steps, "once it is known what they cost"
    if sharp_seconds * 2 < SHARE * num_steps:
        assert (8, True) in drawn
    kinds = [is_sharp for run, is_sharp in drawn if run == 8]
    assert kinds == sorted(kinds), "what was in focus stays so"


def test_a_run_is_the_same_with_pictures(checkpoint):
    studio, pictures = khayal.open(checkpoint), []
    request = khayal.tasks.GenerateRequest(**QUICK)
    with_pictures = studio.run(request, on_picture=pictures.append).frames
    without = studio.run(request).frames.astype(int)
    assert np.abs(with_pictures - without).mean() < 2, "sums may be taken in another order"
    assert pictures
    assert pictures[-1].shape == (64, 64, 3)
    assert all(picture.dtype == np.uint8 for picture in pictures)


def test_where_parts_take_turns_pictures_are_soft_and_come_from_the_second_run_on(checkpoint):
    studio, pictures = khayal.open(checkpoint, memory="low"), []
    request = khayal.tasks.GenerateRequest(**QUICK)
    assert studio.run(request, on_picture=pictures.append).num_frames
    before = len(pictures)
    studio.run(request, on_picture=pictures.append).frames
    if studio._components.residence.keeps_all:
        pytest.fail("low memory keeps nothing that is not in use")
    assert before == 0
    studio.run(request, on_picture=pictures.append)
    assert pictures[-1].shape == (32, 32, 3), "eight pixels for each latent"


def test_colours_are_those_that_were_encoded():
    """On the embedded autoencoder, which was trained."""
    checkpoint = open_checkpoint(None)
    autoencoder = checkpoint.load_autoencoder(torch.device("cpu"), torch.float32).eval()
    colours = Colours.of(autoencoder, device=torch.device("cpu"), dtype=torch.float32)
    for colour in ((200, 30, 30), (30, 160, 60), (240, 240, 240)):
        image = np.full((64, 64, 3), colour, np.uint8)
        frames = torch.from_numpy(image).permute(2, 0, 1)[None, :, None].float() / 127.5 - 1
        with torch.inference_mode():
            latent = autoencoder.encode(frames)
        soft = colours.drawn(latent)
        sharp = preview.decoded(autoencoder, latent)
        assert soft.shape == (32, 32, 3)
        assert sharp.shape == (64, 64, 3)
        assert np.abs(soft.mean((0, 1)) - colour).max() < 40
        assert np.abs(sharp.mean((0, 1)) - colour).max() < 25
