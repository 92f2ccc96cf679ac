"""What a probe should say of a clip, from the world's truth, or from its caption. Needs no MuJoCo."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from khayal.model.probe import ProbeConfig, ProbeLabels
from khayal.world.captions import Claim
from khayal.world.facts import facts_of, visible_frames
from khayal.world.truth import Truth
from khayal.world.vocabulary import CAMERA_MOVES, COLOURS, DIRECTIONS, KINDS, LIGHTS, MOTIONS, SETTINGS

PROBE = ProbeConfig(
    kinds=tuple(KINDS),
    colours=tuple(COLOURS),
    motions=tuple(MOTIONS),
    directions=DIRECTIONS,
    settings=tuple(SETTINGS),
    lights=tuple(LIGHTS),
    moves=tuple(CAMERA_MOVES),
)
NOT_ASKED = -1


def labels_of(truth: Truth, config: ProbeConfig = PROBE) -> ProbeLabels:
    """One clip's labels, without a batch axis of its own: of a batch of one.

    Where an actor does several things, the first one counts. A clip of several shots has no camera move.
    """
    told = facts_of(truth)
    num, steps = len(config.colours), config.num_steps
    kinds = torch.full((1, num), len(config.kinds))
    motions = torch.full((1, num), NOT_ASKED)
    directions = torch.full((1, num), NOT_ASKED)
    for place, who in enumerate(told.actors):
        row = config.colours.index(who.colour)
        deed = next((deed for deed in told.deeds if deed.actor == place), None)
        kinds[0, row] = config.kinds.index(who.kind)
        motions[0, row] = config.motions.index(deed.motion) if deed else len(config.motions)
        going = deed.direction if deed else ""
        directions[0, row] = config.directions.index(going) if going else len(config.directions)
    is_seen = torch.zeros(1, num, steps, dtype=torch.bool)
    boxes = torch.zeros(1, num, steps, 4)
    by_step = frames_seen(truth.num_frames, truth.fps, config).reshape(steps, -1)
    for number, actor in enumerate(truth.actors):
        row = config.colours.index(actor.colour)
        seen = visible_frames(truth, number, 0, truth.num_frames)
        box = centred(np.array(truth.frames.actors[number].box))
        is_seen[0, row] = torch.from_numpy(seen[by_step].all(axis=1))
        boxes[0, row] = torch.from_numpy(box[by_step].mean(axis=1)).float()
    is_one_shot = len(truth.shots) == 1
    return ProbeLabels(
        kinds=kinds,
        motions=motions,
        directions=directions,
        is_seen=is_seen,
        boxes=boxes,
        settings=torch.tensor([config.settings.index(truth.setting)]),
        lights=torch.tensor([config.lights.index(truth.light)]),
        moves=torch.tensor([config.moves.index(truth.shots[0].move) if is_one_shot else NOT_ASKED]),
        is_cut=torch.tensor([not is_one_shot]),
    )


def labels_said(stated: Iterable[Claim], config: ProbeConfig = PROBE) -> ProbeLabels:
    """The labels of a caption: what it claims, and of nothing else; as a batch of one, without places."""
    said = sorted(stated, key=str)
    num, steps = len(config.colours), config.num_steps
    kinds = torch.full((1, num), len(config.kinds))
    motions, directions = torch.full((1, num), NOT_ASKED), torch.full((1, num), NOT_ASKED)
    for claim in said:
        if claim[0] not in ("actor", "deed"):
            continue
        colour, _, kind = claim[1].partition(" ")
        row = config.colours.index(colour)
        kinds[0, row] = config.kinds.index(kind)
        if claim[0] == "deed" and claim[2] == 0:
            motions[0, row] = config.motions.index(claim[3])
            if claim[4]:
                directions[0, row] = config.directions.index(claim[4])

    def single(name: str, names: tuple[str, ...]) -> Tensor:
        told = [claim[1] for claim in said if claim[0] == name]
        return torch.tensor([names.index(told[0]) if told else NOT_ASKED])

    moves = [claim[3] for claim in said if claim[0] == "view"]
    is_one = len(moves) == 1 and moves[0]
    return ProbeLabels(
        kinds=kinds,
        motions=motions,
        directions=directions,
        is_seen=torch.zeros(1, num, steps, dtype=torch.bool),
        boxes=torch.zeros(1, num, steps, 4),
        settings=single("setting", config.settings),
        lights=single("light", config.lights),
        moves=torch.tensor([config.moves.index(moves[0]) if is_one else NOT_ASKED]),
        is_cut=torch.tensor([len(moves) > 1]),
    )


def frames_seen(num_frames: int, fps: float, config: ProbeConfig) -> Int[np.ndarray, "f"]:
    """The frames of a clip that the probe looks at; a clip that is too short stands still at its end."""
    times = (np.arange(config.num_frames) + 0.5) / config.fps
    return np.minimum((times * fps).astype(np.int64), num_frames - 1)


def centred(boxes: Float[np.ndarray, "f 4"]) -> Float[np.ndarray, "f 4"]:
    """Left, top, right, bottom → centre, width and height of what is inside the frame."""
    inside = np.clip(boxes, 0, 1)
    low, high = inside[:, :2], inside[:, 2:]
    return np.concatenate(((low + high) / 2, high - low), axis=1)
