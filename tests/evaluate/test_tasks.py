"""What is measured of the tasks: on plans and readings whose answer is known, and on a small model."""

import dataclasses
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import khayal
from khayal.clip import Clip
from khayal.evaluate import minute, remix, storyboard
from khayal.evaluate.claims import to_json
from khayal.evaluate.imagined import Cast
from khayal.evaluate.making import Maker
from khayal.evaluate.performing import Performer
from khayal.evaluate.ratio import Ratio
from khayal.evaluate.reading import open_probe
from khayal.evaluate.seams import borders_of, given_frames
from khayal.evaluate.tasks import TASKS, as_known, requests
from khayal.tasks import Basis, GenerateRequest, Media, Shot, StoryboardRequest, plan
from khayal.timeline import Timeline
from khayal.world.captions import read
from untrained import make_untrained

CHUNKS = Timeline(fps=Fraction(12))
CAUSAL = Timeline(fps=Fraction(12), is_causal=True)
FRAMES = np.random.default_rng(0).integers(0, 256, (48, 64, 64, 3), dtype=np.uint8)


def planned(name: str, timeline: Timeline = CHUNKS) -> Any:
    request, given = requests(FRAMES, FRAMES, timeline.fps, "a ball rolls", 3)[name]
    lengths = tuple(map(len, given))
    return plan(request, Basis(timeline=timeline, default_seconds=4.0, window=12, lengths=lengths))


@pytest.mark.parametrize(
    ("name", "seams"),
    [
        ("animate", (1,)),
        ("extend", (24,)),
        ("backward", (24,)),
        ("fill", (16, 32)),
        ("connect", (24, 48)),
        ("loop", (24,)),
    ],
)
def test_seams_are_where_known_frames_meet_imagined_ones(name: str, seams: tuple[int, ...]) -> None:
    found = borders_of(planned(name))
    assert found.seams == seams
    assert found.windows == ((25,) if name == "animate" else ()), "1 + 48 frames take two windows"
    assert not {*found.chunks} & {*seams}
    assert all((chunk - seams[0]) % 4 == 0 for chunk in found.chunks)


def test_every_task_is_done() -> None:
    assert {*requests(FRAMES, FRAMES, Fraction(12), "", 0)} == {*TASKS}


@pytest.mark.parametrize("timeline", [CHUNKS, CAUSAL])
def test_a_chunk_belongs_to_the_window_that_made_it(timeline: Timeline) -> None:
    basis = Basis(timeline=timeline, default_seconds=4.0, window=12)
    long = plan(GenerateRequest(prompt="a ball", seconds=12), basis)
    found = borders_of(long)
    new = [sum(not column.is_known for column in sketch.strip) for sketch in long.canvases]
    ends = [timeline.held(count, starts_strip=True) for count in np.cumsum(new).tolist()]
    assert list(found.windows) == ends[:-1]
    assert found.seams == ()
    every = np.cumsum(timeline.frames_per_column(long.num_frames))[:-1].tolist()
    assert sorted((*found.windows, *found.chunks)) == every


def test_shots_begin_where_another_prompt_is_read() -> None:
    basis = Basis(timeline=CHUNKS, default_seconds=4.0, window=12)
    shots = [Shot(prompt="a", seconds=2), Shot(prompt="b", seconds=6), Shot(prompt="c", seconds=2)]
    assert borders_of(plan(StoryboardRequest(shots=shots), basis)).shots == (0, 24, 96)


def test_the_users_own_frames_are_found() -> None:
    places = [*given_frames(planned("fill"))]
    assert places == [(at, 0, at) for at in (*range(16), *range(32, 48))]
    assert [*given_frames(planned("animate"))] == [(0, 0, 0)]
    assert [*given_frames(planned("backward"))] == [(24 + at, 0, at) for at in range(24)]
    assert [*given_frames(planned("connect"))][-1] == (71, 1, 23)


def test_a_ratio_is_one_of_sums_with_its_interval() -> None:
    found = Ratio.of([1.0, 3.0, np.nan], [1.0, 1.0, 7.0])
    assert (found.value, found.clips) == (2.0, 2)
    assert found.low == 1.0
    assert found.high == 3.0
    assert Ratio.of([0.0, 0.0], [0.0, 0.0]).value == 1.0, "a still picture does not jump"
    assert Ratio.of([1.0], [0.0]).value is None
    assert Ratio.of([], []).to_json() == {"value": None, "low": None, "high": None, "clips": 0}


