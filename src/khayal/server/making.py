"""From a job to files: the studio makes a clip, and it is delivered in the shape that was asked for."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from khayal import images, provenance
from khayal.clip import Clip, as_rate
from khayal.server.folders import SPRITESHEET, THUMBNAIL, VIDEO
from khayal.server.requests import build, native_size
from khayal.tasks import Request, StoryboardRequest
from khayal.timeline import Timeline

if TYPE_CHECKING:
    from khayal.studio import OnPicture, OnStep, Studio

SHEET_COLUMNS, SHEET_COUNT, SHEET_WIDTH = 4, 16, 320
_THUMBNAIL_WIDTH = 640


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The shape of the file, which need not be one that the model can make. None is the model's own.

    Attributes:
        size: (width, height).
        seconds: length; exactly as many frames as that takes are delivered.
        num_frames: the length in frames instead.
        fps: frames per second.
    """

    size: tuple[int, int] | None = None
    seconds: float | None = None
    num_frames: int | None = None
    fps: float | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Delivery:
        """What `khayal.server` keeps with a job."""
        size = data.get("size")
        return cls(
            size=None if size is None else (int(size[0]), int(size[1])),
            seconds=data.get("seconds"),
            num_frames=data.get("num_frames"),
            fps=data.get("fps"),
        )

    def length(self, fps: Fraction) -> int | None:
        """Frames at a rate; None for as many as there are."""
        if self.num_frames is not None:
            return self.num_frames
        if self.seconds is None:
            return None
        return max(1, round(Fraction(self.seconds).limit_denominator(1000) * fps))


def make(
    studio: Studio,
    job_request: Mapping[str, Any],
    inputs: Path,
    out: Path,
    *,
    on_step: OnStep,
    on_picture: OnPicture | None = None,
    keep: Path | None = None,
    mark: str = "",
) -> dict[str, Any]:
    """Make a job's video, its thumbnail and its contact sheet in the folder `out`.

    Args:
        studio: an open checkpoint.
        job_request: `task`, `fields` of its request, `delivery`, and `parents`, files that it continues.
        inputs: the folder of the files that its fields name.
        out: where to; the folder is there.
        on_step: told of every step; what it raises stops the work.
        on_picture: shown what the video looks like so far.
        keep: a folder for the finished parts of a long video, which the next try takes up.
        mark: a short text for the corner of every frame.

    Returns:
        What is to be remembered with the video.

    Raises:
        KhayalError: for what cannot be made.
    """
    started = time.monotonic()
    delivery = Delivery.from_json(job_request.get("delivery", {}))
    request = build(job_request["task"], job_request["fields"], inputs)
    request = fit_request(request, delivery, studio)
    made = studio.run(request, on_step=on_step, on_picture=on_picture, keep=keep)
    clip = deliver(made, delivery, mark)
    chosen = _Chosen(clip)
    path = chosen.clip.save(out / VIDEO)
    _save_pictures(chosen.frames, out)
    details = {**made.details, "size": clip.size, "fps": float(clip.fps), "num_frames": chosen.num_frames}
    parents = [inputs / name for name in job_request.get("parents", ())]
    provenance.sign(path, details, parents=parents)
    for name in (THUMBNAIL, SPRITESHEET):
        provenance.sign(out / name, details)
    return {
        **{name: value for name, value in made.details.items() if name not in ("prompt", "negative")},
        "size": list(clip.size),
        "seconds": round(clip.seconds, 3),
        "fps": float(clip.fps),
        "num_frames": chosen.num_frames,
        "native": {"size": list(made.size), "num_frames": made.num_frames, "fps": float(made.fps)},
        "sha256": _digest(path),
        "took_seconds": round(time.monotonic() - started, 2),
    }


def fit_request(request: Request, delivery: Delivery, studio: Studio) -> Request:
    """The request in a shape that the model can make, none smaller than what is delivered needs."""
    defaults = studio.checkpoint.defaults
    changes: dict[str, Any] = {"fps": None}
    if delivery.size is not None:
        # What is given would lose its margins in another shape, and come back without them.
        trained = () if request.media else defaults.trained_sizes
        multiple = studio.checkpoint.size_multiple
        changes["size"] = native_size(delivery.size, defaults.size, multiple, trained)
    fps = studio.timeline.fps
    wanted = delivery.length(fps if delivery.fps is None else as_rate(delivery.fps))
    if wanted is None:
        return replace(request, **changes)
    wanted = max(1, math.ceil(wanted / (fps if delivery.fps is None else as_rate(delivery.fps)) * fps))
    if request.task in ("generate", "animate"):
        enough = _enough_frames(studio.timeline, wanted, with_still=request.task == "animate")
        changes |= {"num_frames": enough, "seconds": None}
    elif isinstance(request, StoryboardRequest) and len(request.shots) == 1:
        enough = _enough_frames(studio.timeline, wanted, with_still=request.shots[0].image is not None)
        seconds = float(studio.timeline.seconds(enough))
        changes |= {"shots": (replace(request.shots[0], seconds=seconds),), "seconds": None}
    elif request.seconds is not None:  # what is added comes in whole latent frames
        per = studio.timeline.frames_per_latent
        added = math.ceil(Fraction(request.seconds).limit_denominator(1000) * fps / per) * per
        changes |= {"seconds": float(studio.timeline.seconds(added))}
    return replace(request, **changes)


