"""Cameras: fitted to what happens, so that nothing leaves the frame unless the scene says so."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from khayal.world.horizons import ENCLOSED
from khayal.world.perform import Performance, gallows_corners
from khayal.world.render import WALL_RADIUS, Views
from khayal.world.scene import Setup, Shot

Points = Float[np.ndarray, "f k 3"]

ZOOM = 1.5
MIN_DISTANCE, MAX_DISTANCE = 1.4, 14.0


def project(views: Views, points: Points, aspect: float) -> tuple[Points, Float[np.ndarray, "f k"]]:
    """Points on the screen, x and y from −1 (left, below) to 1, with the depth in front of the camera."""
    side = np.cross(views.forward, views.up)
    offset = points - views.eye[:, None]
    depth = np.einsum("fkj,fj->fk", offset, views.forward)
    half = np.tan(views.fov / 2)[:, None]
    safe = np.maximum(depth, 1e-3)
    x = np.einsum("fkj,fj->fk", offset, side) / (safe * half * aspect)
    y = np.einsum("fkj,fj->fk", offset, views.up) / (safe * half)
    return np.stack([x, y, depth], axis=-1), depth


def _place(
    target: Float[np.ndarray, "f 3"],
    azimuth: Float[np.ndarray, "f"],
    elevation: Float[np.ndarray, "f"],
    distance: Float[np.ndarray, "f"],
    pan: Float[np.ndarray, "f"],
    fov: float,
) -> Views:
    """Cameras on a sphere around their targets, turned aside by `pan` (positive looks to the right)."""
    flat = np.stack([np.sin(azimuth), -np.cos(azimuth), np.zeros_like(azimuth)], axis=1)
    eye = target + distance[:, None] * (
        flat * np.cos(elevation)[:, None] + np.sin(elevation)[:, None] * np.array([0, 0, 1.0])
    )
    eye[:, 2] = np.maximum(eye[:, 2], 0.3)
    ahead = azimuth + pan * -1.0
    forward = np.stack(
        [-np.sin(ahead) * np.cos(elevation), np.cos(ahead) * np.cos(elevation), -np.sin(elevation)], axis=1
    )
    side = np.stack([np.cos(ahead), np.sin(ahead), np.zeros_like(ahead)], axis=1)
    return Views(eye=eye, forward=forward, up=np.cross(side, forward), fov=np.full(len(eye), fov))


def _smooth(path: Float[np.ndarray, "f 3"], reach: int = 4) -> Float[np.ndarray, "f 3"]:
    padded = np.concatenate([np.repeat(path[:1], reach, 0), path, np.repeat(path[-1:], reach, 0)])
    window = np.ones(2 * reach + 1) / (2 * reach + 1)
    return np.stack([np.convolve(padded[:, k], window, mode="valid") for k in range(3)], axis=1)


def _watched(performance: Performance, setup: Setup, shot: Shot) -> Points:
    """The corners that must stay in the frame: all actors, or the subject of a close-up.

    Where an actor is on its way in or out, its corners are replaced by where it stands on stage.
    """
    scene = performance.scene
    chosen = (
        [setup.subject] if setup.framing == "close" or shot.move == "follow" else range(len(scene.actors))
    )
    corners = []
    for number in chosen:
        own = performance.figures[number].corners.copy()
        for action in scene.actions_of(number):
            first, last = (
                round(action.start * scene.fps),
                min(round(action.end * scene.fps), scene.num_frames - 1),
            )
            if action.event == "enter":
                own[: last + 1] = own[last]
            elif action.event == "leave":
                own[first:] = own[first]
        if scene.actors[number].is_hung:
            own = np.concatenate([own, np.broadcast_to(gallows_corners(scene, number), (len(own), 4, 3))], 1)
        corners.append(own[shot.start : shot.end])
    return np.concatenate(corners, axis=1)


def _trajectory(setup: Setup, shot: Shot, num: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Azimuth, elevation, relative distance and pan over a shot."""
    u = np.linspace(0.0, 1.0, num)
    u = u * u * (3 - 2 * u) * 0.5 + u * 0.5
    azimuth, elevation = np.full(num, setup.azimuth), np.full(num, setup.elevation)
    reach, pan = np.ones(num), np.zeros(num)
    if shot.move in ("orbit_left", "orbit_right"):
        azimuth += (u - 0.5) * shot.amount * (1 if shot.move == "orbit_right" else -1)
    elif shot.move in ("crane_up", "crane_down"):
        rise = u if shot.move == "crane_up" else 1 - u
        elevation += (rise - 0.25) * shot.amount
    elif shot.move in ("zoom_in", "zoom_out"):
        reach = 1 + (ZOOM - 1) * (1 - u if shot.move == "zoom_in" else u)
    elif shot.move in ("pan_left", "pan_right"):
        pan = (u - 0.5) * shot.amount * (1 if shot.move == "pan_right" else -1)
    return azimuth, np.maximum(elevation, 0.03), reach, pan


