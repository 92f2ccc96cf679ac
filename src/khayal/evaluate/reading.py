"""The probe that scores: opened, shown clips of any size and rate, and what it says in names."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from safetensors.torch import load_file
from torch import Tensor

from khayal.errors import CheckpointError
from khayal.evaluate.claims import Actor, Heard
from khayal.evaluate.labels import frames_seen
from khayal.model.look import FILE as LOOK
from khayal.model.look import Look
from khayal.model.probe import Probe, ProbeConfig, ProbeReading, resized
from khayal.model.skeleton import without_weights
from khayal.world import vocabulary as v

SHIPPED = Path(__file__).parent / "probe"
WEIGHTS = "probe.safetensors"
KEPT = tuple(field.name for field in fields(ProbeReading) if field.name != "where")
"""What is kept of a reading."""
READ_AT_ONCE = 8


def open_probe(folder: Path = SHIPPED) -> Probe:
    """The probe in a folder, computing in float32; without its closer look where that is not there.

    Raises:
        CheckpointError: it is not there, or knows other names than this version's world.
    """
    where = folder / "config.json"
    if not where.is_file():
        raise CheckpointError(
            f"There is no probe in “{folder}”", fix="train one with: khayal train recipes.probe:probe"
        )
    data: dict[str, Any] = json.loads(where.read_text(encoding="utf-8"))
    fields_of: Any = {key: tuple(x) if isinstance(x, list) else x for key, x in data.items()}
    config = ProbeConfig(**fields_of)
    world = (tuple(v.KINDS), tuple(v.COLOURS), tuple(v.MOTIONS), v.DIRECTIONS)
    if (config.kinds, config.colours, config.motions, config.directions) != world:
        raise CheckpointError(
            f"The probe in “{folder}” does not know this world",
            why="its names are others",
            fix="train it again",
        )
    looks = (folder / LOOK).exists()
    with without_weights():
        probe = Probe(config, Look(len(config.kinds), len(config.colours)) if looks else None)
    weights = load_file(folder / WEIGHTS)
    if looks:
        weights |= {f"look.{key}": value for key, value in load_file(folder / LOOK).items()}
    probe.load_state_dict({key: value.float() for key, value in weights.items()}, assign=True)
    return probe.eval().requires_grad_(False)


def fingerprint(folder: Path = SHIPPED) -> str:
    """Of the probe's weights."""
    digest = hashlib.sha256()
    for name in (WEIGHTS, LOOK):
        if (folder / name).exists():
            digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:12]


def prepared(
    frames: UInt8[Tensor, "b f h w 3"], fps: float, config: ProbeConfig
) -> Float[Tensor, "b 3 f2 h2 w2"]:
    """Clips as the probe wants them: each pixel the mean of those it covers, the nearest frame in time."""
    places = torch.from_numpy(frames_seen(frames.shape[1], fps, config))
    taken = frames[:, places].float().permute(0, 4, 1, 2, 3)
    return resized(taken, config.full_side).round() / 127.5 - 1


@torch.inference_mode()
def read(probe: Probe, frames: UInt8[Tensor, "b f h w 3"], fps: float) -> dict[str, Tensor]:
    """What the probe says of clips, a few at a time; see `KEPT`."""
    device = next(probe.parameters()).device
    parts = [probe(prepared(some, fps, probe.config).to(device)) for some in frames.split(READ_AT_ONCE)]
    return {name: torch.cat([getattr(part, name) for part in parts]).float().cpu() for name in KEPT}


def read_thirds(probe: Probe, frames: UInt8[Tensor, "b f h w 3"], fps: float) -> dict[str, Tensor]:
    """Kinds as they are read in the first and in the last third of clips, played slowly."""
    third = max(1, frames.shape[1] // 3)
    early, late = read(probe, frames[:, :third], fps / 3), read(probe, frames[:, -third:], fps / 3)
    return {"early_kinds": early["kinds"], "late_kinds": late["kinds"]}


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """Which of the probe's answers a dial of the world admits: True where they may be given."""

    kinds: Tensor
    colours: Tensor
    motions: Tensor
    settings: Tensor
    lights: Tensor
    moves: Tensor
    most: int

    @classmethod
    def at(cls, dial: int, config: ProbeConfig) -> Admitted:
        """The names of a dial; that there is no actor, or nothing in particular done, is always admitted."""
        kinds, settings = v.kinds_at(dial), v.admitted(v.SETTING_LEVELS, dial)
        lights = {*v.admitted(v.LIGHTS, dial), *(v.SETTINGS[name][0] for name in settings)}

        def among(names: tuple[str, ...], admitted: Any, *, extra: int = 0) -> Tensor:
            return torch.tensor([name in admitted for name in names] + [True] * extra)

        return cls(
            kinds=among(config.kinds, kinds, extra=1),
            colours=among(config.colours, v.admitted(v.COLOUR_LEVELS, dial)),
            motions=among(config.motions, v.admitted(v.MOTIONS, dial), extra=1),
            settings=among(config.settings, settings),
            lights=among(config.lights, lights),
            moves=among(config.moves, v.admitted(v.CAMERA_MOVES, dial)),
            most=v.MAX_ACTORS[dial],
        )


def best(logits: Tensor, is_admitted: Tensor) -> Tensor:
    """The likeliest of the admitted answers."""
    return logits.masked_fill(~is_admitted, -torch.inf).argmax(-1)


def presence(kinds: Float[Tensor, "b n kinds"], admitted: Admitted) -> Float[Tensor, "b n"]:
    """How likely there is an actor of each colour, whatever its kind."""
    return (1 - kinds.softmax(-1)[..., -1]) * admitted.colours


def heard(reading: dict[str, Tensor], dial: int, config: ProbeConfig) -> list[Heard]:
    """What was read in each clip, in names; an actor counts where it is likelier there than not."""
    admitted = Admitted.at(dial, config)
    there = presence(reading["kinds"], admitted)
    kinds = best(reading["kinds"][..., :-1], admitted.kinds[:-1])
    motions = best(reading["motions"], admitted.motions)
    directions = reading["directions"].argmax(-1)
    single = {name: best(reading[name], getattr(admitted, name)) for name in ("settings", "lights", "moves")}
    found = []
    for clip in range(len(there)):
        order = there[clip].argsort(descending=True)[: admitted.most].tolist()
        actors = tuple(
            Actor(
                kind=config.kinds[int(kinds[clip, row])],
                colour=config.colours[row],
                motion=(*config.motions, "")[int(motions[clip, row])],
                direction=(*config.directions, "")[int(directions[clip, row])],
            )
            for row in order
            if there[clip, row] > 0.5
        )
        found.append(
            Heard(
                actors=actors,
                setting=config.settings[int(single["settings"][clip])],
                light=config.lights[int(single["lights"][clip])],
                camera=config.moves[int(single["moves"][clip])],
                is_cut=bool(reading["is_cut"][clip] > 0),
            )
        )
    return found
