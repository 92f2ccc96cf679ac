"""Frames from geometry: one OpenGL context for a process, and a scene that is placed by hand.

MuJoCo's classic renderer draws an `MjvScene`; here the geoms of that scene are written directly, from arrays
that hold every part's place in every frame. So the wardrobe's textures are uploaded once, and a clip costs
its drawing and nothing else.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from khayal.errors import KhayalError, MissingExtraError
from khayal.world.assets import wardrobe
from khayal.world.horizons import ENCLOSED
from khayal.world.looks import Finish, light_direction, lighting

MAX_GEOMS = 200
GROUND_REPEAT = {"street": 8.0, "courtyard": 2.4, "room": 1.6, "stage": 1.8, "playground": 2.4}
WALL_RADIUS, WALL_HEIGHT, SKY_RADIUS = 11.5, 6.5, 45.0


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part as it is drawn: which shape, how large, how painted, and whose it is (−1: nobody's)."""

    shape: str
    size: tuple[float, float, float]
    paint: str
    finish: Finish
    owner: int


@dataclass(frozen=True, kw_only=True)
class Cast:
    """Every moving or standing piece of a scene, placed in every frame (world axes, metres)."""

    pieces: tuple[Piece, ...]
    centres: Float[np.ndarray, "f p 3"]
    axes: Float[np.ndarray, "f p 3 3"]


@dataclass(frozen=True, kw_only=True)
class Views:
    """The camera in every frame: where it is, where it looks (unit vector), its vertical field of view."""

    eye: Float[np.ndarray, "f 3"]
    forward: Float[np.ndarray, "f 3"]
    up: Float[np.ndarray, "f 3"]
    fov: Float[np.ndarray, "f"]


def choose_backend() -> None:
    """Render without a window. Must run before `mujoco` is imported for the first time.

    Where there is no EGL, MuJoCo is told to do without OpenGL, so that it can still simulate.
    """
    if "MUJOCO_GL" in os.environ or sys.platform != "linux":
        return
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError:
        os.environ["MUJOCO_GL"] = "disable"
    else:
        os.environ["MUJOCO_GL"] = "egl"
        os.environ.setdefault("PYOPENGL_PLATFORM", "egl")


def import_mujoco() -> Any:
    """The `mujoco` module.

    Raises:
        MissingExtraError: it is not installed.
    """
    choose_backend()
    try:
        import mujoco
    except ModuleNotFoundError as error:
        raise MissingExtraError("The world cannot be simulated", extra="world") from error
    return mujoco


def _rotations(quats: np.ndarray) -> np.ndarray:
    w, x, y, z = quats.T
    return np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], axis=-1),
            np.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], axis=-1),
            np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], axis=-1),
        ],
        axis=-2,
    )


