"""Requests refuse what nobody could make; plans are tables."""

import importlib.util
import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

import khayal.tasks.request
from khayal.errors import InputError
from khayal.tasks import (
    AnimateRequest,
    Basis,
    Character,
    ConnectRequest,
    ExtendRequest,
    FillRequest,
    GenerateRequest,
    LoopRequest,
    Made,
    Media,
    RemixRequest,
    Shot,
    StoryboardRequest,
    plan,
)
from khayal.tasks.draft import FARTHEST_ANCHOR, NUM_ANCHORS, SHOT_GAP
from khayal.tasks.shots import shots_of
from khayal.timeline import Timeline

WAN = Timeline(fps=Fraction(24), is_causal=True)
OWN = Timeline(fps=Fraction(12))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"prompt": "  "}, "prompt is empty"),
        ({"prompt": "a" * 32_001}, "32,001 characters"),
        ({"negative": "a" * 32_001}, "negative prompt"),
        ({"seconds": -1}, "seconds cannot be -1"),
        ({"seconds": math.nan}, "seconds cannot be nan"),
        ({"seconds": math.inf}, "seconds cannot be inf"),
        ({"seconds": 1e9}, "seconds cannot be"),
        ({"seconds": 1, "num_frames": 5}, "Both seconds and num_frames"),
        ({"num_frames": 0}, "num_frames cannot be 0"),
        ({"fps": 0}, "fps cannot be 0"),
        ({"steps": 0}, "steps cannot be 0"),
        ({"guidance": -1}, "guidance cannot be -1"),
        ({"guidance": (4.0, math.nan)}, "guidance cannot be nan"),
        ({"guidance_interval": (0.8, 0.2)}, "guidance interval"),
        ({"size": (0, 64)}, "width cannot be 0"),
        ({"size": (64, 10**6)}, "height cannot be"),
        ({"seed": -1}, "seed cannot be -1"),
        ({"solver": "magic"}, "no solver “magic”"),
    ],
)
def test_bad_values_get_one_sentence(settings, said):
    with pytest.raises(InputError, match=said) as error:
        GenerateRequest(**{"prompt": "a ball", **settings})
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def unchecked():
    """The requests as users import them: the tests' own checker of types would speak first."""
    spec = importlib.util.spec_from_file_location("unchecked_requests", khayal.tasks.request.__file__)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"seconds": "4"}, "seconds must be a number, not '4'"),
        ({"steps": 2.5}, "steps must be a whole number, not 2.5"),
        ({"steps": True}, "steps must be a whole number"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"num_frames": 81.0}, "num_frames must be a whole number"),
        ({"size": ()}, "size must be two numbers"),
        ({"size": "64x64"}, "size must be two numbers"),
        ({"size": (64.5, 64)}, "width must be a whole number"),
        ({"guidance_interval": 0.5}, "guidance_interval must be two numbers"),
        ({"prompt": None}, "prompt is no text"),
        ({"negative": 3}, "negative prompt is no text"),
    ],
)
def test_values_of_another_kind_get_one_sentence_too(settings, said, unchecked):
    with pytest.raises(InputError, match=said):
        unchecked.GenerateRequest(**{"prompt": "a ball", **settings})


def test_lists_are_as_good_as_tuples_and_numpy_as_good_as_python(unchecked):
    request = unchecked.GenerateRequest(
        prompt="a ball", size=[64, 32], guidance=[4.0, 3.0], steps=np.int64(3)
    )
    assert request.size == (64, 32)
    assert request.guidance == (4.0, 3.0)


def test_an_image_needs_no_prompt_but_a_way_to_fit():
    assert AnimateRequest(image="a.png").prompt == ""
    with pytest.raises(InputError, match="cannot be fitted by “stretch”"):
        AnimateRequest(image="a.png", fit="stretch")


def on(timeline, *lengths, window=12, seconds=4.0):
    """A model that makes twelve columns at once."""
    return Basis(timeline=timeline, default_seconds=seconds, window=window, lengths=lengths)


