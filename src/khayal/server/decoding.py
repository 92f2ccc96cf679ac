"""Files from strangers, read in a process of their own that has little memory and little time.

python -m khayal.server.decoding GIVEN OUT LIMITS reads an image or a video by its content, whatever it is
called, writes it anew as OUT.png or OUT.mp4, and prints what it is as JSON. So no worker ever decodes a byte
that a stranger wrote.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from khayal.errors import InputError, KhayalError

_BEGINNINGS = (
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|BM|II\*\x00|MM\x00\*",  # png, jpeg, gif, bmp, tiff
    rb"RIFF....(?:WEBP|AVI )",
    rb"....(?:ftyp|moov|mdat|wide|free|skip|pnot)",  # mp4, mov, avif
    rb"\x1a\x45\xdf\xa3",  # webm, mkv
    rb"\x00\x00\x01[\xb3\xba]|OggS|FLV\x01|G.{187}G",  # mpeg, ogg, flv, ts
)
"""How files of pictures begin. Nothing else is opened: a playlist would name other files to be read."""

_IS_PICTURES = re.compile(b"|".join(_BEGINNINGS), re.DOTALL)

MAX_MEMORY = 4 << 30
MAX_CPU_SECONDS = 120
WALL_SECONDS = 180.0


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What may be given: pixels of a frame, seconds, frames."""

    max_pixels: int
    max_seconds: float
    max_frames: int


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a file turned out to be.

    Attributes:
        name: of the file that was written, beside nothing else.
        kind: "image" or "video".
        size: (width, height).
    """

    name: str
    kind: str
    size: tuple[int, int]
    num_frames: int
    fps: float

    @property
    def seconds(self) -> float:
        """Playing time; a still has none."""
        return 0.0 if self.kind == "image" else self.num_frames / self.fps


def decode(given: Path, out: Path, bounds: Bounds) -> Given:
    """Read a stranger's file in a process of its own.

    Args:
        given: the file.
        out: where to write it anew, without its suffix.
        bounds: what it may be.

    Raises:
        InputError: it is neither an image nor a video, broken, or larger than allowed.
    """
    _check_beginning(given)  # here too: a process takes more of a second than noise is worth
    command = [sys.executable, "-I", "-m", "khayal.server.decoding", str(given), str(out)]
    environment = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    try:
        ended = subprocess.run(
            [*command, json.dumps(asdict(bounds))],
            capture_output=True,
            timeout=WALL_SECONDS,
            env={**environment, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InputError("The file takes too long to read") from error
    try:
        said = json.loads(ended.stdout)
    except ValueError as error:
        raise InputError("The file cannot be read", why="reading it takes too much") from error
    if "error" in said:
        raise InputError(said["error"])
    return Given(**{**said, "size": tuple(said["size"])})


def main() -> None:
    """Run as the process that reads."""
    given, out, bounds = Path(sys.argv[1]), Path(sys.argv[2]), Bounds(**json.loads(sys.argv[3]))
    _bind()
    try:
        told: dict[str, Any] = asdict(_read(given, out, bounds))
    except KhayalError as error:
        told = {"error": str(error).replace(str(given), "the file").replace(given.name, "the file")}
    sys.stdout.write(json.dumps(told))


def _bind() -> None:
    """Bounds that the system keeps, whatever the decoder is made to do."""
    limits = {
        resource.RLIMIT_AS: MAX_MEMORY,
        resource.RLIMIT_CPU: MAX_CPU_SECONDS,
        resource.RLIMIT_FSIZE: 4 << 30,
        resource.RLIMIT_CORE: 0,
    }
    for kind, bound in limits.items():
        _, hard = resource.getrlimit(kind)
        most = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(kind, (most, most))


def _read(given: Path, out: Path, bounds: Bounds) -> Given:
    from PIL import Image

    _check_beginning(given)
    Image.MAX_IMAGE_PIXELS = bounds.max_pixels
    try:
        with Image.open(given) as image:
            is_moving = getattr(image, "n_frames", 1) > 1
            size = image.size
    except (Image.UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return _read_video(given, out, bounds)
    except Image.DecompressionBombError:
        is_moving, size = False, (bounds.max_pixels, 2)
    if is_moving:
        return _read_video(given, out, bounds)
    _check_size(size, bounds)
    return _read_image(given, out)


def _read_image(given: Path, out: Path) -> Given:
    from khayal.images import open_image, png_bytes

    pixels = open_image(given)
    path = out.with_suffix(".png")
    path.write_bytes(png_bytes(pixels))
    return Given(name=path.name, kind="image", size=pixels.shape[1::-1], num_frames=1, fps=1.0)


def _read_video(given: Path, out: Path, bounds: Bounds) -> Given:
    from khayal.clip import Clip

    clip = Clip.open(given)
    _check_size(clip.size, bounds)
    if clip.seconds > bounds.max_seconds or clip.num_frames > bounds.max_frames:
        raise InputError(
            f"The video has {clip.seconds:.1f} s and {clip.num_frames} frames",
            fix=f"keep it under {bounds.max_seconds:g} s and {bounds.max_frames} frames",
        )
    count = 0

    def counted(number: int) -> None:
        nonlocal count
        count = number

    path = clip.save(out.with_suffix(".mp4"), on_frame=counted)
    return Given(name=path.name, kind="video", size=clip.size, num_frames=count, fps=float(clip.fps))


def _check_beginning(given: Path) -> None:
    with given.open("rb") as file:
        if not _IS_PICTURES.match(file.read(256)):
            raise InputError("The file is neither an image nor a video of a known kind")


def _check_size(size: tuple[int, int], bounds: Bounds) -> None:
    if size[0] * size[1] > bounds.max_pixels:
        raise InputError(
            f"The picture has {size[0]}×{size[1]} pixels", fix=f"keep it under {bounds.max_pixels:,} in all"
        )


if __name__ == "__main__":
    main()
