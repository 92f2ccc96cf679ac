"""What the user gave, at the rate and the size of the video that is made from it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from khayal.clip import Clip
from khayal.errors import InputError
from khayal.images import as_pixels, fit_image, open_image
from khayal.sound import Sound
from khayal.tasks import Medium

_KEPT = 64
"""Frames that are kept for the next reading: known columns and the pixels at their borders overlap."""
_LOOKED_AT = 8


class Footage:
    """An image or a clip, frame by frame. Only what is asked for is read.

    Args:
        medium: what was given; a clip by its path or as a `Clip`.
        fps: frames per second of the video.
        size: (width, height) of the video.
        fit: how another shape is brought to it: crop or pad.

    Attributes:
        num_frames: frames at that rate, as many as can be read.
        name: what to call it.
        path: the file, or None.
        notes: what was changed, for the user.
        sounds: what is heard in it.

    Raises:
        InputError: it cannot be read.
    """

    def __init__(self, medium: Medium, *, fps: Fraction, size: tuple[int, int], fit: str) -> None:
        self.size, self.fit = size, fit
        given = medium.given
        self.path = Path(given) if isinstance(given, str | Path) else None
        self.name = self.path.name if self.path else "The image" if medium.is_still else "The clip"
        self.notes: list[str] = []
        self._kept: dict[int, np.ndarray] = {}
        self.sounds: tuple[Sound, ...] = ()
        self._clip: Clip | None = None
        self.num_frames = 1
        if medium.is_still:
            image = open_image(self.path) if self.path else as_pixels(given)
            self._kept[0] = self._fitted(image)
        else:
            self._clip = self._opened(given, fps)

    def read(self, first: int, count: int) -> UInt8[np.ndarray, "f h w 3"]:
        """A few frames; before the first and after the last, these stand still."""
        wanted = np.clip(np.arange(first, first + count), 0, self.num_frames - 1).tolist()
        missing = [index for index in wanted if index not in self._kept]
        if missing:
            start = missing[0]
            if len(self._kept) > _KEPT:
                self._kept.clear()
            for offset, frame in enumerate(self._single(start, wanted[-1] + 1 - start)):
                self._kept[start + offset] = frame
            if any(index not in self._kept for index in wanted):  # frames before `start` had been cleared
                return self.read(first, count)
        return np.stack([self._kept[index] for index in wanted])

    def frames(self, first: int, count: int) -> Iterator[UInt8[np.ndarray, "f h w 3"]]:
        """Many frames, one after the other; none is kept."""
        for frame in self._single(first, count):
            yield frame[None]

    def _single(self, first: int, count: int) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        if self._clip is None:
            for _ in range(count):
                yield self._kept[0]
            return
        num_read = 0
        for frames in self._clip.since(first):
            for frame in frames[: count - num_read]:
                yield self._fitted(frame)
                num_read += 1
            if num_read == count:
                return
        raise InputError(
            f"{self.name} breaks off after {first + num_read} of its {self.num_frames} frames",
            fix="cut it before that, or save it anew with another program",
        )

    def _opened(self, given: object, fps: Fraction) -> Clip:
        if self.path:
            clip = Clip.open(self.path)
        elif isinstance(given, Clip):
            clip = given
        else:
            raise InputError(
                f"A clip cannot be a {type(given).__name__}", fix="give the path of a file, or a khayal.Clip"
            )
        self.notes += clip.details.get("notes", ()) if self.path else ()
        if clip.fps != fps:
            self.notes.append(f"{self.name} was resampled from {float(clip.fps):g} to {float(fps):g} fps.")
        clip = clip.at_fps(fps)
        self.sounds = clip.sounds
        self.num_frames = self._readable(clip) if self.path else clip.num_frames
        return clip

    def _readable(self, clip: Clip) -> int:
        """Frames that there really are: the end of a broken file may not be."""
        first = max(0, clip.num_frames - _LOOKED_AT)
        found = sum(len(frames) for frames in clip.since(first))
        if first and not found:
            first, found = 0, sum(len(frames) for frames in clip)
        num_frames = min(first + found, clip.num_frames)
        if num_frames == 0:
            raise InputError(f"{self.name} cannot be read", why="no frame of it can be decoded")
        if num_frames < clip.num_frames:
            self.notes.append(
                f"{self.name} breaks off: {num_frames} of its {clip.num_frames} frames can be read."
            )
        return num_frames

    def _fitted(self, frame: np.ndarray) -> np.ndarray:
        fitted, note = fit_image(frame, self.size, mode=self.fit, name=self.name)
        if note and note not in self.notes:
            self.notes.append(note)
        return fitted
