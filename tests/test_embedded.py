"""The model that khayal ships: what it weighs, what it says of itself, and that it does as it is told."""

import numpy as np
import pytest

import khayal
from khayal.checkpoint.folder import EMBEDDED

FEW = {"steps": 8, "seed": 3}


@pytest.fixture(scope="module")
def studio():
    return khayal.open(device="cpu")


def test_it_is_the_default_and_fits_in_32_megabytes(studio):
    assert studio.checkpoint.path == EMBEDDED
    assert sum(path.stat().st_size for path in EMBEDDED.rglob("*") if path.is_file()) <= 32_000_000


def test_every_task_is_open_to_it(studio):
    assert studio.checkpoint.tasks == khayal.tasks.TASKS


@pytest.mark.parametrize(
    ("prompt", "unknown"),
    [
        ("A red ball bounces on the grass.", ()),
        ("كُرة حمراء تتدحرج على الثلج", ()),
        ("مكعب أحمر ينط على الثلج", ()),
        ("a red dragon bounces over the castle", ("dragon", "over", "castle")),
        ("تنين أحمر على العشب", ("تنين",)),
    ],
)
def test_it_knows_which_words_it_was_never_taught(studio, prompt, unknown):
    assert studio.checkpoint.unknown_words(prompt) == unknown


def test_unknown_words_are_told_before_the_work(studio):
    notes = []
    studio.generate(
        "a red dragon",
        num_frames=4,
        steps=1,
        seed=0,
        on_step=lambda progress: notes.extend(progress.notes),
    )
    assert any("“dragon”" in note and "--model" in note for note in notes)
    notes = []
    for prompt in ("a red dragon", "a blue dragon"):
        studio.encode_prompt(prompt, notes)
    assert len(notes) == 1, "once for all shots"


def test_a_shape_that_it_was_not_trained_at_is_told(studio):
    notes = studio.generate("a red ball", num_frames=4, steps=1, seed=0, size=(160, 96)).details["notes"]
    assert any("trained at 128×128 alone" in note for note in notes)
    assert studio.generate("a red ball", num_frames=4, steps=1, seed=0).details["notes"] == []


def test_it_makes_what_it_is_told(studio):
    def middle(prompt):
        frames = studio.generate(prompt, num_frames=16, **FEW).frames
        assert frames.shape == (16, 128, 128, 3)
        return frames.reshape(-1, 3).mean(axis=0).astype(float)

    grass, snow = middle("a red ball bounces on the grass"), middle("a red ball bounces on the snow")
    assert snow.min() > grass.min() + 20, "snow is bright in every colour"
    assert grass[1] > grass[2] + 5, "grass is green rather than blue"
    arabic = middle("كرة حمراء ترتد على الثلج")
    assert np.abs(arabic - snow).max() < np.abs(arabic - grass).max(), "both languages show the same"


@pytest.mark.parametrize("kind", ["ball", "cube"])
def test_the_colour_is_the_one_that_was_asked_for(studio, kind):
    """In the snow nothing else is strongly coloured, so what is most so is the actor."""

    def strongest(colour):
        frames = studio.generate(f"A {colour} {kind} slides on the snow.", num_frames=24, **FEW).frames
        pixels = frames[-1].reshape(-1, 3).astype(float)
        spread = pixels.max(axis=1) - pixels.min(axis=1)
        return pixels[np.argsort(spread)[-150:]].mean(axis=0)

    red, green, blue, yellow = (strongest(colour) for colour in ("red", "green", "blue", "yellow"))
    assert red[0] > red[1] + 60
    assert red[0] > red[2] + 60
    assert green[1] > green[0] + 30
    assert blue[2] > blue[0] + 60
    assert min(yellow[:2]) > yellow[2] + 60