def film_shot(performance: Performance, setup: Setup, shot: Shot) -> Views:
    """Fit one shot: the nearest distance from which everything watched stays inside the margin."""
    scene = performance.scene
    aspect = scene.size[0] / scene.size[1]
    watched = _watched(performance, setup, shot)
    num = len(watched)
    azimuth, elevation, reach, pan = _trajectory(setup, shot, num)
    centres = (watched.min(axis=1) + watched.max(axis=1)) / 2
    if shot.move == "follow":
        target = _smooth(centres)
    else:
        low, high = watched.min(axis=(0, 1)), watched.max(axis=(0, 1))
        target = np.tile((low + high) / 2, (num, 1))
    nearest, farthest = MIN_DISTANCE, MAX_DISTANCE
    for _ in range(12):
        distance = (nearest + farthest) / 2
        views = _place(target, azimuth, elevation, distance * reach, pan, setup.fov)
        screen, depth = project(views, watched, aspect)
        fits = bool((np.abs(screen[..., :2]) <= setup.margin).all() and (depth > 0.3).all())
        nearest, farthest = (nearest, distance) if fits else (distance, farthest)
    return _place(target, azimuth, elevation, farthest * reach, pan, setup.fov)


def film(performance: Performance) -> Views:
    """The camera in every frame of a scene."""
    scene = performance.scene
    parts = [film_shot(performance, scene.setups[shot.setup], shot) for shot in scene.shots]
    return Views(
        eye=np.concatenate([p.eye for p in parts]),
        forward=np.concatenate([p.forward for p in parts]),
        up=np.concatenate([p.up for p in parts]),
        fov=np.concatenate([p.fov for p in parts]),
    )


def is_inside(performance: Performance, views: Views) -> bool:
    """True where every camera stands within the walls of an enclosed setting."""
    if performance.scene.setting not in ENCLOSED:
        return True
    return bool(
        (np.hypot(views.eye[:, 0], views.eye[:, 1]) < WALL_RADIUS - 0.3).all()
        and (views.eye[:, 2] < 6.3).all()
    )


def screen_boxes(performance: Performance, views: Views) -> Float[np.ndarray, "f a 5"]:
    """For each frame and actor: left, top, right, bottom in 0…1 of the frame (unclipped); nearest depth."""
    aspect = performance.scene.size[0] / performance.scene.size[1]
    rows = []
    for figure in performance.figures:
        screen, depth = project(views, figure.corners, aspect)
        x, y = screen[..., 0] / 2 + 0.5, 0.5 - screen[..., 1] / 2
        is_ahead = depth.min(axis=1) > 0.05
        box = np.stack([x.min(1), y.min(1), x.max(1), y.max(1), depth.min(1)], axis=1)
        box[~is_ahead, :4] = -1.0
        rows.append(box)
    return np.stack(rows, axis=1)
