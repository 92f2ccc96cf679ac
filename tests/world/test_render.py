"""Pictures, streams and folders."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from khayal.cli.world import world
from khayal.clip import Clip
from khayal.errors import InputError
from khayal.world import Request, Truth, Windows, contact_sheet, render_clip, render_folder, stream
from khayal.world import vocabulary as v
from khayal.world.render import renderer
from khayal.world.scene import Action, Actor
from khayal.world.theatre import Take

pytestmark = pytest.mark.usefixtures("gl")

SMALL = Request(size=(64, 64), seconds=1.0)


@pytest.mark.parametrize("size", [(128, 128), (160, 96), (96, 160)])
def test_frames_have_the_size_and_length_that_were_asked_for(size: tuple[int, int]) -> None:
    clip = render_clip(Request(size=size, seconds=1.0), 0, 0)
    assert clip.frames.shape == (12, size[1], size[0], 3)
    assert clip.frames.std() > 10
    assert clip.truth.pixels_size is not None
    assert min(clip.truth.pixels_size) == 64


@pytest.mark.parametrize("setting", v.SETTINGS)
def test_every_setting_in_every_light_is_textured_and_lit(
    setting: str, make_take: Callable[..., Take]
) -> None:
    taken = make_take((Actor(kind="ball", colour="red"),), (), fps=12, seconds=0.1)
    means = []
    for light in v.SETTINGS[setting]:
        picture = renderer().draw(
            taken.performance.cast, taken.views, (64, 64), setting=setting, light=light
        )[0]
        ground = picture[-10:].astype(float)
        assert ground.std(axis=(0, 1)).max() > 1.5, "the ground is a flat fill"
        assert 12 < picture.mean() < 245
        means.append(picture.mean())
    assert len(means) < 2 or max(means) - min(means) > 3


def test_pixels_are_counted_where_the_actor_is_seen(make_take: Callable[..., Take]) -> None:
    actors = (
        Actor(kind="cube", colour="red", place=(-0.8, 0.0)),
        Actor(kind="ball", colour="blue", place=(0.8, 0.0)),
    )
    taken = make_take(actors, (), fps=12, seconds=0.1)
    cast, views = taken.performance.cast, taken.views
    picture = renderer().draw(cast, views, (128, 128), setting="snow", light="day")[0].astype(int)
    mask = renderer().segment(cast, views, (128, 128), setting="snow")[0]
    assert set(np.unique(mask)) == {-1, 0, 1}
    red, blue = picture[mask == 0].mean(axis=0), picture[mask == 1].mean(axis=0)
    assert red[0] > 2 * red[2]
    assert blue[2] > 2 * blue[0]
    for number in (0, 1):
        rows, columns = np.nonzero(mask == number)
        left, top, right, bottom, _ = taken.boxes[0, number]
        assert left * 128 - 1.5 <= columns.min()
        assert columns.max() <= right * 128 + 0.5
        assert top * 128 - 1.5 <= rows.min()
        assert rows.max() <= bottom * 128 + 0.5


def test_who_hides_is_not_seen_for_a_while() -> None:
    clip = render_clip(Request(play="hide"), 11, 0)
    action = next(a for a in clip.truth.actions if a.event == "hide")
    pixels = clip.truth.frames.actors[action.actor].pixels
    assert pixels is not None
    assert min(pixels) < 0.3 * max(pixels)
    assert pixels[0] > 0.4 * max(pixels)


def test_the_number_of_workers_changes_nothing() -> None:
    alone = list(stream(3, count=3, request=SMALL))
    shared = list(stream(3, count=3, request=SMALL, num_workers=2))
    for one, other in zip(alone, shared, strict=True):
        assert one.truth == other.truth
        assert one.captions == other.captions
        assert np.abs(one.frames.astype(int) - other.frames.astype(int)).max() <= 1


def test_windows_are_cut_from_longer_scenes() -> None:
    clip = next(stream(4, request=SMALL, windows=Windows(scene_seconds=10.0)))
    assert len(clip.frames) == clip.truth.num_frames == 12
    assert clip.captions[0].texts["ar"]["short"]


def test_a_folder_is_filled_and_what_is_there_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "clips"
    assert [w.index for w in render_folder(out, count=3, seed=1, request=SMALL)] == [0, 1, 2]
    before = (out / "000000.mp4").stat().st_mtime_ns
    (out / "000001.json").unlink()
    assert [w.index for w in render_folder(out, count=3, seed=1, request=SMALL)] == [1]
    assert (out / "000000.mp4").stat().st_mtime_ns == before
    sidecar = json.loads((out / "000001.json").read_text())
    assert Truth.from_json(sidecar["truth"]).num_frames == 12
    assert sidecar["captions"][0]["en"]["detailed"]
    assert Clip.open(out / "000001.mp4").num_frames == 12
    with pytest.raises(InputError, match="seed"):
        list(render_folder(out, count=3, seed=2, request=SMALL))


def test_the_commands(tmp_path: Path) -> None:
    run = CliRunner()
    shape = ["--size", "64x64", "--seconds", "1", "--dial", "2"]
    made = run.invoke(
        world, ["render", "--count", "2", "--out", str(tmp_path / "a"), "--workers", "0", *shape]
    )
    assert made.exit_code == 0, made.output
    assert "2 clips rendered" in made.output
    again = run.invoke(
        world, ["render", "--count", "2", "--out", str(tmp_path / "a"), "--workers", "0", *shape]
    )
    assert "0 clips rendered, 2 were there already" in again.output
    page = tmp_path / "sheet.png"
    shown = run.invoke(world, ["preview", "--count", "3", "--out", str(page), *shape])
    assert shown.exit_code == 0, shown.output
    assert page.exists()


def test_a_sheet_shows_every_clip() -> None:
    page = contact_sheet(stream(5, count=3, request=SMALL))
    assert page.size[0] > 2 * 6 * 64


def test_a_walker_moves_its_legs(make_take: Callable[..., Take]) -> None:
    man = Actor(kind="man", colour="blue", place=(-0.5, 0.0))
    walk = Action(actor=0, motion="walk", start=0.0, end=2.0, distance=1.2)
    taken = make_take((man,), (walk,), fps=12, seconds=2.0)
    cast = taken.performance.cast
    offsets = cast.centres[:, :8] - taken.performance.figures[0].place[:, None]
    assert offsets[6:18].std(axis=0).max() > 0.05