def table(sketch):
    """One letter for each column: known, falling, seen aside; capital where it is shown."""
    letters = {(True, False): "k", (False, False): "f", (True, True): "a"}
    return "".join(
        letter.upper() if column.is_shown else letter
        for column in sketch.columns
        for letter in (letters[column.is_known, column.is_aside],)
    )


def tables(planned):
    return [table(sketch) for sketch in planned.canvases]


def frames_of(planned):
    """The result frame by frame: the user's, by number, or the canvas that shows it."""
    found = []
    for passage in planned.passages:
        if isinstance(passage, Media):
            first = passage.first_frame
            found += [(passage.index, frame) for frame in range(first, first + passage.num_frames)]
        else:
            found += ["made"] * planned.canvases[passage].num_frames
    assert len(found) == planned.num_frames
    return found


def test_generate_falls_everywhere():
    planned = plan(GenerateRequest(prompt="a ball", seconds=1), on(WAN))
    (sketch,) = planned.canvases
    assert [column.num_frames for column in sketch.columns] == [1, 4, 4, 4, 4, 4, 4]
    assert [column.position for column in sketch.columns] == list(range(7))
    assert table(sketch) == "FFFFFFF"
    assert all(column.level == 1 and column.source is None for column in sketch.columns)
    assert not sketch.pins


def test_a_still_shows_one_frame_of_its_chunk():
    (sketch,) = plan(GenerateRequest(prompt="a ball", seconds=0), on(OWN)).canvases
    assert [column.num_frames for column in sketch.columns] == [1]


@pytest.mark.parametrize("timeline", [WAN, OWN])
def test_animate_knows_the_first_column_only(timeline):
    planned = plan(AnimateRequest(image="a.png", seconds=1), on(timeline, 1))
    (sketch,) = planned.canvases
    first, *rest = sketch.columns
    assert table(sketch) == "K" + "F" * len(rest)
    assert (first.level, first.num_frames, first.source) == (0.0, 1, Media(index=0))
    assert {column.num_frames for column in rest} == {4}
    (pin,) = sketch.pins
    assert pin.is_shown
    assert pin.frame == (0 if timeline.is_causal else 3), "a still is the last frame of its chunk"


def test_a_number_of_frames_that_cannot_be_names_the_nearest():
    with pytest.raises(InputError, match=r"cannot make 80 frames: its clips have 4k\+1\. Ask for 81"):
        plan(GenerateRequest(prompt="a ball", num_frames=80), on(WAN))
    with pytest.raises(InputError, match=r"its clips have 4k, or 1\. Ask for 8"):
        plan(GenerateRequest(prompt="a ball", num_frames=9), on(OWN))
    with pytest.raises(InputError, match=r"cannot add 9 frames.*Ask for 8"):
        plan(ExtendRequest(clip="c", num_frames=9), on(OWN, 48))


def test_extend_forward_knows_the_end_of_the_clip():
    planned = plan(ExtendRequest(clip="c", seconds=2), on(OWN, 50))
    assert tables(planned) == ["kkkkFFFFFF"]
    assert frames_of(planned) == [(0, frame) for frame in range(50)] + ["made"] * 24
    sketch = planned.canvases[0]
    assert [c.source for c in sketch.columns[:4]] == [
        Media(index=0, first_frame=first, num_frames=4) for first in (34, 38, 42, 46)
    ]
    assert [(pin.frame, pin.source.first_frame) for pin in sketch.pins] == [(15, 49)]


def test_extend_on_a_causal_autoencoder_gives_it_frames_it_can_begin_with():
    planned = plan(ExtendRequest(clip="c", seconds=1), on(WAN, 50))
    assert tables(planned) == ["kkkkFFFFFF"]
    sources = [(c.source.first_frame, c.source.num_frames) for c in planned.canvases[0].columns[:4]]
    assert sources == [(37, 1), (38, 4), (42, 4), (46, 4)], "4k+1 frames, up to the last"
    assert planned.canvases[0].pins[0].frame == 12


