"""A whole evaluation: what is asked for, the measurements that it needs, and its results in one place."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import torch

import khayal
from khayal.errors import InputError, MissingExtraError
from khayal.evaluate import minute, physics, remix, storyboard, tasks
from khayal.evaluate.fidelity import identities, table
from khayal.evaluate.frechet import between, evened, extrapolated
from khayal.evaluate.making import Maker
from khayal.evaluate.measuring import NUM_PICTURED, Bench, Show, cache_folder
from khayal.evaluate.performing import Performer
from khayal.evaluate.reading import Admitted, fingerprint, open_probe
from khayal.evaluate.scenes import CALM_DIAL, SEED, SEED_OF_OTHERS, Casting, dials_of
from khayal.evaluate.store import settle

SCHEMA = "khayal.evaluation/1"
ABILITIES = {
    "tasks": ("animate", "extend", "fill", "connect", "loop"),
    "minute": ("extend",),
    "storyboard": ("storyboard",),
    "remix": ("remix",),
}
"""Parts about what the tasks make, and the tasks that a checkpoint has to be able to do for each."""
PARTS = ("fidelity", "reconstruction", "distribution", "physics", "consistency", *ABILITIES)
SPLITS = {"seen": "train", "heldout": "heldout"}
NO_EVENTS_BELOW = 4
"""From this dial on actors enter, leave and hide, and there are cuts."""

Pictures: TypeAlias = dict[str, list[tuple[str, dict[str, Path]]]]
"""By heading: for each prompt its pictures by their titles."""
ABILITIES_PICTURED = 2


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is evaluated, and how much of it.

    Attributes:
        dials: of the world, "12" for dials 1 and 2 in turn; "" takes what the checkpoint says.
        parts: some of PARTS.
        num_prompts: in each of the two tables, of seen and of held-out combinations.
        num_clips: for the Fréchet distance, half of them of each kind.
        num_continued: clips that are continued.
        num_scenes: that tasks are done with; of storyboards and remixes half as many.
        num_minutes: long videos.
        minute_seconds: how long these are.
        num_workers: processes that render.
    """

    dials: str = ""
    parts: Sequence[str] = PARTS
    num_prompts: int = 512
    num_clips: int = 2048
    num_continued: int = 64
    num_scenes: int = 24
    num_minutes: int = 6
    minute_seconds: float = 60.0
    num_workers: int = 1


def evaluate(
    model: str | Path | None, folder: Path | None, choice: Choice, *, device: str = "auto", show: Show
) -> tuple[dict[str, Any], Pictures]:
    """Measure a checkpoint; what was measured before is not measured again.

    Returns the figures, and for the first prompts the pictures that there are, by their titles.

    Args:
        folder: where measurements are kept; None keeps them in the cache.

    Raises:
        KhayalError: for what cannot be evaluated, before the work begins.
    """
    odd = [part for part in choice.parts if part not in PARTS]
    if odd:
        raise InputError(f"“{odd[0]}” is no part of an evaluation", fix=f"choose among {', '.join(PARTS)}")
    if {"reconstruction", "distribution"} & {*choice.parts} and find_spec("skimage") is None:
        raise MissingExtraError("Reconstructions cannot be compared", extra="evaluate")
    probe = open_probe()
    maker = Maker.open(model, device)
    casting = casting_of(maker, choice.dials)
    cache = cache_folder(casting)
    identity = {
        "model": maker.fingerprint(),
        "sampling": maker.sampling,
        "dials": casting.dials,
        "probe": fingerprint(),
    }
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    kept = (folder or cache / "models" / name) / "measured"
    settle(kept, identity)
    bench = Bench(
        maker=maker, probe=probe, folder=kept, cache=cache, num_workers=choice.num_workers, show=show
    )
    evaluation = Evaluation(bench, casting, choice)
    return evaluation.run(), evaluation.pictures()


def casting_of(maker: Maker, dials: str) -> Casting:
    """The scenes that a checkpoint can be compared with.

    Raises:
        InputError: the world does not have its size, length or rate.
        MissingExtraError: MuJoCo is not installed.
    """
    checkpoint = maker.checkpoint
    told = dials or checkpoint.defaults.dials or "1"
    fps = checkpoint.defaults.fps
    if fps.denominator != 1:
        raise InputError(
            f"{checkpoint.name} cannot be evaluated", why=f"the world has no {float(fps):g} frames per second"
        )
    casting = Casting(
        size=maker.size,
        fps=int(fps),
        num_frames=maker.num_frames,
        dials=dials_of(told),
        split="train",
        seed=SEED,
    )
    try:
        casting.check()
    except InputError as error:
        raise InputError(
            f"{checkpoint.name} cannot be compared with the world: {error.what[:1].lower()}{error.what[1:]}",
            why=error.why,
            fix="evaluate one whose clips have a size of the world, such as the one khayal comes with",
        ) from error
    return casting


