"""What can be said about a stretch of a clip: read from its truth, as seen by the camera. Needs no MuJoCo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from khayal.world.truth import ActionTruth, ShotTruth, Truth
from khayal.world.vocabulary import HAS_SPEED, TRAVELLING

MAX_DEEDS = 3
MAX_RELATIONS = 2


@dataclass(frozen=True, kw_only=True)
class Who:
    """An actor as a caption may call it; no two in a scene share a colour."""

    kind: str
    colour: str
    size: str
    material: str


@dataclass(frozen=True, kw_only=True)
class Deed:
    """What an actor (by its place in `Facts.actors`) does; "" and None where nothing is to be said."""

    actor: int
    motion: str
    direction: str = ""
    speed: str = ""
    target: int | None = None
    event: str = ""


@dataclass(frozen=True, kw_only=True)
class Relation:
    """Where one actor stands from another, on the screen."""

    name: str
    actor: int
    other: int


@dataclass(frozen=True, kw_only=True)
class View:
    """How one shot shows it; `subject` only where it matters (a close-up, a follow)."""

    framing: str
    move: str
    subject: int | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that a caption of frames [start, end) may state."""

    setting: str
    light: str
    actors: tuple[Who, ...]
    deeds: tuple[Deed, ...]
    relations: tuple[Relation, ...]
    views: tuple[View, ...]


def visible_frames(truth: Truth, actor: int, start: int, end: int) -> np.ndarray:
    """For each frame, whether at least 40% of an actor's box is in the frame."""
    box = np.array(truth.frames.actors[actor].box[start:end])
    wide = np.clip(np.minimum(box[:, 2], 1) - np.maximum(box[:, 0], 0), 0, None)
    high = np.clip(np.minimum(box[:, 3], 1) - np.maximum(box[:, 1], 0), 0, None)
    area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    return wide * high > 0.4 * np.maximum(area, 1e-9)


def facts_of(truth: Truth, start: int = 0, end: int | None = None) -> Facts:
    """The facts of frames [start, end) of a clip."""
    end = truth.num_frames if end is None else end
    seen: dict[int, int] = {}
    for actor in range(len(truth.actors)):
        share = visible_frames(truth, actor, start, end)
        if share.sum() >= max(2, 0.2 * (end - start)):
            seen[actor] = len(seen)
    deeds: list[Deed] = []
    for actor in seen:
        deeds += _deeds(truth, actor, start, end, seen)
    views = []
    for shot in truth.shots:
        if min(shot.end, end) - max(shot.start, start) >= min(3, end - start):
            views.append(_view(shot, seen))
    return Facts(
        setting=truth.setting,
        light=truth.light,
        actors=tuple(
            Who(kind=a.kind, colour=a.colour, size=a.size, material=a.material)
            for a in (truth.actors[k] for k in seen)
        ),
        deeds=tuple(deeds),
        relations=_relations(truth, start, end, seen),
        views=tuple(views),
    )


def _view(shot: ShotTruth, seen: dict[int, int]) -> View:
    matters = shot.framing == "close" or shot.move == "follow"
    return View(framing=shot.framing, move=shot.move, subject=seen.get(shot.subject) if matters else None)


def _overlap(action: ActionTruth, start: int, end: int) -> tuple[int, int]:
    return max(action.start, start), min(action.end, end)


def _deeds(truth: Truth, actor: int, start: int, end: int, seen: dict[int, int]) -> list[Deed]:
    found: list[Deed] = []
    visible = visible_frames(truth, actor, start, end)
    for action in truth.actions:
        first, last = _overlap(action, start, end)
        enough = min(4, 0.3 * (action.end - action.start), 0.3 * (end - start))
        if (
            action.actor != actor
            or last - first < max(1, enough)
            or not visible[first - start : last - start].any()
        ):
            continue
        deed = _deed(truth, action, (first, last), visible[first - start : last - start], seen)
        if not found or found[-1] != deed:
            found.append(deed)
    if found:
        return found[:MAX_DEEDS]
    place = np.array(truth.frames.actors[actor].position[start:end])
    if np.linalg.norm(place.max(axis=0) - place.min(axis=0)) < 0.15:
        return [Deed(actor=seen[actor], motion="stand")]
    return []


