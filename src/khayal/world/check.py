"""Broken scenes are found before they are drawn; each reason has a name, so that they can be counted."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from khayal.world.camera import is_inside
from khayal.world.perform import Performance
from khayal.world.render import Views

Boxes = Float[np.ndarray, "f a 5"]

MIN_HEIGHT = {"front": 0.19, "wide": 0.14, "close": 0.3, "side": 0.16, "above": 0.10}


def fault(performance: Performance, views: Views, boxes: Boxes) -> str:
    """Why a scene cannot be shown, or "" where it can."""
    if not _is_finite(performance):
        return "unstable"
    if not is_inside(performance, views):
        return "camera outside the walls"
    return (
        _fault_of_framing(performance, boxes)
        or _fault_of_events(performance, boxes)
        or _fault_of_meeting(performance)
        or _fault_of_overlap(performance, boxes)
    )


def _is_finite(performance: Performance) -> bool:
    for figure in performance.figures:
        if not (np.isfinite(figure.place).all() and np.isfinite(figure.velocity).all()):
            return False
        if (
            np.abs(figure.velocity).max() > 15
            or figure.place[:, 2].min() < -0.2
            or figure.place[:, 2].max() > 6
        ):
            return False
    return bool(np.isfinite(performance.cast.centres).all())


def may_be_outside(performance: Performance, number: int) -> Bool[np.ndarray, "f"]:
    """For each frame, whether an actor may be out of it: before it has entered, after it started to leave."""
    scene = performance.scene
    frames = np.arange(scene.num_frames)
    allowed = np.zeros(scene.num_frames, dtype=bool)
    for action in scene.actions_of(number):
        if action.event == "enter":
            allowed |= frames < action.end * scene.fps
        elif action.event == "leave":
            allowed |= frames >= action.start * scene.fps
    return allowed


def _fault_of_framing(performance: Performance, boxes: Boxes) -> str:
    scene = performance.scene
    for shot in scene.shots:
        setup = scene.setups[shot.setup]
        watched = (
            [setup.subject] if setup.framing == "close" or shot.move == "follow" else range(len(scene.actors))
        )
        for number in watched:
            must = ~may_be_outside(performance, number)[shot.start : shot.end]
            box = boxes[shot.start : shot.end, number][must]
            if not len(box):
                continue
            if box[:, :2].min() < -0.02 or box[:, 2:4].max() > 1.02:
                return "out of frame"
            # A tower is judged while it stands.
            share = 0.9 if scene.actors[number].kind == "tower" else 0.5
            height = np.quantile(box[:, 3] - box[:, 1], share)
            if number == watched[0] and height < MIN_HEIGHT[setup.framing]:
                return "main actor too small"
    return ""


def _fault_of_events(performance: Performance, boxes: Boxes) -> str:
    scene = performance.scene
    last = scene.num_frames - 1
    for action in scene.actions:
        first, final = min(round(action.start * scene.fps), last), min(round(action.end * scene.fps), last)
        if action.event in ("enter", "leave"):
            outside = boxes[0 if action.event == "enter" else final, action.actor]
            inside = boxes[final if action.event == "enter" else first, action.actor]
            if not (outside[0] >= 1.0 or outside[2] <= 0.0):
                return "does not leave the frame"
            if inside[0] < -0.02 or inside[2] > 1.02:
                return "out of frame"
        if action.event == "hide" and action.target is not None:
            share = covered(boxes[first : final + 1], action.actor, action.target)
            if share.max() < 0.9 or share[0] > 0.3 or share[-1] > 0.3:
                return "does not hide"
    return ""


def covered(boxes: Boxes, number: int, cover: int) -> Float[np.ndarray, "f"]:
    """The share of an actor's box on the screen that a nearer actor's box lies over."""
    own, other = boxes[:, number], boxes[:, cover]
    wide = np.clip(np.minimum(own[:, 2], other[:, 2]) - np.maximum(own[:, 0], other[:, 0]), 0, None)
    high = np.clip(np.minimum(own[:, 3], other[:, 3]) - np.maximum(own[:, 1], other[:, 1]), 0, None)
    area = (own[:, 2] - own[:, 0]) * (own[:, 3] - own[:, 1])
    return np.where(other[:, 4] < own[:, 4], wide * high / np.maximum(area, 1e-9), 0.0)


def _fault_of_meeting(performance: Performance) -> str:
    """Those who should meet do; those who should not do not."""
    scene = performance.scene
    touched = {pair for pairs in performance.contacts for pair in pairs}
    meant = {tuple(sorted((a.actor, a.target))) for a in scene.actions if a.target is not None}
    for action in scene.actions:
        moved = np.linalg.norm(
            performance.figures[action.actor].place[-1] - performance.figures[action.actor].place[0]
        )
        if (
            action.motion in ("hit", "push")
            and tuple(sorted((action.actor, action.target or 0))) not in touched
        ):
            return "never meets its target"
        if action.motion == "push" and action.target is not None:
            path = performance.figures[action.target].place
            if np.linalg.norm(path[-1] - path[0]) < 0.4:
                return "pushes nothing"
        if action.motion == "topple" and moved < 0.3:
            return "does not fall"
        if action.motion in ("roll", "slide") and moved < 0.3 and scene.seconds < 6:
            return "does not move"
    if any(pair[0] >= 0 and pair not in meant for pair in touched):
        return "collides with a stranger"
    for a in range(len(scene.actors)):
        for b in range(a + 1, len(scene.actors)):
            if (a, b) not in meant and _too_near(performance, a, b):
                return "walks through somebody"
    return ""


def _too_near(performance: Performance, a: int, b: int) -> bool:
    low_a, high_a = (f(performance.figures[a].corners, axis=1) for f in (np.min, np.max))
    low_b, high_b = (f(performance.figures[b].corners, axis=1) for f in (np.min, np.max))
    depth = np.minimum(high_a, high_b) - np.maximum(low_a, low_b)
    return bool((depth > 0.04).all(axis=1).any())


def _fault_of_overlap(performance: Performance, boxes: Boxes) -> str:
    """Nobody stands behind somebody else for long, unless hiding is the play."""
    scene = performance.scene
    if any(a.event == "hide" for a in scene.actions):
        return ""
    for number in range(len(scene.actors)):
        worst = np.zeros(scene.num_frames)
        for cover in range(len(scene.actors)):
            if cover != number:
                worst = np.maximum(worst, covered(boxes, number, cover))
        for shot in scene.shots:
            if (
                scene.setups[shot.setup].framing != "close"
                and (worst[shot.start : shot.end] > 0.6).mean() > 0.25
            ):
                return "hidden"
    return ""