def test_extend_backward_knows_the_beginning():
    planned = plan(ExtendRequest(clip="c", seconds=2, backward=True), on(OWN, 50))
    assert tables(planned) == ["FFFFFFkkkk"]
    assert frames_of(planned) == ["made"] * 24 + [(0, frame) for frame in range(50)]
    assert [(pin.frame, pin.source.first_frame) for pin in planned.canvases[0].pins] == [(24, 0)]
    planned = plan(ExtendRequest(clip="c", seconds=1, backward=True), on(WAN, 50))
    assert tables(planned) == ["FFFFFFFkkkk"]
    assert planned.num_frames == 25 + 50, "the first column of a causal strip is one frame"
    assert {c.source.num_frames for c in planned.canvases[0].columns if c.is_known} == {4}


def test_fill_knows_both_sides_and_keeps_every_frame_that_is_there():
    planned = plan(FillRequest(clip="c", missing=((1.0, 2.5),)), on(OWN, 48))
    assert tables(planned) == ["kkFFFFFkkk"]
    assert frames_of(planned) == [(0, f) for f in range(12)] + ["made"] * 18 + [(0, f) for f in range(30, 48)]
    columns = planned.canvases[0].columns
    assert [c.num_frames for c in columns if not c.is_known] == [2, 4, 4, 4, 4]
    # 20 frames stand on the canvas for 18 that are missing: two known ones are imagined too, and not shown
    assert columns[1].source == Media(index=0, first_frame=6, num_frames=4)
    assert [(pin.frame, pin.source.first_frame) for pin in planned.canvases[0].pins] == [(9, 11), (28, 30)]


def test_fill_of_several_spans_and_at_the_ends():
    planned = plan(FillRequest(clip="c", missing=((0, 0.5), (1, 1.5), (3.5, 4))), on(OWN, 48))
    assert tables(planned) == ["FFk", "kFFkkkk", "kkkkFF"]
    given = [*range(6, 12), *range(18, 42)]
    assert [f[1] for f in frames_of(planned) if f != "made"] == given
    assert [planned.canvases[i].num_frames for i in range(3)] == [6, 6, 6]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"missing": ((2, 1),)}, "from 2 to 1 s is empty"),
        ({"missing": ((0, 2), (1, 3))}, "spans overlap"),
        ({"missing": ((3, 5),)}, "leaves the clip: it lasts 4 s"),
        ({"missing": ((9, 10),)}, "leaves the clip"),
        ({"missing": ((0, 4),)}, "whole clip is missing"),
        ({"missing": ((0.1, 2),)}, "Only 1 frame is left before"),
        ({"missing": ((1, 3.9),)}, "Only 1 frame is left after"),
        ({"missing": ((1, 1.01),)}, "shorter than a frame"),
        ({"missing": ()}, "say which spans"),
        ({"missing": ((1, 2),), "seconds": 3.0}, "keeps its length"),
    ],
)
def test_spans_that_cannot_be_filled(settings, said):
    with pytest.raises(InputError, match=f"(?i){said}"):
        plan(FillRequest(clip="c", **settings), on(OWN, 48))


@pytest.mark.parametrize("timeline", [OWN, WAN])
def test_keyframes_stand_beside_the_columns_that_end_with_them(timeline):
    per_second = float(timeline.fps)
    seconds = [0, 8 / per_second, 21 / per_second]
    request = FillRequest(keyframes=[(second, f"{n}.png") for n, second in enumerate(seconds)])
    planned = plan(request, on(timeline, 1, 1, 1))
    assert tables(planned) == ["aaKFFFFF"]
    (sketch,) = planned.canvases
    columns = sketch.columns
    assert planned.num_frames == 21
    assert [c.position for c in columns] == [2, 5, 0, 1, 2, 3, 4, 5]
    first = 0 if timeline.is_causal else 3
    assert sorted(pin.frame - first for pin in sketch.pins) == [0, 8, 20]
    assert all(pin.is_shown for pin in sketch.pins)
    assert planned.notes == (f"The keyframe at {seconds[2]:g} s stands at {20 / per_second:.3g} s.",)