def _deed(
    truth: Truth, action: ActionTruth, span: tuple[int, int], visible: np.ndarray, seen: dict[int, int]
) -> Deed:
    event, target = "", action.target
    if action.event == "enter" and not visible[0] and visible[-1]:
        event = "enter"
    elif action.event == "leave" and visible[0] and not visible[-1]:
        event = "leave"
    elif action.event == "hide":
        whole = span == (action.start, action.end)
        event, target = ("hide", target) if whole and target in seen else ("", None)
    if target is not None and target not in seen:
        target = None
    if action.motion == "topple":
        target = None
    motion = action.motion
    if motion in ("hit", "push") and target is None:
        motion = {"hit": "roll" if truth.actors[action.actor].kind == "ball" else "slide", "push": "walk"}[
            motion
        ]
    return Deed(
        actor=seen[action.actor],
        motion=motion,
        direction=direction(truth, action, span) if motion in TRAVELLING else "",
        speed=action.speed if motion in HAS_SPEED and action.speed != "normal" else "",
        target=seen[target] if target is not None else None,
        event=event,
    )


def direction(truth: Truth, action: ActionTruth, span: tuple[int, int]) -> str:
    """Which way an actor goes on the screen of the shot that shows most of it, or "" where it stays."""
    if action.lift:
        return "up" if action.lift > 0 else "down"
    shot = max(truth.shots, key=lambda s: min(s.end, span[1]) - max(s.start, span[0]))
    first, last = max(span[0], shot.start), min(span[1], shot.end) - 1
    if last <= first:
        return ""
    place = np.array(truth.frames.actors[action.actor].position[first : last + 1])
    step = place[-1] - place[0]
    middle = (first + last) // 2
    forward = np.array(truth.frames.camera.forward[middle])
    side = np.array([forward[1], -forward[0]])
    side /= np.linalg.norm(side)
    ahead = np.array([-side[1], side[0]])
    across, along = float(step[:2] @ side), float(step[:2] @ ahead)
    if max(abs(across), abs(along)) < 0.12:
        return ""
    if abs(across) >= 0.8 * abs(along):
        return "right" if across > 0 else "left"
    return "away" if along > 0 else "toward"


def _relations(truth: Truth, start: int, end: int, seen: dict[int, int]) -> tuple[Relation, ...]:
    """What holds during at least 90% of the window; depth counts only where two are one behind the other."""
    found: list[Relation] = []
    from_above = np.zeros(end - start, dtype=bool)
    for shot in truth.shots:
        if shot.framing == "above":
            from_above[max(shot.start - start, 0) : max(shot.end - start, 0)] = True
    order = sorted(seen)
    for i, a in enumerate(order):
        for b in order[i + 1 :]:
            box_a, box_b = (np.array(truth.frames.actors[k].box[start:end]) for k in (a, b))
            depth_a, depth_b = (np.array(truth.frames.actors[k].depth[start:end]) for k in (a, b))
            across = (box_b[:, 0] + box_b[:, 2] - box_a[:, 0] - box_a[:, 2]) / 2
            both = visible_frames(truth, a, start, end) & visible_frames(truth, b, start, end)
            if both.mean() < 0.9:
                continue
            tests = {
                "left_of": across > 0.12,
                "right_of": across < -0.12,
                "in_front_of": (depth_b - depth_a > 0.5) & (np.abs(across) < 0.1) & ~from_above,
                "behind": (depth_a - depth_b > 0.5) & (np.abs(across) < 0.1) & ~from_above,
            }
            for name, holds in tests.items():
                if holds.mean() > 0.9:
                    found.append(Relation(name=name, actor=seen[a], other=seen[b]))
    return tuple(found[:MAX_RELATIONS])
