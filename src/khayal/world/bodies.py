"""How every kind of actor is built (see `rigs` for axes and units)."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin

from khayal.world.rigs import Rig


def ball() -> Rig:
    rig = Rig()
    rig.add("sphere", 0.45, (0, 0, 0), "body")
    return rig


def cube() -> Rig:
    rig = Rig()
    rig.add("box", 0.425, (0, 0, 0), "body")
    return rig


def cylinder() -> Rig:
    rig = Rig()
    rig.add("cylinder", (0.375, 0.375, 0.475), (0, 0, 0), "body")
    return rig


def cone() -> Rig:
    rig = Rig()
    rig.add("cone", (0.475, 0.475, 0.55), (0, 0, 0), "body")
    return rig


def ring() -> Rig:
    rig = Rig()
    rig.add("torus", (0.525, 0.525, 0.525), (0, 0, 0), "body", roll=pi / 2)
    return rig


def block() -> Rig:
    """One of the three cubes of a tower."""
    rig = Rig()
    rig.add("box", 0.3, (0, 0, 0), "body")
    return rig


def _face(rig: Rig, on: int, x: float, z: float, spread: float, radius: float) -> None:
    for side in (-1, 1):
        rig.add("sphere", radius, (x, side * spread, z), "eye", on=on)


def _biped_legs(rig: Rig, body: int, *, hip: float, spread: float, radius: float, paint: str) -> None:
    for side, channel in ((1, "leg_l"), (-1, "leg_r")):
        leg = rig.bone((0, side * spread, hip), "y", channel, parent=body)
        rig.limb((0, 0, 0), (0, 0, 0.14 - hip), radius, paint, on=leg)
        rig.add("ellipsoid", (0.17, 0.1, 0.08), (0.06, 0, 0.08 - hip), "shoe", on=leg)


def _arms(
    rig: Rig, body: int, *, shoulder: float, spread: float, radius: float, paints: tuple[str, str]
) -> None:
    for side, channel in ((1, "arm_l"), (-1, "arm_r")):
        lift = rig.bone((0, side * spread, shoulder), "x", f"lift_{channel[-1]}", parent=body, gain=side)
        arm = rig.bone((0, 0, 0), "y", channel, parent=lift)
        rig.limb((0, 0, 0), (0, side * 0.07, -0.38), radius, paints[0], on=arm)
        rig.add("sphere", radius * 1.25, (0, side * 0.085, -0.46), paints[1], on=arm)


def man() -> Rig:
    rig = Rig()
    body = rig.bone((0, 0, 0), "up", "bob")
    trunk = rig.bone((0, 0, 0.66), "y", "lean", parent=body)
    _biped_legs(rig, body, hip=0.68, spread=0.13, radius=0.115, paint="trousers")
    rig.add("ellipsoid", (0.2, 0.29, 0.36), (0, 0, 0.28), "main", on=trunk)
    _arms(rig, trunk, shoulder=0.5, spread=0.29, radius=0.09, paints=("main", "skin"))
    head = rig.bone((0, 0, 0.82), "y", "nod", parent=trunk)
    rig.add("sphere", 0.25, (0, 0, 0), "skin", on=head)
    rig.add("ellipsoid", (0.26, 0.27, 0.17), (-0.04, 0, 0.13), "hair", on=head)
    rig.add("sphere", 0.045, (0.25, 0, -0.03), "skin", on=head)
    _face(rig, head, 0.225, 0.02, 0.095, 0.038)
    return rig


def woman() -> Rig:
    rig = Rig()
    body = rig.bone((0, 0, 0), "up", "bob")
    trunk = rig.bone((0, 0, 0.6), "y", "lean", parent=body)
    _biped_legs(rig, body, hip=0.6, spread=0.12, radius=0.08, paint="skin")
    rig.add("cone", (0.37, 0.37, 0.46), (0, 0, 0.12), "main", on=trunk)
    rig.add("ellipsoid", (0.16, 0.22, 0.22), (0, 0, 0.36), "main", on=trunk)
    _arms(rig, trunk, shoulder=0.48, spread=0.24, radius=0.07, paints=("skin", "skin"))
    head = rig.bone((0, 0, 0.8), "y", "nod", parent=trunk)
    rig.add("sphere", 0.235, (0, 0, 0), "skin", on=head)
    rig.add("ellipsoid", (0.25, 0.27, 0.2), (-0.05, 0, 0.1), "hair", on=head)
    rig.add("ellipsoid", (0.13, 0.27, 0.36), (-0.18, 0, -0.16), "hair", on=head)
    _face(rig, head, 0.21, 0.01, 0.09, 0.036)
    return rig


def robot() -> Rig:
    rig = Rig()
    body = rig.bone((0, 0, 0), "up", "bob")
    for side, channel in ((1, "leg_l"), (-1, "leg_r")):
        leg = rig.bone((0, side * 0.17, 0.5), "y", channel, parent=body)
        rig.add("box", (0.09, 0.09, 0.2), (0, 0, -0.22), "metal", on=leg)
        rig.add("box", (0.18, 0.12, 0.06), (0.04, 0, -0.44), "dark", on=leg)
    rig.add("box", (0.24, 0.34, 0.3), (0, 0, 0.76), "main", on=body)
    rig.add("box", (0.02, 0.2, 0.12), (0.24, 0, 0.78), "screen", on=body)
    for side, channel in ((1, "arm_l"), (-1, "arm_r")):
        lift = rig.bone((0, side * 0.42, 0.96), "x", f"lift_{channel[-1]}", parent=body, gain=side)
        arm = rig.bone((0, 0, 0), "y", channel, parent=lift)
        rig.add("box", (0.08, 0.07, 0.22), (0, 0, -0.18), "metal", on=arm)
        rig.add("sphere", 0.1, (0, 0, -0.45), "dark", on=arm)
    head = rig.bone((0, 0, 1.08), "z", "nod", parent=body)
    rig.add("box", (0.2, 0.25, 0.17), (0, 0, 0.17), "metal", on=head)
    for side in (-1, 1):
        rig.add("sphere", 0.07, (0.19, side * 0.11, 0.2), "lamp", on=head)
    rig.limb((0, 0, 0.34), (0, 0, 0.44), 0.025, "metal", on=head)
    rig.add("sphere", 0.06, (0, 0, 0.46), "main", on=head)
    return rig


def _quadruped_legs(
    rig: Rig, body: int, *, x: float, y: float, hip: float, radius: float, paint: str
) -> None:
    for front, side, channel in ((1, 1, "leg_fl"), (1, -1, "leg_fr"), (-1, 1, "leg_bl"), (-1, -1, "leg_br")):
        leg = rig.bone((front * x, side * y, hip), "y", channel, parent=body)
        rig.limb((0, 0, 0), (0, 0, radius - hip), radius, paint, on=leg)


def dog() -> Rig:
    rig = Rig()
    lift = rig.bone((0, 0, 0), "up", "bob")
    body = rig.bone((0, 0, 0), "y", "lean", parent=lift)
    _quadruped_legs(rig, body, x=0.33, y=0.14, hip=0.44, radius=0.085, paint="main")
    rig.limb((-0.36, 0, 0.53), (0.32, 0, 0.55), 0.2, "main", on=body)
    neck = rig.bone((0.42, 0, 0.72), "y", "nod", parent=body)
    rig.add("sphere", 0.22, (0.08, 0, 0.12), "main", on=neck)
    rig.limb((0.2, 0, 0.06), (0.36, 0, 0.05), 0.105, "light", on=neck)
    rig.add("sphere", 0.055, (0.46, 0, 0.09), "eye", on=neck)
    _face(rig, neck, 0.25, 0.2, 0.11, 0.035)
    for side in (-1, 1):
        rig.add("ellipsoid", (0.07, 0.045, 0.18), (0.02, side * 0.23, 0.1), "dark", on=neck)
    tail = rig.bone((-0.5, 0, 0.62), "x", "tail", parent=body)
    rig.limb((0, 0, 0), (-0.2, 0, 0.28), 0.05, "main", on=tail)
    return rig


def cat() -> Rig:
    rig = Rig()
    lift = rig.bone((0, 0, 0), "up", "bob")
    body = rig.bone((0, 0, 0), "y", "lean", parent=lift)
    _quadruped_legs(rig, body, x=0.24, y=0.11, hip=0.34, radius=0.06, paint="main")
    rig.limb((-0.28, 0, 0.42), (0.24, 0, 0.42), 0.155, "main", on=body)
    neck = rig.bone((0.36, 0, 0.58), "y", "nod", parent=body)
    rig.add("ellipsoid", (0.19, 0.22, 0.19), (0.04, 0, 0.1), "main", on=neck)
    rig.add("ellipsoid", (0.07, 0.11, 0.07), (0.2, 0, 0.03), "light", on=neck)
    rig.add("sphere", 0.03, (0.265, 0, 0.06), "nose", on=neck)
    _face(rig, neck, 0.19, 0.13, 0.085, 0.045)
    for side in (-1, 1):
        rig.add("cone", (0.08, 0.08, 0.12), (0.02, side * 0.13, 0.31), "main", on=neck)
    tail = rig.bone((-0.4, 0, 0.48), "x", "tail", parent=body)
    rig.limb((0, 0, 0), (-0.16, 0, 0.16), 0.05, "main", on=tail)
    rig.limb((-0.16, 0, 0.16), (-0.12, 0, 0.46), 0.05, "main", on=tail)
    return rig


def rabbit() -> Rig:
    rig = Rig()
    lift = rig.bone((0, 0, 0), "up", "bob")
    body = rig.bone((0, 0, 0), "y", "lean", parent=lift)
    rig.add("ellipsoid", (0.32, 0.25, 0.28), (-0.08, 0, 0.32), "main", on=body)
    rig.add("sphere", 0.1, (-0.4, 0, 0.3), "white", on=body)
    for side in (-1, 1):
        rig.add("ellipsoid", (0.2, 0.08, 0.07), (0.0, side * 0.18, 0.07), "main", on=body)
        rig.add("ellipsoid", (0.07, 0.06, 0.13), (0.2, side * 0.1, 0.13), "main", on=body)
    neck = rig.bone((0.2, 0, 0.56), "y", "nod", parent=body)
    rig.add("ellipsoid", (0.2, 0.19, 0.19), (0.04, 0, 0.06), "main", on=neck)
    rig.add("sphere", 0.035, (0.24, 0, 0.05), "nose", on=neck)
    _face(rig, neck, 0.17, 0.1, 0.12, 0.04)
    for side in (-1, 1):
        rig.add("ellipsoid", (0.05, 0.075, 0.25), (-0.05, side * 0.09, 0.42), "main", on=neck, pitch=-0.2)
        rig.add("ellipsoid", (0.02, 0.045, 0.18), (-0.005, side * 0.09, 0.42), "nose", on=neck, pitch=-0.2)
    return rig


def bird() -> Rig:
    rig = Rig()
    lift = rig.bone((0, 0, 0.38), "up", "bob")
    body = rig.bone((0, 0, 0), "x", "bank", parent=lift)
    rig.add("ellipsoid", (0.34, 0.2, 0.21), (0, 0, 0), "main", on=body, pitch=-0.12)
    rig.add("ellipsoid", (0.2, 0.15, 0.14), (0.1, 0, -0.08), "light", on=body)
    rig.add("sphere", 0.19, (0.33, 0, 0.17), "main", on=body)
    rig.add("cone", (0.075, 0.075, 0.13), (0.58, 0, 0.14), "beak", on=body, pitch=pi / 2)
    _face(rig, body, 0.45, 0.24, 0.1, 0.04)
    rig.add("box", (0.18, 0.13, 0.025), (-0.42, 0, 0.08), "dark", on=body, pitch=0.35)
    for side, channel in ((1, "wing_l"), (-1, "wing_r")):
        wing = rig.bone((0.02, side * 0.15, 0.08), "x", channel, parent=body, gain=side)
        rig.add("ellipsoid", (0.2, 0.32, 0.03), (0, side * 0.28, 0), "dark", on=wing)
        tip = rig.bone((0, side * 0.5, 0), "x", channel, parent=wing, gain=0.6 * side)
        rig.add("ellipsoid", (0.14, 0.22, 0.025), (-0.04, side * 0.12, 0), "main", on=tip)
    for side in (-1, 1):
        rig.limb((0.02, side * 0.08, -0.18), (0.02, side * 0.08, -0.36), 0.022, "beak", on=body)
    return rig


def _wheels(rig: Rig, body: int, *, x: float, y: float, radius: float) -> None:
    for front in (-1, 1):
        for side in (-1, 1):
            wheel = rig.bone((front * x, side * y, radius), "y", "wheel", parent=body)
            rig.add("cylinder", (radius, radius, 0.09), (0, 0, 0), "tyre", on=wheel, roll=pi / 2)
            rig.add("box", (radius * 0.62, 0.1, radius * 0.2), (0, 0, 0), "metal", on=wheel)


def car() -> Rig:
    rig = Rig()
    body = rig.bone((0, 0, 0), "up", "bob")
    rig.add("box", (0.93, 0.42, 0.19), (0, 0, 0.4), "main", on=body)
    rig.add("ellipsoid", (0.95, 0.44, 0.22), (0, 0, 0.42), "main", on=body)
    rig.add("box", (0.44, 0.36, 0.17), (-0.1, 0, 0.74), "glass", on=body)
    rig.add("box", (0.46, 0.38, 0.05), (-0.1, 0, 0.9), "main", on=body)
    for side in (-1, 1):
        rig.add("box", (0.04, 0.02, 0.17), (-0.12, side * 0.37, 0.74), "main", on=body)
        rig.add("sphere", 0.085, (0.92, side * 0.28, 0.44), "lamp", on=body)
        rig.add("box", (0.02, 0.09, 0.05), (-0.94, side * 0.28, 0.45), "tail_lamp", on=body)
    _wheels(rig, body, x=0.56, y=0.42, radius=0.24)
    return rig


def bus() -> Rig:
    rig = Rig()
    body = rig.bone((0, 0, 0), "up", "bob")
    rig.add("box", (1.14, 0.45, 0.48), (0, 0, 0.72), "main", on=body)
    rig.add("box", (1.1, 0.46, 0.03), (0, 0, 0.5), "white", on=body)
    for k in range(4):
        rig.add("box", (0.2, 0.465, 0.17), (-0.78 + 0.5 * k, 0, 0.88), "glass", on=body)
    rig.add("box", (0.03, 0.38, 0.22), (1.14, 0, 0.86), "glass", on=body)
    for side in (-1, 1):
        rig.add("sphere", 0.08, (1.13, side * 0.3, 0.46), "lamp", on=body)
    _wheels(rig, body, x=0.7, y=0.42, radius=0.22)
    return rig


def plane() -> Rig:
    rig = Rig()
    lift = rig.bone((0, 0, 0.32), "up", "bob")
    body = rig.bone((0, 0, 0), "x", "bank", parent=lift)
    rig.add("ellipsoid", (0.9, 0.19, 0.2), (0, 0, 0), "main", on=body)
    rig.add("ellipsoid", (0.22, 0.93, 0.035), (0.12, 0, -0.03), "light", on=body)
    rig.add("ellipsoid", (0.13, 0.36, 0.03), (-0.76, 0, 0.06), "light", on=body)
    rig.add("ellipsoid", (0.15, 0.035, 0.22), (-0.76, 0, 0.22), "main", on=body)
    rig.add("ellipsoid", (0.2, 0.13, 0.13), (0.36, 0, 0.14), "glass", on=body)
    prop = rig.bone((0.9, 0, 0), "x", "propeller", parent=body)
    rig.add("box", (0.015, 0.3, 0.035), (0.02, 0, 0), "dark", on=prop)
    rig.add("sphere", 0.07, (0.02, 0, 0), "metal", on=prop)
    return rig


def balloon() -> Rig:
    rig = Rig()
    lift = rig.bone((0, 0, 0), "up", "bob")
    body = rig.bone((0, 0, 0.3), "y", "sway", parent=lift)
    rig.add("ellipsoid", (0.39, 0.39, 0.46), (0, 0, 0.74), "main", on=body)
    rig.add("cone", (0.07, 0.07, 0.06), (0, 0, 0.26), "main", on=body)
    rig.add("sphere", 0.09, (0.2, -0.2, 0.95), "light", on=body)
    rig.limb((0, 0, 0.22), (0, 0, -0.28), 0.016, "white", on=body)
    return rig


def snowman() -> Rig:
    rig = Rig()
    lift = rig.bone((0, 0, 0), "up", "bob")
    body = rig.bone((0, 0, 0), "y", "lean", parent=lift)
    rig.add("sphere", 0.42, (0, 0, 0.38), "snow", on=body)
    rig.add("sphere", 0.3, (0, 0, 0.88), "snow", on=body)
    rig.add("sphere", 0.21, (0, 0, 1.24), "snow", on=body)
    rig.add("torus", (0.27, 0.27, 0.42), (0, 0, 1.08), "main", on=body)
    rig.limb((0.2, 0.12, 1.06), (0.3, 0.14, 0.82), 0.06, "main", on=body)
    rig.add("cylinder", (0.25, 0.25, 0.03), (0, 0, 1.38), "main", on=body)
    rig.add("cylinder", (0.16, 0.16, 0.12), (0, 0, 1.5), "main", on=body)
    rig.add("cone", (0.05, 0.05, 0.13), (0.31, 0, 1.24), "carrot", on=body, pitch=pi / 2)
    _face(rig, body, 0.185, 1.3, 0.08, 0.033)
    for z in (0.8, 0.94):
        rig.add("sphere", 0.035, (0.29, 0, z), "eye", on=body)
    for side, channel in ((1, "arm_l"), (-1, "arm_r")):
        stick = rig.bone((0, side * 0.26, 0.96), "x", f"lift_{channel[-1]}", parent=body, gain=side)
        rig.limb((0, 0, 0), (0.02, side * 0.34, 0.1), 0.03, "bark", on=stick)
        rig.limb((0.02, side * 0.28, 0.08), (0.02, side * 0.34, 0.24), 0.022, "bark", on=stick)
    return rig


def tree() -> Rig:
    rig = Rig()
    low = rig.bone((0, 0, 0), "y", "sway", gain=0.5)
    rig.limb((0, 0, 0.1), (0, 0, 0.8), 0.14, "bark", on=low)
    top = rig.bone((0, 0, 0.75), "y", "sway", parent=low)
    rig.add("ellipsoid", (0.5, 0.5, 0.48), (0, 0, 0.62), "leaves", on=top)
    for k in range(4):
        turn = pi / 4 + k * pi / 2
        rig.add("sphere", 0.34, (0.32 * cos(turn), 0.32 * sin(turn), 0.42), "leaves", on=top)
    rig.add("sphere", 0.3, (0.0, -0.1, 0.98), "leaves", on=top)
    return rig


BODIES: dict[str, Callable[[], Rig]] = {
    build.__name__: build
    for build in (
        ball,
        cube,
        cylinder,
        cone,
        ring,
        man,
        woman,
        robot,
        dog,
        cat,
        rabbit,
        bird,
        car,
        bus,
        plane,
        balloon,
        snowman,
        tree,
    )
}
BODIES["tower"] = block
