"""One compiled MuJoCo model that holds every shape, texture and paint: the wardrobe of the renderer.

Nothing moves in it. It is built once for a process; a scene then places geoms by hand, so that no model is
compiled and no texture uploaded while clips are rendered.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from khayal.world import horizons, textures
from khayal.world.vocabulary import COLOURS, SETTINGS

Points = Float[np.ndarray, "n 3"]
Triangles = Int[np.ndarray, "m 3"]

GROUND_SIDE = 384
DOME_SQUEEZE = 0.55  # elevation/90° = v^(1/squeeze): most rows of a horizon show the low sky


def _grid_faces(rows: int, columns: int) -> Triangles:
    quads = []
    for r in range(rows - 1):
        for c in range(columns - 1):
            a, b = r * columns + c, r * columns + c + 1
            d, e = a + columns, b + columns
            quads += [(a, b, e), (a, e, d)]
    return np.array(quads)


def torus(tube: float, segments: int = 28, sides: int = 12) -> tuple[Points, Triangles]:
    """Unit outer radius around z; `tube` is the radius of the tube."""
    around = np.linspace(0, 2 * np.pi, segments + 1)
    across = np.linspace(0, 2 * np.pi, sides + 1)
    u, v = np.meshgrid(around, across, indexing="ij")
    radius = 1 - tube + tube * np.cos(v)
    points = np.stack([radius * np.cos(u), radius * np.sin(u), tube * np.sin(v)], axis=-1).reshape(-1, 3)
    return points, _grid_faces(segments + 1, sides + 1)[:, ::-1]


def cone(segments: int = 28) -> tuple[Points, Triangles]:
    """Unit half extents, apex at +z, closed below. Points are doubled at the rim to keep its edge sharp."""
    turn = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    rim = np.stack([np.cos(turn), np.sin(turn), -np.ones(segments)], axis=1)
    apexes = np.tile([[0.0, 0.0, 1.0]], (segments, 1))
    points = np.concatenate([rim, apexes, rim, [[0.0, 0.0, -1.0]]])
    faces = []
    for k in range(segments):
        after = (k + 1) % segments
        faces += [(k, after, segments + k), (2 * segments + after, 2 * segments + k, 3 * segments)]
    return points, np.array(faces)


def dome(rows: int = 20, columns: int = 49) -> tuple[Points, Triangles, Float[np.ndarray, "n 2"]]:
    """A unit sky seen from inside, with the picture repeated three times around."""
    v = np.linspace(0, 1, rows)
    level = (v - horizons.BELOW) / (1 - horizons.BELOW)
    elevation = np.sign(level) * np.abs(level) ** (1 / DOME_SQUEEZE) * np.pi / 2
    return _inside(np.cos(elevation), np.sin(elevation), v, columns)


def drum(columns: int = 49) -> tuple[Points, Triangles, Float[np.ndarray, "n 2"]]:
    """A unit wall seen from inside: radius 1, from z 0 to 1."""
    v = np.array([0.0, 0.5, 1.0])
    return _inside(np.ones(3), v, v, columns)


def _inside(
    radius: Float[np.ndarray, "r"], height: Float[np.ndarray, "r"], v: Float[np.ndarray, "r"], columns: int
) -> tuple[Points, Triangles, Float[np.ndarray, "n 2"]]:
    turn = np.linspace(0, 2 * np.pi, columns)
    rows = len(radius)
    points = np.stack(
        [
            radius[:, None] * np.sin(turn)[None, :],
            radius[:, None] * np.cos(turn)[None, :],
            np.broadcast_to(height[:, None], (rows, columns)),
        ],
        axis=-1,
    ).reshape(-1, 3)
    uv = np.stack(np.meshgrid(v, np.linspace(0, 3, columns), indexing="ij")[::-1], axis=-1).reshape(-1, 2)
    return points, _grid_faces(rows, columns), uv


def _add_mesh(spec: Any, name: str, points: Points, faces: Triangles, uv: np.ndarray | None = None) -> None:
    mesh = spec.add_mesh(name=name)
    mesh.uservert = points.ravel().tolist()
    mesh.userface = faces.ravel().tolist()
    mesh.inertia = 3  # mjMESH_INERTIA_SHELL: open surfaces have no volume
    if uv is not None:
        mesh.usertexcoord = uv.ravel().tolist()


def _add_flat(spec: Any, name: str, image: textures.Image) -> None:
    pixels = textures.to_bytes(image[::-1])  # MuJoCo's v runs upwards
    texture = spec.add_texture(name=name, type=0, width=pixels.shape[1], height=pixels.shape[0], nchannel=3)
    texture.data = pixels.tobytes()
    _add_material(spec, name, name)


def _add_cube(spec: Any, name: str, faces: list[textures.Image]) -> None:
    pixels = np.concatenate([textures.to_bytes(face) for face in faces])
    texture = spec.add_texture(name=name, type=1, width=pixels.shape[1], height=pixels.shape[0], nchannel=3)
    texture.data = pixels.tobytes()
    _add_material(spec, name, name)


def _add_material(spec: Any, name: str, texture: str) -> None:
    material = spec.add_material(name=name)
    names = list(material.textures)
    names[1] = texture  # mjTEXROLE_RGB
    material.textures = names


def second_colour(colour: str) -> tuple[float, float, float]:
    """The colour of stripes and spots: white, or dark on pale paint."""
    return (0.12, 0.12, 0.14) if colour in ("white", "yellow", "pink", "turquoise") else (0.95, 0.95, 0.93)


@lru_cache(maxsize=1)
def wardrobe() -> Any:
    """The compiled `mujoco.MjModel`."""
    import mujoco

    spec = mujoco.MjSpec()
    spec.visual.quality.shadowsize = 512
    spec.visual.quality.offsamples = 4
    spec.visual.quality.numslices = 20
    spec.visual.quality.numstacks = 12
    spec.visual.quality.numquads = 1
    spec.visual.map.znear = 0.01
    spec.visual.map.shadowclip = 1.0
    spec.visual.global_.offwidth = spec.visual.global_.offheight = 1024
    spec.stat.extent = 4.0
    spec.stat.center = [0.0, 0.0, 0.0]
    meshes: dict[str, tuple[np.ndarray, ...]] = {
        "torus": torus(0.25),
        "cone": cone(),
        "dome": dome(),
        "drum": drum(),
    }
    for name, mesh in meshes.items():
        _add_mesh(spec, name, mesh[0], mesh[1], mesh[2] if len(mesh) > 2 else None)
        spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, contype=0, conaffinity=0)
    rng = np.random.default_rng(1)
    for setting, lights in SETTINGS.items():
        _add_flat(spec, f"ground/{setting}", textures.GROUNDS[setting](rng, GROUND_SIDE))
        for light in lights:
            around = horizons.PAINTERS[setting](np.random.default_rng(2), light)
            _add_flat(spec, f"horizon/{setting}/{light}", around)
    for name, paint in COLOURS.items():
        _add_cube(spec, f"striped/{name}", textures.stripes(paint, second_colour(name)))
        _add_cube(spec, f"spotted/{name}", textures.spots(paint, second_colour(name)))
    _add_cube(spec, "wooden", textures.grain(rng))
    return spec.compile()