def lines_of(*luma: np.ndarray) -> dict[str, torch.Tensor]:
    """Courses of long videos, and readings in which a red ball stays and a blue cube becomes a ball."""
    config = open_probe().config
    rows = torch.from_numpy(np.stack(luma))
    measured = {}
    for name in ("made", "real"):
        measured |= {f"{name}_{key}": rows for key in ("luma", "saturation", "sharpness")}
        measured[f"{name}_motion"] = torch.ones_like(rows)
    for part, kind in (("first", "cube"), ("last", "ball")):
        kinds = torch.full((len(luma), len(config.colours), len(config.kinds) + 1), -9.0)
        kinds[..., -1] = 0.0
        kinds[:, config.colours.index("red"), config.kinds.index("ball")] = 9.0
        kinds[:, config.colours.index("blue"), config.kinds.index(kind)] = 9.0
        measured |= {f"{name}_{part}_kinds": kinds for name in ("made", "real")}
    return measured | {"made_known": torch.tensor([[3, 0, 0, 0]] * len(luma))}


def test_videos_that_drift_apart_are_told_from_those_that_drift_alike() -> None:
    up, down = np.linspace(100, 110, 100), np.linspace(100, 90, 100)
    lines = [{"windows": [36], "chunks": [4, 8, 40]}] * 2
    told = minute.figures(lines_of(up, down), lines, 2, open_probe().config)
    luma = told["drift"]["made"]["luma"]
    assert luma["size"]["value"] == pytest.approx(0.0859, abs=1e-3)
    assert luma["mean"]["value"] == pytest.approx(0, abs=1e-9)
    alike = minute.figures(lines_of(up, up), lines, 2, open_probe().config)["drift"]["made"]["luma"]
    assert alike["mean"]["value"] == pytest.approx(alike["size"]["value"]) == pytest.approx(0.0853, abs=1e-3)
    assert told["windows"]["ratio"]["value"] == told["flicker"]["value"] == 1.0
    assert (told["kept"]["made"]["right"], told["kept"]["made"]["asked"]) == (2, 4)
    assert told["known"] == {"columns": 6, "changed_columns": 0, "frames": 0, "changed_frames": 0}


def reading(*shots: tuple[tuple[str, str], ...], setting: str = "snow") -> dict[str, torch.Tensor]:
    """What a probe would say of shots in which so many (colour, kind) are, at dial 2."""
    config = open_probe().config
    count, colours = len(shots), len(config.colours)
    kinds = torch.full((count, colours, len(config.kinds) + 1), -9.0)
    kinds[..., -1] = 0.0
    for number, actors in enumerate(shots):
        for colour, kind in actors:
            kinds[number, config.colours.index(colour), config.kinds.index(kind)] = 9.0
    settings = torch.full((count, len(config.settings)), -9.0)
    settings[:, config.settings.index(setting)] = 9.0
    fields = {
        "motions": torch.zeros(count, colours, len(config.motions) + 1),
        "directions": torch.zeros(count, colours, len(config.directions) + 1),
        "is_seen": torch.full((count, colours, config.num_steps), 9.0),
        "boxes": torch.full((count, colours, config.num_steps, 4), 0.5),
        "lights": torch.zeros(count, len(config.lights)),
        "moves": torch.zeros(count, len(config.moves)),
        "is_cut": torch.zeros(count),
        "features": torch.zeros(count, 4),
    }
    return fields | {"kinds": kinds, "settings": settings}


def test_identity_is_being_the_same_in_all_shots() -> None:
    claim = Cast.draw(np.random.default_rng(1), 1).tell(np.random.default_rng(1), 1, "en").claims
    who = (claim.actors[0].colour, claim.actors[0].kind)
    other = ("blue" if who[0] != "blue" else "red", who[1])
    stories = [(who,) * 4, (other,) * 4, (who, who, other, who), (None, who, who, who)]
    measured = reading(*[() if one is None else (one,) for story in stories for one in story])
    measured = {name: values.unflatten(0, (4, 4)) for name, values in measured.items()}
    measured["made_known"] = torch.zeros(4, 4, dtype=torch.int64)
    lines = [{"claims": [to_json(claim)] * 4}] * 4
    told = storyboard.figures(measured, lines, 2, open_probe().config)
    assert told["identity"]["right"] == 2, "the second has another colour than it was told, and keeps it"
    assert told["as_told"]["right"] == 1
    assert (told["next"]["right"], told["next"]["asked"]) == (3 + 3 + 2 + 0, 12)
    assert told["setting"]["share"] == 1.0
    assert told["asked"]["colour"]["right"] == 4 + 0 + 3 + 3


def test_storyboards_tell_of_one_cast_at_one_place() -> None:
    for number in range(6):
        told = storyboard.story(number, 2)
        assert len(told) == 4
        casts = [{(a.kind, a.colour) for a in one.claims.actors} for one in told]
        assert all(cast == casts[0] for cast in casts)
        assert len({one.claims.setting for one in told}) == 1
        language = "ar" if number % 2 else "en"
        for one in told:
            assert read(one.text, language), "the world's own grammar"
    assert storyboard.story(3, 2) == storyboard.story(3, 2)


def test_a_cast_avoids_what_it_should() -> None:
    for seed in range(20):
        cast = Cast.draw(
            np.random.default_rng(seed),
            1,
            num_actors=1,
            without_colours={"red", "blue"},
            without_setting="snow",
        )
        assert cast.actors[0].colour in ("green", "yellow")
        assert cast.setting in ("meadow", "room")


