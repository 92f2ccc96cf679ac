"""A take in other clothes: the same play, and so the same simulation, in other colours and another place.

Simulating a scene takes ten times as long as drawing four frames of it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from khayal.world import vocabulary as v
from khayal.world.heldout import belongs
from khayal.world.horizons import ENCLOSED
from khayal.world.looks import finish
from khayal.world.perform import decorate
from khayal.world.render import Cast
from khayal.world.scene import Scene
from khayal.world.theatre import Take

MAX_ATTEMPTS = 100


def redressed(taken: Take, dice: np.random.Generator) -> Take:
    """The take in colours, a setting, a light and with things behind it that the scene's dial admits.

    Actors have different colours. A setting with walls stays one, since the cameras stand within them. Where
    chance finds nothing of the scene's split, as for a cast that fits one colour only, it stays as it is.
    """
    performance = taken.performance
    for _ in range(MAX_ATTEMPTS):
        scene = _drawn(performance.scene, dice)
        if belongs(scene, scene.split):
            break
    else:
        return taken
    cast = performance.cast
    own = [number for number, piece in enumerate(cast.pieces) if piece.owner >= 0]
    pieces = [
        replace(piece, finish=finish(scene.actors[piece.owner], piece.paint))
        for piece in cast.pieces
        if piece.owner >= 0
    ]
    decor, centres, axes = decorate(scene)
    dressed = Cast(
        pieces=(*pieces, *decor),
        centres=_beside(cast.centres[:, own], centres),
        axes=_beside(cast.axes[:, own], axes),
    )
    return replace(taken, performance=replace(performance, scene=scene, cast=dressed))


def _drawn(scene: Scene, dice: np.random.Generator) -> Scene:
    colours = dice.permutation(v.admitted(v.COLOUR_LEVELS, scene.dial))[: len(scene.actors)]
    settings = [
        setting
        for setting in v.admitted(v.SETTING_LEVELS, scene.dial)
        if (setting in ENCLOSED) == (scene.setting in ENCLOSED)
    ]
    setting = str(dice.choice(settings))
    lights = [light for light in v.SETTINGS[setting] if v.LIGHTS[light] <= scene.dial]
    return replace(
        scene,
        actors=tuple(
            replace(actor, colour=str(colour)) for actor, colour in zip(scene.actors, colours, strict=True)
        ),
        setting=setting,
        light=str(dice.choice(lights or v.SETTINGS[setting][:1])),
        sun=float(dice.uniform(-0.5, 0.5)),
        decor=int(dice.integers(1 << 30)),
    )


def _beside(moving: np.ndarray, standing: np.ndarray) -> np.ndarray:
    still = np.broadcast_to(standing, (len(moving), *standing.shape))
    return np.concatenate((moving, still), axis=1)
