"""The whole command on a tiny checkpoint with random weights: that it runs, resumes, and refuses."""

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import khayal
from khayal.cli.evaluate import evaluate
from khayal.errors import CheckpointError, InputError, KhayalError, OutputError
from khayal.evaluate import evaluation, reading
from khayal.evaluate.claims import Asked, Claims, fulfilled, to_json
from khayal.evaluate.evaluation import Choice
from khayal.evaluate.fidelity import table
from khayal.evaluate.making import Maker
from khayal.evaluate.physics import known_columns, permanence, tracks
from khayal.evaluate.reading import Admitted, heard, open_probe, prepared
from khayal.evaluate.scenes import Casting, dials_of, played, prompt_of
from untrained import make_untrained

FEW = ["--prompts", "4", "--clips", "4", "--continued", "1", "--workers", "0", "--json"]
FEW += ["--scenes", "2", "--minutes", "1", "--minute-seconds", "3"]


@pytest.fixture
def model(tiny_checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint that makes 13 frames of 64×64 in one step; the cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    shutil.copytree(tiny_checkpoint("ti2v"), folder)
    settings(folder)
    return folder


def settings(folder: Path, **changes: Any) -> None:
    told = {"fps": "12", "seconds": 1.0, "size": [64, 64], "steps": 1, "guidance": [2.0], "dials": "12"}
    told |= {"history_guidance_from": 0.5, "text_length": 64}
    (folder / "khayal.json").write_text(json.dumps(told | changes))


def run(model: Path, *options: str) -> Any:
    result = CliRunner().invoke(evaluate, ["--model", str(model), *options], catch_exceptions=False)
    return json.loads(result.stdout)


@pytest.mark.usefixtures("gl")
def test_the_whole_command_and_that_it_goes_on(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "report"
    told = run(model, *FEW, "--report", str(report))
    assert told == json.loads((report / "report.json").read_text())
    assert told["dials"] == [1, 2]
    assert all(told[part] for part in evaluation.PARTS)
    for split in ("seen", "heldout"):
        everything = told["fidelity"][split]["all"]
        assert everything["prompts"] == 4
        assert everything["kind"]["asked"] == everything["kind"]["ceiling"]["asked"] >= 4
        assert told["fidelity"][split]["ar"]["prompts"] == 2
    assert 3 < told["reconstruction"]["psnr"] < 40
    assert told["distribution"]["clips"] == 4
    assert told["distribution"]["extrapolated"]["made"] is None  # too few
    assert told["physics"]["known_frames"] == 9
    check_abilities(told)
    page = (report / "index.html").read_text()
    assert page.count("<img") == 8 + 2 * 6 + 1 + 4 + 4
    assert "Prompt fidelity" in page
    assert "wanted ≤ 1.3×" in page
    assert "wanted ≥ 80%" in page
    assert "://" not in page, "nothing is fetched; letters of a picture can say http, but not this"
    assert page.count("src=") == page.count('src="data:image/png;base64,')

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("this was measured before")

    monkeypatch.setattr(Maker, "make", refuse)
    monkeypatch.setattr("khayal.evaluate.performing.Performer.begin", refuse)
    monkeypatch.setattr("khayal.evaluate.scenes.play", refuse)
    assert run(model, *FEW, "--report", str(report)) == told
    with pytest.raises(InputError, match="begun with dials"):
        run(model, *FEW, "--report", str(report), "--dial", "1")
    settings(model, steps=2)
    with pytest.raises(InputError, match="begun with sampling"):
        run(model, *FEW, "--report", str(report))


def check_abilities(told: Any) -> None:
    """What has to hold of any model, trained or not: nothing that is known changes, and all is measured."""
    assert told["tasks"]["scenes"] == 2
    for entry in (*told["tasks"]["known"].values(), told["minute"]["known"], told["storyboard"]["known"]):
        assert entry["columns"] > 0
        assert entry["changed_columns"] == entry["changed_frames"] == 0
    for entry in (*told["tasks"]["seams"].values(), told["tasks"]["loop"], told["minute"]["windows"]):
        assert entry["ratio"]["value"] > 0
        assert entry["even"]["asked"] == entry["ratio"]["clips"]
    assert told["tasks"]["seams"]["fill"]["returned"]["value"] > 0
    assert told["tasks"]["flicker"]["real"]["clips"] == 2
    assert {*told["minute"]["drift"]["made"]} == {"luma", "saturation", "sharpness", "motion"}
    assert told["minute"]["num_frames"] in (36, 37)
    assert (told["storyboard"]["storyboards"], told["storyboard"]["shots"]) == (1, 4)
    assert list(told["remix"]["strengths"]) == ["source", "subtle", "mild", "strong"]
    assert told["remix"]["strengths"]["source"]["setting_kept"]["asked"] == 1


@pytest.mark.usefixtures("gl")
def test_the_tasks_are_measured_with_chunks_too(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "chunks"
    make_untrained(folder)
    settings(folder, dials="1")
    told = run(folder, *FEW, "--only", "tasks,minute,storyboard,remix")
    check_abilities(told)
    assert told["tasks"]["known"]["loop"]["frames"] == 2 * 6
    assert told["remix"]["clips"] == 1


@pytest.mark.usefixtures("gl")
def test_models_with_one_level_are_measured_in_what_they_can(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    shutil.copytree(tiny_checkpoint("wan2.1"), folder)
    settings(folder, history_guidance_from=None)
    report = tmp_path / "report"
    told = run(folder, *FEW, "--only", "tasks,minute,storyboard,remix", "--report", str(report))
    assert told["tasks"] is told["minute"] is told["storyboard"] is None
    assert told["remix"]["strengths"]["strong"]["setting_kept"]["asked"] == 1
    assert "this model cannot animate" in (report / "index.html").read_text()


@pytest.mark.usefixtures("gl")
def test_what_was_measured_before_a_kill_is_kept(model: Path, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    made: list[str] = []
    killed_at = ["clips of the model, seen 2"]

    def show(stage: str, done: int, total: int) -> None:
        made.append(f"{stage} {done}")
        if made[-1] in killed_at:
            killed_at.clear()
            raise KilledError

    choice = Choice(parts=("fidelity",), num_prompts=2, num_workers=0, dials="1")
    with pytest.raises(KilledError):
        evaluation.evaluate(model, tmp_path / "a", choice, show=show)
    first, made[:] = list(made), []
    told, pictures = evaluation.evaluate(model, tmp_path / "a", choice, show=show)
    assert first == ["real clips, seen 0", "real clips, seen 2"] + [
        f"clips of the model, seen {done}" for done in (0, 2)
    ]
    assert made[:2] == ["real clips, seen 2", "clips of the model, seen 2"]
    assert set(told["fidelity"]) == {"seen", "heldout"}
    assert "physics" not in told
    assert [len(entries) for entries in pictures.values()] == [2]


def test_clips_are_those_that_the_studio_makes(model: Path) -> None:
    prompts = ["a red ball bounces on the green grass", "two cubes"]
    made = Maker.open(model, "cpu").make(prompts, [3, 4])
    studio = khayal.open(model, device="cpu")
    for prompt, seed, clip in zip(prompts, (3, 4), made, strict=True):
        frames = studio.generate(prompt, seed=seed).frames
        assert frames.shape == tuple(clip.shape)
        assert np.abs(frames.astype(int) - clip.numpy().astype(int)).mean() < 1


def test_known_columns_come_back(model: Path) -> None:
    maker = Maker.open(model, "cpu")
    frames = torch.randint(0, 255, (2, 13, 64, 64, 3), dtype=torch.uint8)
    latents = maker.encode(frames)
    made = maker.make(["a ball", "a cube"], [0, 1], known=latents[:, :, :3])
    returned = maker.decode(latents)
    assert (made[:, :9].int() - returned[:, :9].int()).abs().float().mean() < 1
    assert (made[:, 9:].int() - returned[:, 9:].int()).abs().float().mean() > 3


def test_the_first_second_is_known() -> None:
    assert known_columns((4,) * 12, 12) == 3
    assert known_columns((1, 4, 4, 4), 12) == 3
    assert known_columns((4, 4), 24) == 1
    assert known_columns((8, 8), 4) == 1


def test_tracks_are_compared_where_actors_are_and_are_found() -> None:
    true = torch.zeros(1, 2, 4, 4)
    true[0, 0, :, 0] = torch.tensor([0.2, 0.4, 0.6, 0.8])
    seen = torch.tensor([[[True] * 4, [False] * 4]])
    made = true.clone()
    made[0, 0, 2:, 1] = 0.1
    found = torch.tensor([[[True, True, True, False], [True] * 4]])
    measured = {"boxes": true, "seen": seen, "made_boxes": made, "made_seen": found}
    measured |= {f"{n}_{k}": measured[k] for n in ("returned", "real") for k in ("boxes", "seen")}
    told = tracks(measured, 2)
    assert told["made"] == {"distance": 0.1, "lost": 0.5}
    assert told["real"] == {"distance": 0.0, "lost": 0.0}
    assert told["stands_still"]["distance"] == pytest.approx(0.3)


def test_actors_that_come_go_and_change_are_counted() -> None:
    config = open_probe().config
    admitted = Admitted.at(1, config)
    seen = torch.full((4, len(config.colours), 16), -9.0)
    red, blue = config.colours.index("red"), config.colours.index("blue")
    seen[0, red] = 9.0
    seen[1, red, 8:] = 9.0
    seen[2, red, :8] = 9.0
    seen[3, red, :8] = seen[3, blue, 8:] = 9.0
    seen[0, config.colours.index("pink"), 8:] = 9.0  # not of this dial
    told = permanence(seen, admitted)
    assert {name: entry["right"] for name, entry in told.items()} == {
        "appears": 1,
        "vanishes": 1,
        "changes_colour": 1,
    }


@pytest.fixture
def silent() -> Callable[[str, int, int], None]:
    return lambda stage, done, total: None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": [32, 32]}, "cannot be compared with the world"),
        ({"seconds": 0.01}, "makes single images"),
        ({"fps": "30000/1001"}, "frames per second"),
    ],
)
def test_checkpoints_that_the_world_cannot_judge_are_refused(
    model: Path, changes: dict[str, Any], message: str, silent: Any
) -> None:
    settings(model, **changes)
    with pytest.raises(InputError, match=message):
        evaluation.evaluate(model, None, Choice(num_workers=0), show=silent)


def test_bad_choices_are_refused_in_a_sentence(model: Path, tmp_path: Path, silent: Any) -> None:
    with pytest.raises(InputError, match="no part of an evaluation"):
        evaluation.evaluate(model, None, Choice(parts=("beauty",)), show=silent)
    with pytest.raises(InputError, match="no dial"):
        dials_of("17")
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(OutputError, match="it is a file"):
        run(model, "--report", str(file))
    with pytest.raises(CheckpointError, match="no probe"):
        open_probe(tmp_path)
    (tmp_path / "config.json").write_text(
        (reading.SHIPPED / "config.json").read_text().replace("cube", "box")
    )
    with pytest.raises(CheckpointError, match="does not know this world"):
        open_probe(tmp_path)


@pytest.mark.parametrize("missing", ["mujoco", "skimage"])
def test_a_missing_extra_is_named(
    model: Path, missing: str, monkeypatch: pytest.MonkeyPatch, silent: Any
) -> None:
    def found(name: str) -> object:
        return None if name == missing else find_spec(name)

    for place in ("evaluation", "scenes"):
        monkeypatch.setattr(f"khayal.evaluate.{place}.find_spec", found)
    extra = {"mujoco": "world", "skimage": "evaluate"}[missing]
    with pytest.raises(KhayalError, match=rf"khayal\[{extra}\]"):
        evaluation.evaluate(model, None, Choice(num_workers=0), show=silent)


@pytest.mark.usefixtures("gl")
def test_the_shipped_probe_is_small_and_reads_real_clips() -> None:
    sizes = {path.name: path.stat().st_size for path in reading.SHIPPED.iterdir()}
    assert sum(sizes.values()) - sizes[reading.LOOK] < 3_000_000
    assert sizes[reading.LOOK] < 2_000_000
    casting = Casting(size=(128, 128), fps=12, num_frames=48, dials=(1,), split="heldout", seed=77)
    rendered = list(played(casting, list(range(8)), 0))
    frames = torch.from_numpy(np.stack([one.frames for one in rendered]))
    told = heard(reading.read(open_probe(), frames, 12.0), 1, open_probe().config)
    right = [
        fulfilled(prompt_of(one.truth, number, 1).claims, seen)
        for number, (one, seen) in enumerate(zip(rendered, told, strict=True))
    ]
    for name in ("kind", "colour", "motion", "setting"):
        answers = [answer for each in right for answer in each[name]]
        assert sum(answers) >= 0.85 * len(answers), name


def test_clips_of_any_size_and_rate_are_brought_to_the_probe() -> None:
    config = open_probe().config
    frames = torch.arange(24, dtype=torch.uint8)[None, :, None, None, None].expand(1, 24, 128, 96, 3)
    small = prepared(frames, 24.0, config)
    assert small.shape == (1, 3, 48, 128, 128)
    levels = ((small[0, 0, :, 0, 0] + 1) * 127.5).round().tolist()
    assert levels[:3] == [1.0, 3.0, 5.0]
    assert levels[-1] == 23.0


def shown(*clips: dict[tuple[str, str], float]) -> dict[str, torch.Tensor]:
    """What a probe would read: in each clip these kinds in these colours, so surely; and the last setting."""
    config = open_probe().config
    size, count = len(clips), len(config.colours)
    kinds = torch.full((size, count, len(config.kinds) + 1), -5.0)
    kinds[..., -1] = 5.0
    for clip, actors in enumerate(clips):
        for (kind, colour), strength in actors.items():
            kinds[clip, config.colours.index(colour), config.kinds.index(kind)] = strength
    return {
        "kinds": kinds,
        "motions": torch.zeros(size, count, len(config.motions) + 1),
        "directions": torch.zeros(size, count, len(config.directions) + 1),
        "settings": torch.arange(len(config.settings)).float().expand(size, -1),
        "lights": torch.zeros(size, len(config.lights)),
        "moves": torch.zeros(size, len(config.moves)),
        "is_cut": torch.zeros(size),
    }


def test_answers_are_among_those_that_the_dial_admits() -> None:
    red = {("cat", "red"): 9.0, ("cube", "red"): 8.0}  # cats are of dial 3
    told = shown(red | {("cat", "pink"): 20.0, ("cube", "pink"): 9.0})
    config = open_probe().config
    small, larger = heard(told, 1, config)[0], heard(told, 2, config)[0]
    assert [(actor.colour, actor.kind) for actor in small.actors] == [("red", "cube")]
    assert [actor.colour for actor in larger.actors] == ["pink", "red"]
    assert {actor.kind for actor in larger.actors} == {"cube"}
    assert small.setting == "room"
    assert larger.setting == "courtyard"


def test_it_is_told_whose_kind_an_actor_has() -> None:
    def line(*casts: tuple[str, str]) -> dict[str, Any]:
        actors = tuple(Asked(kind=kind, colour=colour) for kind, colour in casts)
        return {"language": "en", "claims": to_json(Claims(actors=actors))}

    both, config = (("cube", "red"), ("ball", "blue")), open_probe().config
    lines = [line(*both), line(*both), line(*both), line(both[0]), line(("cube", "red"), ("cube", "blue"))]
    right, turned = dict.fromkeys(both, 9.0), {("ball", "red"): 9.0, ("cube", "blue"): 9.0}
    third = {("cone", "red"): 9.0}
    made, real = shown(right, turned, third, right, right), shown(*[right] * 5)
    told = table(lines, made, real, 2, config)
    assert told["all"]["whose_kind"] == {
        "made": {"own": 2, "other": 2, "third": 1, "missing": 1},
        "real": {"own": 6, "other": 0, "third": 0, "missing": 0},
    }
    assert "whose_kind" not in told["1 actor"]


def test_prompts_that_are_alike_are_right_by_chance_too() -> None:
    casts = [("cube", "red"), ("cube", "red"), ("ball", "blue"), ("ball", "blue")]
    lines = [
        {
            "language": "en",
            "claims": to_json(
                Claims(actors=(Asked(kind=kind, colour=colour),), setting="room" if number else "")
            ),
        }
        for number, (kind, colour) in enumerate(casts)
    ]
    right = shown(*({cast: 9.0} for cast in casts))
    told = table(lines, right, right, 1, open_probe().config)["all"]
    assert (told["prompts"], told["casts"]) == (4, 2)
    for name in ("kind", "colour", "pair"):
        assert told[name]["share"] == told[name]["ceiling"]["share"] == 1
        assert told[name]["chance"] == round(4 / 12, 4), "moved on by one, two, three places"
    assert (told["setting"]["asked"], told["setting"]["chance"]) == (3, 1), "it is a room in every clip"
    one = table(lines[:1], shown({casts[0]: 9.0}), shown({casts[0]: 9.0}), 1, open_probe().config)["all"]
    assert one["kind"]["chance"] is None, "there are no others"