class Renderer:
    """Draws scenes at one size. There is one for each process (see `renderer`).

    Raises:
        KhayalError: no OpenGL driver, with the command that installs one.
    """

    def __init__(self) -> None:
        mujoco = import_mujoco()
        self.mujoco = mujoco
        self.model = wardrobe()
        # Frames go to two worker processes, not to two threads of one software driver.
        os.environ.setdefault("LP_NUM_THREADS", "0")
        try:
            self.gl = mujoco.GLContext(1024, 1024)
            self.gl.make_current()
            self.context = mujoco.MjrContext(self.model, mujoco.mjtFontScale.mjFONTSCALE_100)
        except (RuntimeError, ImportError, AttributeError, mujoco.FatalError) as error:
            raise KhayalError(
                "The world cannot be rendered",
                why="there is no OpenGL driver",
                fix="run: make system (Debian: apt-get install libegl1 libgl1-mesa-dri)",
            ) from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self.context)
        self.scene = mujoco.MjvScene(self.model, MAX_GEOMS)
        self.geoms = [self.scene.geoms[i] for i in range(MAX_GEOMS)]
        rotations = _rotations(self.model.mesh_quat)
        self.meshes = {
            self.model.mesh(i).name: (i, self.model.mesh_pos[i], rotations[i])
            for i in range(self.model.nmesh)
        }
        self.materials = {self.model.mat(i).name: i for i in range(self.model.nmat)}

    @property
    def name(self) -> str:
        """What draws, as OpenGL calls itself."""
        from OpenGL import GL  # type: ignore[import-untyped]

        return str(GL.glGetString(GL.GL_RENDERER).decode())

    def _place(
        self, index: int, shape: str, size: tuple[float, float, float], finish: Finish, owner: int
    ) -> None:
        """Fill in what does not change during a scene."""
        mujoco, geom = self.mujoco, self.geoms[index]
        is_mesh = shape in self.meshes
        kind = mujoco.mjtGeom.mjGEOM_MESH if is_mesh else getattr(mujoco.mjtGeom, f"mjGEOM_{shape.upper()}")
        rgba = np.array([*finish.rgb, 1.0], dtype=np.float32)
        mujoco.mjv_initGeom(geom, kind, np.array(size, dtype=float), np.zeros(3), np.eye(3).ravel(), rgba)
        # mjv_initGeom reads a cylinder's half length from the second number; all three are meant as they are.
        geom.size = (1.0, 1.0, 1.0) if is_mesh else size
        geom.emission, geom.specular, geom.shininess = finish.emission, finish.specular, finish.shininess
        geom.dataid = 2 * self.meshes[shape][0] if is_mesh else -1
        if finish.material:
            material = self.materials[finish.material]
            geom.matid = material
            geom.texcoord = int(shape in ("dome", "drum"))
        geom.category = mujoco.mjtCatBit.mjCAT_DYNAMIC
        geom.segid = owner + 1
        geom.objid, geom.objtype = owner + 1, 5

    def _surroundings(self, setting: str, light: str) -> int:
        """The ground and what stands around; returns how many geoms they take."""
        paint = Finish(rgb=(1.0, 1.0, 1.0), material=f"ground/{setting}", specular=0.0)
        reach = WALL_RADIUS * 1.05 if setting in ENCLOSED else SKY_RADIUS
        self._place(0, "plane", (reach, reach, 1.0), paint, -1)
        # Nearly black paint that glows: it shows its picture and takes no light.
        around = Finish(
            rgb=(0.01, 0.01, 0.01), material=f"horizon/{setting}/{light}", emission=100.0, specular=0.0
        )
        self._place(1, "drum" if setting in ENCLOSED else "dome", (1.0, 1.0, 1.0), around, -1)
        repeat = 2 * reach / GROUND_REPEAT.get(setting, 4.0)
        self.geoms[0].texrepeat = [repeat, repeat]
        self.geoms[0].category = self.geoms[1].category = self.mujoco.mjtCatBit.mjCAT_DECOR
        return 2

    def _light(self, setting: str, light: str, sun: float) -> None:
        lit = lighting(setting, light)
        direction = light_direction(lit, sun)
        self.scene.nlight = 2
        key, fill = self.scene.lights[0], self.scene.lights[1]
        for lamp, colour, casts in ((key, lit.key, True), (fill, lit.fill, False)):
            lamp.type = self.mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
            lamp.headlight, lamp.castshadow = 0, int(casts)
            lamp.diffuse, lamp.attenuation = list(colour), [1.0, 0.0, 0.0]
            lamp.specular = [0.5, 0.5, 0.5] if casts else [0.0, 0.0, 0.0]
            lamp.cutoff, lamp.exponent, lamp.bulbradius = 45.0, 0.0, 0.02
        # A light that casts shadows takes its ambient part away from them, so the other one carries it.
        key.ambient, fill.ambient = [0.0, 0.0, 0.0], list(lit.ambient)
        key.dir, fill.dir = list(direction), [-direction[0] * 0.7 + 0.2, 0.6, -0.5]
        self._direction = np.array(direction)

    def _look(self, views: Views, frame: int, aspect: float, origin: np.ndarray) -> None:
        near, far = 0.08, 120.0
        top = near * float(np.tan(views.fov[frame] / 2))
        for camera in (self.scene.camera[0], self.scene.camera[1]):
            camera.pos, camera.forward = views.eye[frame], views.forward[frame]
            camera.up = views.up[frame]
            camera.frustum_center, camera.frustum_width = 0.0, top * aspect
            camera.frustum_bottom, camera.frustum_top = -top, top
            camera.frustum_near, camera.frustum_far = near, far
        self.scene.lights[0].pos = origin - 6.0 * self._direction
        self.scene.lights[1].pos = origin + np.array([0.0, -6.0, 6.0])

    def _move_surroundings(self, setting: str, origin: np.ndarray) -> None:
        """Horizons are far away: they go where the action goes. The ground keeps its texture in place."""
        _index, centre, turn = self.meshes["drum" if setting in ENCLOSED else "dome"]
        scale = np.diag((WALL_RADIUS, WALL_RADIUS, WALL_HEIGHT) if setting in ENCLOSED else (SKY_RADIUS,) * 3)
        step = GROUND_REPEAT.get(setting, 4.0)
        shift = np.array([np.round(origin[0] / step) * step, np.round(origin[1] / step) * step, 0.0])
        if setting in ENCLOSED:
            origin = shift = np.zeros(3)
        self.geoms[0].pos = shift
        self.geoms[1].mat = scale @ turn
        self.geoms[1].pos = np.array([origin[0], origin[1], 0.0]) + scale @ centre

    def _transforms(self, cast: Cast) -> tuple[np.ndarray, np.ndarray]:
        """Centres and matrices for the driver: meshes scaled and moved back to where they were made."""
        centres, axes = cast.centres.copy(), cast.axes.copy()
        for p, piece in enumerate(cast.pieces):
            if piece.shape in self.meshes:
                _, middle, turn = self.meshes[piece.shape]
                scaled = axes[:, p] * np.array(piece.size)
                centres[:, p] += scaled @ middle
                axes[:, p] = scaled @ turn
        return centres.astype(np.float32), axes.astype(np.float32)

    def _set_scene(self, cast: Cast, setting: str, light: str, sun: float) -> int:
        first = self._surroundings(setting, light)
        for p, piece in enumerate(cast.pieces):
            self._place(first + p, piece.shape, piece.size, piece.finish, piece.owner)
        self.scene.ngeom = first + len(cast.pieces)
        self._light(setting, light, sun)
        return first

    def draw(
        self,
        cast: Cast,
        views: Views,
        size: tuple[int, int],
        *,
        setting: str,
        light: str,
        sun: float = 0.0,
        frames: range | None = None,
    ) -> UInt8[np.ndarray, "f h w 3"]:
        """Frames in colour, of `size` (width, height)."""
        return self._film(cast, views, size, (setting, light, sun), frames, is_segmented=False)

    def segment(
        self, cast: Cast, views: Views, size: tuple[int, int], *, setting: str, frames: range | None = None
    ) -> Int[np.ndarray, "f h w"]:
        """For every pixel the number of the actor that is seen there, or −1."""
        coded = self._film(cast, views, size, (setting, _any_light(setting), 0.0), frames, is_segmented=True)
        # MuJoCo codes a segid k as k + 1, and ours is the owner + 1.
        return np.maximum(coded[..., 0].astype(np.int64) - 2, -1)

    def _film(
        self,
        cast: Cast,
        views: Views,
        size: tuple[int, int],
        look: tuple[str, str, float],
        frames: range | None,
        *,
        is_segmented: bool,
    ) -> UInt8[np.ndarray, "f h w 3"]:
        mujoco, scene = self.mujoco, self.scene
        self.gl.make_current()
        width, height = size
        if (self.context.offWidth, self.context.offHeight) != size:
            mujoco.mjr_resizeOffscreen(width, height, self.context)  # all of it is resolved in every frame
        first = self._set_scene(cast, *look)
        flags = scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = not is_segmented
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = is_segmented
        flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = flags[mujoco.mjtRndFlag.mjRND_HAZE] = False
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = flags[mujoco.mjtRndFlag.mjRND_FOG] = False
        rect = mujoco.MjrRect(0, 0, width, height)
        centres, axes = self._transforms(cast)
        moving = list(zip(self.geoms[first : first + len(cast.pieces)], range(len(cast.pieces)), strict=True))
        chosen = range(len(centres)) if frames is None else frames
        film = np.empty((len(chosen), height, width, 3), dtype=np.uint8)
        for n, frame in enumerate(chosen):
            for geom, p in moving:
                geom.pos, geom.mat = centres[frame, p], axes[frame, p]
            origin = _centre_of_attention(views, frame)
            self._move_surroundings(look[0], origin)
            self._look(views, frame, width / height, origin)
            mujoco.mjr_render(rect, scene, self.context)
            mujoco.mjr_readPixels(film[n], None, rect, self.context)
        return film[:, ::-1]


def _centre_of_attention(views: Views, frame: int) -> np.ndarray:
    """The point on the ground, or in the middle distance, that the camera looks at."""
    eye, forward = views.eye[frame], views.forward[frame]
    reach = min(eye[2] / max(-forward[2], 0.12), 7.0)
    point = eye + reach * forward
    return np.array([point[0], point[1], 0.0])


def _any_light(setting: str) -> str:
    from khayal.world.vocabulary import SETTINGS

    return SETTINGS[setting][0]


@lru_cache(maxsize=1)
def renderer() -> Renderer:
    """The renderer of this process."""
    return Renderer()