def test_keyframes_that_come_later_and_too_close():
    planned = plan(FillRequest(keyframes=((1.0, "a.png"),), seconds=2), on(OWN, 1))
    assert tables(planned) == ["aFFFFFF"]
    assert [pin.frame for pin in planned.canvases[0].pins] == [11]
    with pytest.raises(InputError, match="Two keyframes fall on 1 s"):
        plan(FillRequest(keyframes=((0, "0"), (1.0, "a"), (1.1, "b"))), on(OWN, 1, 1, 1))
    with pytest.raises(InputError, match="stands after the end"):
        plan(FillRequest(keyframes=((0, "0"), (3.0, "a")), seconds=2), on(OWN, 1, 1))
    with pytest.raises(InputError, match="nothing to fill"):
        FillRequest()


def test_connect_and_loop_know_both_ends():
    planned = plan(ConnectRequest(first="a", second="b"), on(OWN, 48, 24))
    assert tables(planned) == ["kkkFFFFFFkkk"], "half of the model's own length, in one window"
    assert [f for f in frames_of(planned) if f != "made"] == [(0, f) for f in range(48)] + [
        (1, f) for f in range(24)
    ]
    assert [pin.source for pin in planned.canvases[0].pins] == [
        Media(index=0, first_frame=47),
        Media(index=1, first_frame=0),
    ]
    looped = plan(LoopRequest(clip="a"), on(OWN, 48))
    assert tables(looped) == tables(planned)
    assert looped.num_frames == 48 + 24
    assert [pin.source.first_frame for pin in looped.canvases[0].pins] == [47, 0]


def test_remix_starts_below_one():
    planned = plan(RemixRequest(clip="c", prompt="a ball", strength=0.6), on(OWN, 22))
    (sketch,) = planned.canvases
    assert planned.num_frames == 22
    assert [c.num_frames for c in sketch.columns] == [2, 4, 4, 4, 4, 4]
    assert {c.level for c in sketch.columns} == {0.6}
    assert [c.source.first_frame for c in sketch.columns] == [-2, 2, 6, 10, 14, 18]
    assert (
        RemixRequest(clip="c", prompt="a", strength="strong").level > RemixRequest(clip="c", prompt="a").level
    )
    assert tables(plan(RemixRequest(clip="c", prompt="a"), on(WAN, 81, window=None))) == ["F" * 21]


@pytest.mark.parametrize("strength", ["huge", 0, 1.5])
def test_strengths_that_are_none(strength):
    with pytest.raises(InputError, match="strength"):
        RemixRequest(clip="c", prompt="a ball", strength=strength)


def test_a_minute_is_window_after_window():
    planned = plan(GenerateRequest(prompt="a ball", seconds=60), on(OWN))
    assert planned.num_frames == 720
    first, *middle, last = tables(planned)
    assert set(middle) == {"aaakkKFFFFFFFFf", "aaaakkKFFFFFFFFf"}, "the last chunk is shown by the next"
    assert (first[-1], last[-1]) == ("f", "F")
    assert max(len(sketch.columns) for sketch in planned.canvases) <= 12 + NUM_ANCHORS
    assert len(planned.canvases) <= 21
    for number, sketch in enumerate(planned.canvases[1:], start=1):
        known = [c for c in sketch.columns if c.is_known]
        anchors, tail = known[:-3], known[-3:]
        places = [0, 2, 4, 6][: len(anchors)]
        assert [c.source for c in anchors] == [Made(index=0, first_frame=4 * p, num_frames=4) for p in places]
        assert len(anchors) == (3 if number == 1 else NUM_ANCHORS), "one is in the tail"
        assert {c.source.index for c in tail} == {number - 1}
        positions = [c.position for c in sketch.columns]
        assert positions == sorted(positions)
        assert positions[-1] - positions[0] <= FARTHEST_ANCHOR + 12


