"""The truth of a take. Numbers are rounded once, here, so that it is the same wherever it is made."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int

from khayal.world.heldout import heldout_actors
from khayal.world.theatre import Take
from khayal.world.truth import (
    SCHEMA,
    ActionTruth,
    ActorTruth,
    BounceTruth,
    CameraTrack,
    Frames,
    ShotTruth,
    Track,
    Truth,
)

DIGITS = 5


def _list(values: np.ndarray) -> Any:
    # Adding zero turns −0.0 into 0.0.
    return (np.round(np.asarray(values, dtype=float), DIGITS) + 0.0).tolist()


def count_pixels(segmented: Int[np.ndarray, "f h w"], num_actors: int) -> list[list[int]]:
    """For each actor, how many pixels of each frame show it."""
    return [(segmented == actor).sum(axis=(1, 2)).tolist() for actor in range(num_actors)]


def record(take: Take, segmented: Int[np.ndarray, "f h w"] | None = None) -> Truth:
    """Write down a take, with the pixels of each actor where a segmentation is given."""
    performance, views = take.performance, take.views
    scene = performance.scene
    pixels = count_pixels(segmented, len(scene.actors)) if segmented is not None else None
    flags = heldout_actors(scene)
    actors = [
        ActorTruth(
            id=f"a{k}",
            kind=actor.kind,
            colour=actor.colour,
            size=actor.size,
            material=actor.material,
            extent=tuple(round(side, DIGITS) for side in actor.extent),
            mass=round(performance.mass[k], DIGITS) if k in performance.mass else None,
            restitution=scene.restitution[k] if actor.is_object else None,
            is_hung=actor.is_hung,
            is_heldout=flags[k],
        )
        for k, actor in enumerate(scene.actors)
    ]
    tracks = [
        Track(
            position=_list(figure.place),
            velocity=_list(figure.velocity),
            yaw=_list(figure.yaw),
            box=_list(take.boxes[:, k, :4]),
            depth=_list(take.boxes[:, k, 4]),
            pixels=pixels[k] if pixels is not None else None,
        )
        for k, figure in enumerate(performance.figures)
    ]
    camera = CameraTrack(
        eye=_list(views.eye), forward=_list(views.forward), up=_list(views.up), fov=_list(views.fov)
    )
    contacts = [[list(pair) for pair in pairs] for pairs in performance.contacts]
    return Truth(
        schema=SCHEMA,
        seed=scene.seed,
        index=scene.index,
        dial=scene.dial,
        split=scene.split,
        size=tuple(scene.size),
        fps=scene.fps,
        num_frames=scene.num_frames,
        setting=scene.setting,
        light=scene.light,
        sun=round(scene.sun, DIGITS),
        play=scene.play,
        actors=actors,
        actions=_actions(take),
        shots=_shots(take),
        bounces=[
            BounceTruth(frame=f, actor=a, restitution=round(e, DIGITS)) for f, a, e in performance.bounces
        ],
        rejected=dict(sorted(take.rejected.items())),
        pixels_size=(segmented.shape[2], segmented.shape[1]) if segmented is not None else None,
        frames=Frames(actors=tracks, camera=camera, contacts=contacts),
    )


def _actions(take: Take) -> list[ActionTruth]:
    scene = take.performance.scene
    last = scene.num_frames
    return [
        ActionTruth(
            actor=a.actor,
            motion=a.motion,
            start=min(round(a.start * scene.fps), last - 1),
            end=min(max(round(a.end * scene.fps), round(a.start * scene.fps) + 1), last),
            heading=round(a.heading, DIGITS),
            distance=round(float(a.distance), DIGITS),
            turns=round(float(a.turns), DIGITS),
            speed=a.speed,
            target=a.target,
            event=a.event,
            lift=a.lift,
        )
        for a in scene.actions
    ]


def _shots(take: Take) -> list[ShotTruth]:
    scene = take.performance.scene
    return [
        ShotTruth(
            start=shot.start,
            end=shot.end,
            setup=shot.setup,
            framing=scene.setups[shot.setup].framing,
            move=shot.move,
            subject=scene.setups[shot.setup].subject,
        )
        for shot in scene.shots
    ]
