"""A truth written by hand: a red ball rolls to the right, a blue cube stands, for four seconds."""

import itertools

from khayal.world.truth import (
    SCHEMA,
    ActionTruth,
    ActorTruth,
    CameraTrack,
    Frames,
    ShotTruth,
    Track,
    Truth,
)

NUM_FRAMES = 48


def actor(kind: str, colour: str) -> ActorTruth:
    return ActorTruth(
        id="a",
        kind=kind,
        colour=colour,
        size="medium",
        material="plain",
        extent=(0.9, 0.9, 0.9),
        mass=1.0,
        restitution=0.5,
        is_hung=False,
        is_heldout=False,
    )


def track(speed: float, left: float, top: float) -> Track:
    """A box of a tenth of the frame; `speed` in metres, and in tenths of the frame, each second."""
    times = [frame / 12 for frame in range(NUM_FRAMES)]
    box = [[left + 0.1 * speed * t, top, left + 0.1 * speed * t + 0.1, top + 0.1] for t in times]
    still = [0.0] * NUM_FRAMES
    return Track(
        position=[[speed * t, 0.0, 0.45] for t in times],
        velocity=[[speed, 0.0, 0.0]] * NUM_FRAMES,
        yaw=still,
        box=box,
        depth=[5.0] * NUM_FRAMES,
        pixels=None,
    )


def truth(*, move: str = "pan_left", cut: int | None = None, left: float = 0.2) -> Truth:
    """`left` is where the cube stands; `cut` the frame at which a second shot begins."""
    edges = [0, NUM_FRAMES] if cut is None else [0, cut, NUM_FRAMES]
    rolls = ActionTruth(
        actor=0,
        motion="roll",
        start=0,
        end=NUM_FRAMES,
        heading=0.0,
        distance=8.0,
        turns=0.0,
        speed="normal",
        target=None,
        event="none",
        lift=0,
    )
    camera = CameraTrack(
        eye=[[0.0, -5.0, 1.0]] * NUM_FRAMES,
        forward=[[0.0, 1.0, 0.0]] * NUM_FRAMES,
        up=[[0.0, 0.0, 1.0]] * NUM_FRAMES,
        fov=[0.66] * NUM_FRAMES,
    )
    return Truth(
        schema=SCHEMA,
        seed=1,
        index=2,
        dial=2,
        split="train",
        size=(128, 128),
        fps=12,
        num_frames=NUM_FRAMES,
        setting="snow",
        light="sunset",
        sun=0.0,
        play="roll",
        actors=[actor("ball", "red"), actor("cube", "blue")],
        actions=[rolls],
        shots=[
            ShotTruth(start=a, end=b, setup=0, framing="front", move=move, subject=0)
            for a, b in itertools.pairwise(edges)
        ],
        bounces=[],
        rejected={},
        pixels_size=None,
        frames=Frames(
            actors=[track(2.0, 0.1, 0.5), track(0.0, left, 0.7)], camera=camera, contacts=[[]] * NUM_FRAMES
        ),
    )