def test_a_minute_on_a_causal_autoencoder_encodes_its_tails_again():
    planned = plan(GenerateRequest(prompt="a ball", seconds=10), on(WAN))
    assert planned.num_frames == 241
    for number, sketch in enumerate(planned.canvases[1:], start=1):
        tail = [c.source for c in sketch.columns if c.is_known and not c.is_aside]
        assert [source.num_frames for source in tail] == [1, 4, 4]
        (pin,) = sketch.pins
        assert pin.source == Made(index=number - 1, first_frame=tail[-1].first_frame + 3)
        assert not any(c.is_shown for c in sketch.columns if c.is_known)


def test_long_extensions_on_every_side():
    backward = plan(ExtendRequest(clip="c", seconds=60, backward=True), on(OWN, 48))
    numbers = [p for p in backward.passages if isinstance(p, int)]
    assert numbers == sorted(numbers, reverse=True), "the last is made first"
    for number, sketch in enumerate(backward.canvases[1:], start=1):
        anchors = [c for c in sketch.columns if c.is_aside]
        assert {c.source.index for c in anchors} == {0}, "of the first that was made"
        behind = [c.position for c in anchors]
        assert sketch.strip[-1].position < behind[0]
        assert len(behind) == len(set(behind))
        assert behind[-1] - sketch.strip[0].position < FARTHEST_ANCHOR + NUM_ANCHORS
        assert len(anchors) == NUM_ANCHORS if number > 1 else anchors
    assert backward.num_frames == 720 + 48
    assert tables(backward)[0].endswith("kkkk")
    assert tables(backward)[1].endswith("FKkk")
    connected = plan(ConnectRequest(first="a", second="b", seconds=10), on(OWN, 48, 48))
    assert connected.num_frames == 48 + 120 + 48
    assert tables(connected)[-1].endswith("Fkkkk")
    assert not any("k" in row.lower()[8:] for row in tables(connected)[:-1])


@pytest.mark.parametrize(
    ("request_", "lengths", "expected"),
    [
        (GenerateRequest(prompt="a", seconds=10), (), [False, True, True]),
        (AnimateRequest(image="i", prompt="a", seconds=10), (1,), [False, True, True, True]),
        (ExtendRequest(clip="c", seconds=6), (48,), [False, True, True]),
        (ExtendRequest(clip="c", seconds=6, backward=True), (48,), [False, True, True]),
        (ConnectRequest(first="a", second="b", seconds=10), (48, 48), [False, True, True, False]),
        (RemixRequest(clip="c", prompt="a"), (96,), [False, False, False]),
        (FillRequest(keyframes=((0, "a"), (8, "b")), prompt="a"), (1, 1), [False, False, False]),
        (
            StoryboardRequest(shots=[Shot(prompt="a", seconds=8), Shot(prompt="b", seconds=4, is_cut=False)]),
            (),
            [False, True, True, False, True],
        ),
    ],
    ids=lambda value: getattr(value, "task", None),
)
def test_a_window_goes_on_where_nothing_but_an_earlier_one_tells_what_it_shows(request_, lengths, expected):
    assert [sketch.goes_on for sketch in plan(request_, on(OWN, *lengths)).canvases] == expected


def test_a_storyboard_shows_each_shot_what_came_before():
    shots = [Shot(prompt=f"shot {n}", seconds=2) for n in range(5)]
    planned = plan(StoryboardRequest(shots=shots, prompt="In daylight."), on(OWN))
    assert planned.prompts[0] == "shot 0 In daylight."
    assert tables(planned) == ["F" * 6, "aa" + "F" * 6, "aaaa" + "F" * 6, *["aaaaaa" + "F" * 6] * 2]
    last = planned.canvases[-1].columns
    assert [c.shot for c in last] == [1, 1, 2, 2, 3, 3, *[4] * 6]
    assert [c.position for c in last] == [*range(6), *range(6 + SHOT_GAP, 12 + SHOT_GAP)]
    assert planned.num_frames == 5 * 24