class Evaluation:
    """The parts of one evaluation, on one bench."""

    def __init__(self, bench: Bench, casting: Casting, choice: Choice) -> None:
        self.bench, self.casting, self.choice = bench, casting, choice
        self.dial = max(casting.dials)
        self.admitted = Admitted.at(self.dial, bench.probe.config)

    def run(self) -> dict[str, Any]:
        """All parts that are asked for."""
        checkpoint = self.bench.maker.checkpoint
        told: dict[str, Any] = {
            "schema": SCHEMA,
            "khayal": khayal.__version__,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "model": checkpoint.name,
            "weights": self.bench.maker.fingerprint(),
            "probe": fingerprint(),
            "dials": list(self.casting.dials),
            "size": list(self.casting.size),
            "fps": self.casting.fps,
            "num_frames": self.casting.num_frames,
            **self.bench.maker.sampling,
        }
        for part in PARTS:
            if part not in self.choice.parts:
                continue
            able = checkpoint.tasks
            missing = [task for task in ABILITIES.get(part, ()) if task not in able]
            told[part] = None if missing else getattr(self, part)()
            if missing:
                told[f"{part}_note"] = f"not measured: this model cannot {missing[0]}"
        return told

    def fidelity(self) -> dict[str, Any]:
        """One table for each split."""
        bench, count = self.bench, self.choice.num_prompts
        found = {}
        for name in SPLITS:
            self._real(name, count)
            bench.measure_made(name, count)
            lines, made, real = (
                bench.real(name).lines(count),
                bench.made(name).read(count),
                bench.real(name).read(count),
            )
            found[name] = table(lines, made, real, self.dial, bench.probe.config)
        return found

    def reconstruction(self) -> dict[str, Any]:
        """PSNR and SSIM of the autoencoder."""
        count = self.choice.num_prompts
        self._real("heldout", count)
        measured = self.bench.returned("heldout").read(count)
        told: dict[str, Any] = {"clips": count}
        for name in ("psnr", "ssim"):
            values = measured[name]
            error = float(values.std() / len(values) ** 0.5) if len(values) > 1 else 0.0
            told[name] = round(float(values.mean()), 4)
            told[f"{name}_95"] = [round(float(values.mean()) + sign * 1.96 * error, 4) for sign in (-1, 1)]
        return told

    def distribution(self) -> dict[str, Any]:
        """Fréchet distances to other real clips: the model's, the autoencoder's, and that of real ones."""
        bench, half = self.bench, max(1, self.choice.num_clips // 2)
        sets: dict[str, list[torch.Tensor]] = {"made": [], "returned": [], "real": [], "others": []}
        for name in SPLITS:
            self._real(name, half)
            self._real(f"others-{name}", half)
            bench.measure_made(name, half)
            sets["made"].append(bench.made(name).read(half)["features"])
            sets["returned"].append(bench.returned(name).read(half)["features"])
            sets["real"].append(bench.real(name).read(half)["features"])
            sets["others"].append(bench.real(f"others-{name}").read(half)["features"])
        features = {name: evened(torch.cat(parts)) for name, parts in sets.items()}
        told: dict[str, Any] = {"clips": 2 * half, "features": features["real"].shape[1]}
        for kind, measure in (("measured", between), ("extrapolated", extrapolated)):
            distances = {
                name: measure(features[name], features["others"]) for name in ("made", "returned", "real")
            }
            told[kind] = {name: _rounded(value) for name, value in distances.items()}
            made, returned = distances["made"], distances["returned"]
            is_ratio = made is not None and returned is not None and returned > 0
            told[kind]["multiple"] = _rounded(made / returned) if is_ratio else None  # type: ignore[operator]
        told["multiple"] = told["measured"]["multiple"]
        return told

    def physics(self) -> dict[str, Any]:
        """Continuations, and actors that come and go where nobody should."""
        bench, choice = self.bench, self.choice
        measured = physics.measure(bench, self.casting, choice.num_continued)
        config = bench.probe.config
        maker = bench.maker
        known = sum(maker.columns[: physics.known_columns(maker.columns, maker.fps)])
        start = -(-round(known / maker.fps * config.fps) // config.frames_per_step)
        told: dict[str, Any] = {
            "clips": choice.num_continued,
            "known_frames": known,
            "tracks": physics.tracks(measured, min(max(start, 1), config.num_steps - 1)),
        }
        if self.dial >= NO_EVENTS_BELOW:
            told["permanence"] = None
            told["permanence_note"] = f"not measured: at dial {self.dial} actors enter and leave"
            return told
        self._real("heldout", choice.num_prompts)
        bench.measure_made("heldout", choice.num_prompts)
        for name, store in (("made", bench.made("heldout")), ("real", bench.real("heldout"))):
            seen = store.read(choice.num_prompts)["is_seen"]
            told.setdefault("permanence", {})[name] = physics.permanence(seen, self.admitted)
        return told

    def consistency(self) -> dict[str, Any]:
        """Who keeps kind and colour across a camera move."""
        bench, count = self.bench, self.choice.num_prompts
        told: dict[str, Any] = {}
        for name in SPLITS:
            self._real(name, count)
            bench.measure_made(name, count)
            lines = bench.real(name).lines(count)
            told[name] = {
                kind: identities(lines, store.read(count), self.dial, bench.probe.config).to_json()
                for kind, store in (("made", bench.made(name)), ("real", bench.real(name)))
            }
        return told

    @cached_property
    def performer(self) -> Performer:
        """What carries requests out."""
        return Performer(self.bench.maker)

    @property
    def calm_dial(self) -> int:
        """The largest dial of scenes in which who is there stays there."""
        return min(self.dial, CALM_DIAL)

    def tasks(self) -> dict[str, Any]:
        """Seams, loops, stills that come alive, and what was known."""
        bench, count = self.bench, self.choice.num_scenes
        kept = tasks.measure(bench, self.casting, self.performer, count)
        columns = bench.maker.columns
        return tasks.figures(kept.read(count), kept.lines(count), columns, self.calm_dial, bench.probe.config)

    def minute(self) -> dict[str, Any]:
        """Drift, and the seams of windows."""
        bench, count, seconds = self.bench, self.choice.num_minutes, self.choice.minute_seconds
        kept = minute.measure(bench, self.casting, self.performer, count, seconds)
        found = minute.figures(kept.read(count), kept.lines(count), self.calm_dial, bench.probe.config)
        return {"seconds": seconds} | found

    def storyboard(self) -> dict[str, Any]:
        """Who keeps kind and colour across shots."""
        bench, count = self.bench, max(1, self.choice.num_scenes // 2)
        kept = storyboard.measure(bench, self.casting.dials, self.performer, count)
        return storyboard.figures(kept.read(count), kept.lines(count), self.dial, bench.probe.config)

    def remix(self) -> dict[str, Any]:
        """What is kept and what is followed, at each strength."""
        bench, count = self.bench, max(1, self.choice.num_scenes // 2)
        kept = remix.measure(bench, self.casting, self.performer, count)
        return remix.figures(kept.read(count), kept.lines(count), self.calm_dial, bench.probe.config)

    def pictures(self) -> Pictures:
        """Frames of the first held-out prompts' clips, and of what the tasks made, of what there is."""
        bench, name = self.bench, "heldout"
        prompts = []
        for number in range(min(NUM_PICTURED, self.choice.num_prompts)):
            paths = {
                "made by the model": bench.folder / "pictures" / f"made-{name}-{number}.png",
                "rendered": bench.cache / "pictures" / f"real-{name}-{number}.png",
            }
            if all(path.exists() for path in paths.values()):
                prompts.append((bench.real(name).lines(number + 1)[number]["text"], paths))
        shown: Pictures = {"Prompts of the held-out table, from the first, with seeds 0, 1, …": prompts}
        for part in ABILITIES:
            if part in self.choice.parts:
                shown[f"Part “{part}”"] = [*self._of_ability(part)]
        return {heading: entries for heading, entries in shown.items() if entries}

    def _of_ability(self, part: str) -> Iterator[tuple[str, dict[str, Path]]]:
        folder = self.bench.folder / "pictures"
        for number in range(ABILITIES_PICTURED):
            found = sorted(folder.glob(f"{part}-*-{number}.png"))
            if found:
                names = {path.name.removeprefix(f"{part}-").rsplit("-", 1)[0]: path for path in found}
                yield f"number {number}", names

    def _real(self, name: str, count: int) -> None:
        """Real clips, and at once their reconstructions where any part asks for them."""
        parts, is_other = self.choice.parts, name.startswith("others-")
        is_returned = "distribution" in parts or ("reconstruction" in parts and name == "heldout")
        split = SPLITS[name.removeprefix("others-")]
        casting = replace(self.casting, split=split, seed=SEED_OF_OTHERS if is_other else SEED)
        self.bench.measure_real(name, casting, count, is_returned=is_returned and not is_other)


def _rounded(value: float | None) -> float | None:
    return round(value, 4) if value is not None else None


def default_workers() -> int:
    """One process for each core but one."""
    return max(1, (os.cpu_count() or 1) - 1)