def test_layouts_are_compared_whatever_the_colours() -> None:
    boxes = torch.zeros(3, 4, 4)
    boxes[0, :, 0], boxes[1, :, 0] = 0.2, 0.8
    seen = torch.tensor([[True] * 4, [True, True, False, False], [False] * 4])
    read_boxes = torch.zeros(3, 4, 4)
    read_boxes[1, :, 0], read_boxes[2, :, 0] = 0.3, 0.8  # the first is now of the second colour
    there = torch.tensor([False, True, True])
    found = remix.layout(boxes, seen, read_boxes, torch.ones(3, 4, dtype=torch.bool), there)
    assert found.distance == pytest.approx(4 * 0.1)
    assert (found.found, found.asked) == (6, 6)
    lost = remix.layout(boxes, seen, read_boxes, torch.ones(3, 4, dtype=torch.bool), there & False)
    assert lost == remix.Layout(distance=0.0, found=0, asked=6)


def test_remixes_are_compared_with_chance() -> None:
    config = open_probe().config
    shots = reading((("red", "ball"),), (("blue", "cube"),))
    true = torch.full((2, len(config.colours), config.num_steps, 4), 0.5)
    true[1, ..., 0] = 0.9
    seen = torch.zeros(2, len(config.colours), config.num_steps, dtype=torch.bool)
    seen[:, config.colours.index("red")] = True
    shots["boxes"] = true.clone()
    measured = {
        f"{name}_{key}": shots[key] for name in ("source", "subtle", "mild", "strong") for key in shots
    }
    claim = Cast.draw(np.random.default_rng(1), 1).tell(np.random.default_rng(1), 1, "en").claims
    asked = dataclasses.replace(claim, setting="snow")
    lines = [{"claims": to_json(asked), "setting": place} for place in ("snow", "room")]
    entry = remix.figures(measured | {"boxes": true, "seen": seen}, lines, 2, config)["strengths"]["subtle"]
    assert entry["layout"]["distance"]["value"] == pytest.approx(0)
    assert entry["layout"]["lost"] == 0
    assert entry["by_chance"]["distance"]["value"] == pytest.approx(0.4)
    assert entry["setting_kept"]["right"] == 1
    assert entry["setting"]["right"] == 2


@pytest.fixture(scope="module")
def chunk_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights that make a second of 64×64 in one step."""
    folder = tmp_path_factory.mktemp("checkpoints") / "chunk"
    make_untrained(folder)
    told = {"fps": "12", "seconds": 1.0, "size": [64, 64], "steps": 1, "guidance": [2.0], "dials": "1"}
    (folder / "khayal.json").write_text(json.dumps(told | {"text_length": 64}))
    return folder


def test_requests_are_carried_out_as_the_studio_does(
    chunk_model: Path, tiny_checkpoint: Callable[[str], Path]
) -> None:
    performer = Performer(Maker.open(chunk_model, "cpu"))
    studio = khayal.open(chunk_model, device="cpu")
    given = FRAMES[:12]
    for name, (request, media) in requests(given, given, Fraction(12), "a ball rolls", 3).items():
        frames, borders, known = performer.perform(request, media)
        clip = studio.run(request)
        assert np.abs(frames.astype(int) - clip.frames.astype(int)).mean() < 0.5, name
        assert known.changed_columns == known.changed_frames == 0
        assert known.columns > 0
        assert known.frames == sum(1 for _ in given_frames(studio.plan(request)))
        assert borders.seams
    odd = [media[0] + 1]
    assert performer.perform(request, odd)[2].changed_frames == known.frames, "what changed is counted"


@pytest.mark.parametrize("name", ["animate", "extend", "backward", "fill"])
def test_what_is_known_is_all_that_is_right_of_a_bad_autoencoder(name: str, chunk_model: Path) -> None:
    maker, given = Maker.open(chunk_model, "cpu"), FRAMES[:12]
    request, media = requests(given, given, Fraction(12), "a ball rolls", 3)[name]
    borders = borders_of(Performer(maker).studio.plan(request))
    made = as_known(maker, given, borders)
    assert made.shape == given.shape
    right = [at for at in range(12) if np.array_equal(made[at], given[at])]
    assert right == [at for at in borders.given if at < 12]
    assert {*borders.pins} <= {*right}
    assert len(media) == 1


def test_media_may_be_all_there_is() -> None:
    clip = Clip.from_frames(FRAMES[:8], fps=12)
    shots = [Shot(prompt="a", clip=clip, seconds=8 / 12), Shot(prompt="b", seconds=1)]
    basis = Basis(timeline=CHUNKS, default_seconds=4.0, window=12, lengths=(8,))
    told = plan(StoryboardRequest(shots=shots), basis)
    assert isinstance(told.passages[0], Media)
    found = borders_of(told)
    assert (found.seams, found.shots) == ((8,), (8,))