def test_a_shot_without_a_cut_goes_on_from_the_one_before():
    shots = [Shot(prompt="one", seconds=2), Shot(prompt="two", seconds=2, is_cut=False)]
    first, second = plan(StoryboardRequest(shots=shots), on(OWN)).canvases
    assert (table(first), table(second)) == ("FFFFFf", "aakkkKFFFFFF")
    assert [c.shot for c in second.columns] == [0] * 6 + [1] * 6


def test_shots_can_begin_with_images_and_clips_and_name_the_cast():
    request = StoryboardRequest(
        shots=[
            Shot(prompt="{robot} walks", image="r.png", seconds=2),
            Shot(prompt="the sea", clip="sea.mp4", seconds=2),
            Shot(prompt="{robot} stops", seconds=1),
        ],
        cast=[Character(name="robot", description="a small red robot", clip="robot.mp4")],
    )
    assert [medium.given for medium in request.media] == ["r.png", "sea.mp4", "robot.mp4"]
    planned = plan(request, on(OWN, 1, 12, 30))
    assert planned.prompts == (
        "a small red robot walks",
        "the sea",
        "a small red robot stops",
        "a small red robot",
    )
    assert tables(planned) == ["aKFFFFFF", "aakkkFFF", "aaaaFFF"]
    assert planned.canvases[2].columns[0].source.index == 2
    assert planned.num_frames == 25 + 24 + 12


def test_whole_length_of_a_storyboard_is_shared():
    shots = [Shot(prompt="one", seconds=1), Shot(prompt="two"), Shot(prompt="three")]
    assert plan(StoryboardRequest(shots=shots, seconds=9), on(OWN)).num_frames == 12 + 48 + 48
    with pytest.raises(InputError, match="cannot last 1 s together"):
        plan(StoryboardRequest(shots=shots, seconds=1), on(OWN))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"shots": []}, "no shots"),
        ({"shots": [Shot(prompt="a", is_cut=False)]}, "nothing to go on from"),
        ({"shots": [Shot(prompt="a")], "num_frames": 8}, "counted in seconds"),
    ],
)
def test_storyboards_that_cannot_be(settings, said):
    with pytest.raises(InputError, match=said):
        StoryboardRequest(**settings)


def test_a_name_that_nobody_has():
    with pytest.raises(InputError, match=r"“\{dog\}” is not in the cast"):
        plan(StoryboardRequest(shots=[Shot(prompt="{dog} runs")]), on(OWN))


@pytest.mark.parametrize(
    ("prompt", "shots"),
    [
        ("First a red ball rolls. Then cut to: a blue cube.", ("A red ball rolls", "A blue cube")),
        ("A ball. Cut to a cube. Cut to a cone.", ("A ball", "A cube", "A cone")),
        ("The clip opens with a wide shot and cuts to a close-up.", None),
        ("A ball rolls, then stops.", None),
        ("كرة حمراء. ثم ننتقل إلى مكعب أزرق", ("كرة حمراء", "مكعب أزرق")),
    ],
)
def test_prompts_with_cuts_have_several_shots(prompt, shots):
    found = shots_of(prompt)
    assert tuple(s.rstrip(".") for s in found) == (shots or (prompt.rstrip("."),))


def test_a_prompt_with_cuts_makes_as_many_shots():
    planned = plan(GenerateRequest(prompt="First a ball. Then cut to a cube.", seconds=4), on(OWN))
    assert tables(planned) == ["FFFFFF", "aaFFFFFF"]
    assert planned.num_frames == 48


def test_tasks_import_without_torch():
    code = "import sys, khayal.tasks; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