def deliver(made: Clip, delivery: Delivery, mark: str = "") -> Clip:
    """The clip at the rate, the length and the size that were asked for: scaled to cover, cropped."""
    clip = made if delivery.fps is None else made.at_fps(as_rate(delivery.fps))
    wanted = delivery.length(clip.fps)
    if wanted is not None:
        clip = _first(clip, min(wanted, clip.num_frames))
    size = delivery.size or clip.size
    stamp = _stamp(mark, size) if mark else None
    if size == clip.size and stamp is None:
        return clip

    def change(frame: np.ndarray) -> np.ndarray:
        fitted = images.fit_image(frame, size)[0]
        return fitted if stamp is None else stamp(fitted)

    return _each(clip, change, size)


def _enough_frames(timeline: Timeline, wanted: int, *, with_still: bool) -> int:
    """The fewest frames, at least `wanted`, that whole columns can show."""
    nearest = timeline.nearest_num_frames(wanted, with_still=with_still)
    if nearest >= wanted:
        return nearest
    return timeline.nearest_num_frames(nearest + timeline.frames_per_latent, with_still=with_still)


def _first(clip: Clip, num_frames: int) -> Clip:
    """The beginning of a clip; the rest is not decoded."""

    def source() -> Iterator[np.ndarray]:
        left = num_frames
        for frames in clip:
            yield frames[:left]
            left -= len(frames)
            if left <= 0:
                return

    return Clip(
        source, fps=clip.fps, size=clip.size, num_frames=num_frames, details=clip.details, sounds=clip.sounds
    )


def _each(clip: Clip, change: Callable[[np.ndarray], np.ndarray], size: tuple[int, int]) -> Clip:
    def source() -> Iterator[np.ndarray]:
        for frames in clip:
            yield np.stack([change(frame) for frame in frames])

    return Clip(
        source, fps=clip.fps, size=size, num_frames=clip.num_frames, details=clip.details, sounds=clip.sounds
    )


def _stamp(text: str, size: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """Writes a text into the lower right corner, white with a dark edge."""
    from PIL import Image, ImageDraw, ImageFont

    height = max(8, size[1] // 24)
    font = ImageFont.load_default(size=height)

    def stamp(frame: np.ndarray) -> np.ndarray:
        image = Image.fromarray(frame)
        place = size[0] - height // 2, size[1] - height // 2
        edge = max(1, height // 10)
        ImageDraw.Draw(image).text(
            place, text, font=font, anchor="rs", fill="white", stroke_width=edge, stroke_fill="black"
        )
        return np.array(image)

    return stamp


class _Chosen:
    """A clip that keeps a few of the frames that pass by: a second pass would decode all of them again.

    Attributes:
        clip: the same clip, watched.
        frames: what was kept, shrunk, after the pass.
        num_frames: how many passed.
    """

    def __init__(self, clip: Clip) -> None:
        count = min(SHEET_COUNT, clip.num_frames)
        self._wanted = {round(index * (clip.num_frames - 1) / max(1, count - 1)) for index in range(count)}
        self._source = clip
        self.frames: list[np.ndarray] = []
        self.num_frames = 0
        self.clip = Clip(
            self._watched,
            fps=clip.fps,
            size=clip.size,
            num_frames=clip.num_frames,
            details=clip.details,
            sounds=clip.sounds,
        )

    def _watched(self) -> Iterator[np.ndarray]:
        self.frames, self.num_frames = [], 0
        for frames in self._source:
            for index, frame in enumerate(frames, start=self.num_frames):
                if index in self._wanted:
                    self.frames.append(images.shrink(frame, _THUMBNAIL_WIDTH))
            self.num_frames += len(frames)
            yield frames


def _save_pictures(frames: list[np.ndarray], out: Path) -> None:
    from PIL import Image

    Image.fromarray(frames[len(frames) // 3]).save(out / THUMBNAIL, quality=85)
    small = [images.shrink(frame, SHEET_WIDTH) for frame in frames]
    Image.fromarray(images.grid(small, SHEET_COLUMNS)).save(out / SPRITESHEET, quality=85)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
