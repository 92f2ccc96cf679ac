"""Clip: a source of frames with a rate. It reads, writes and streams video files."""

from __future__ import annotations

import base64
import html
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from khayal import images, video_reader, video_writer
from khayal.destination import check_originals, check_output
from khayal.errors import InputError
from khayal.sound import Sound, has_sound

__all__ = ["Clip", "check_output", "contact_sheet"]

Frames = UInt8[np.ndarray, "f h w 3"]


class Clip:
    """Frames that can be asked for, again and again, a few at a time; they need never all be in memory.

    `for frames in clip` gives arrays `f h w 3` of uint8 RGB, f small and not always the same.

    Args:
        source: called for each pass over the frames; returns them from the first, a few in each array. A
            pass may cost as much as the first (a generated clip is decoded anew).
        fps: frames per second.
        size: (width, height).
        num_frames: how many frames a pass gives. A broken file may give fewer.
        details: what is worth recording about the clip: prompt, seed, model, “notes” for the user…
        seek: the same from any frame on, where that costs less than a pass.
        sounds: what is heard, and when.

    Raises:
        InputError: the rate, the size or the number of frames is not positive.
    """

    def __init__(
        self,
        source: Callable[[], Iterator[Frames]],
        *,
        fps: Fraction,
        size: tuple[int, int],
        num_frames: int,
        details: Mapping[str, Any] | None = None,
        seek: Callable[[int], Iterator[Frames]] | None = None,
        sounds: Sequence[Sound] = (),
    ) -> None:
        if fps <= 0 or min(size) < 1 or num_frames < 1:
            raise InputError(f"A clip cannot have {num_frames} frames of {size[0]}×{size[1]} at {fps} fps")
        self._source, self._seek = source, seek
        self.sounds = tuple(sounds)
        self.fps, self.size, self.num_frames = fps, size, num_frames
        self.details: Mapping[str, Any] = MappingProxyType(dict(details or {}))

    @classmethod
    def from_frames(
        cls, frames: np.ndarray, *, fps: Fraction | float | int, details: Mapping[str, Any] | None = None
    ) -> Clip:
        """A clip of frames that are in memory.

        Raises:
            InputError: the array is not uint8 `f h w 3`, or the rate is not positive.
        """
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not frames.size:
            raise InputError(
                f"Frames of shape {frames.shape} and type {frames.dtype} are no clip",
                fix="give uint8 RGB of shape (frames, height, width, 3)",
            )
        count, height, width = frames.shape[:3]

        def source() -> Iterator[Frames]:
            for start in range(0, count, video_reader.CHUNK):
                yield frames[start : start + video_reader.CHUNK]

        def seek(first: int) -> Iterator[Frames]:
            for start in range(first, count, video_reader.CHUNK):
                yield frames[start : start + video_reader.CHUNK]

        rate = as_rate(fps)
        size = (width, height)
        return cls(source, fps=rate, size=size, num_frames=count, details=details, seek=seek)

    @classmethod
    def open(cls, path: str | Path) -> Clip:
        """Any video or gif that FFmpeg reads, lazily.

        Turned upright as its rotation tag says, transparency over white, a variable frame rate made
        constant by nearest timestamps. Damaged frames are left out, and of a file that breaks off, the
        part that can be read is given: `details["notes"]` says so.

        Raises:
            InputError: the file is missing, is not a video, or no frame of it can be decoded.
        """
        video = video_reader.scan(path)
        details = {"path": str(path), "notes": video.notes}
        return cls(
            lambda: video_reader.read(video),
            fps=video.fps,
            size=video.size,
            num_frames=video.num_frames,
            details=details,
            seek=lambda first: video_reader.read(video, first),
            sounds=[Sound(path=video.path, start=video.start, seconds=video.num_frames / video.fps)]
            if has_sound(video.path)
            else [],
        )

    @property
    def seconds(self) -> float:
        """The playing time."""
        return float(self.num_frames / self.fps)

    def __iter__(self) -> Iterator[Frames]:
        return self._checked(self._source())

    def since(self, first: int) -> Iterator[Frames]:
        """The frames from one on; those before it are not read where the source can do without."""
        if self._seek is not None and first > 0:
            yield from self._checked(self._seek(first))
            return
        start = 0
        for frames in self:
            if start + len(frames) > first:
                yield frames[max(0, first - start) :]
            start += len(frames)

    def _checked(self, chunks: Iterator[Frames]) -> Iterator[Frames]:
        width, height = self.size
        for frames in chunks:
            if frames.shape[1:] != (height, width, 3) or frames.dtype != np.uint8:
                got = f"{frames.dtype} of shape {frames.shape}"
                raise InputError(f"A source promised uint8 frames of {width}×{height}, and gave {got}")
            yield frames

    @property
    def frames(self) -> Frames:
        """All frames in one array, `f h w 3`, made by a pass over the source each time."""
        width, height = self.size
        whole = np.empty((self.num_frames, height, width, 3), dtype=np.uint8)
        count = 0
        for frames in self:
            whole[count : count + len(frames)] = frames
            count += len(frames)
        return whole[:count]

    def at_fps(self, fps: Fraction | float | int) -> Clip:
        """The same length at another rate: for each moment the nearest frame, the earlier of two.

        Frames are repeated or left out, never mixed; `details["notes"]` says that it was done, and where the
        details have “fps” and “num_frames”, they follow. A still stays a single frame.

        Raises:
            InputError: the rate is not positive.
        """
        rate = as_rate(fps)
        if rate == self.fps:
            return self
        num_frames = resampled_length(self.num_frames, self.fps, rate)
        ratio = self.fps / rate
        # ⌈i·ratio − 1/2⌉ in integers: exact for an hour, where floats drift
        halves = 2 * np.arange(num_frames, dtype=np.int64) * ratio.numerator - ratio.denominator
        wanted = np.minimum(-(-halves // (2 * ratio.denominator)), self.num_frames - 1)

        def source(begin: int = 0) -> Iterator[Frames]:
            start = int(wanted[begin]) if begin < num_frames else self.num_frames
            for frames in self.since(start):
                first, last = np.searchsorted(wanted, (start, start + len(frames)))
                first = max(first, begin)
                if last > first:
                    yield frames[wanted[first:last] - start]
                start += len(frames)

        details = {**self.details}
        details |= {k: v for k, v in {"fps": float(rate), "num_frames": num_frames}.items() if k in details}
        if self.num_frames > 1:
            rates = f"from {float(self.fps):g} to {float(rate):g} fps"
            note = f"Resampled {rates}: for each moment the nearest frame."
            details["notes"] = (*self.details.get("notes", ()), note)
        return Clip(
            source,
            fps=rate,
            size=self.size,
            num_frames=num_frames,
            details=details,
            seek=source,
            sounds=self.sounds,
        )

    def for_file(self, path: str | Path) -> Clip:
        """The clip as a file of that name holds it: a gif is never faster than browsers show."""
        is_gif = Path(path).suffix.lower() == ".gif"
        return (
            self.at_fps(video_writer.FASTEST_GIF) if is_gif and self.fps > video_writer.FASTEST_GIF else self
        )

    def save(self, path: str | Path, on_frame: Callable[[int], None] | None = None) -> Path:
        """Stream the frames into a file, whose format its extension tells.

        Sound is kept where the format has it (`.mp4`, `.webm`).

        - `.mp4`: H.264, yuv420p, BT.709, index in front: plays in a browser. While it grows,
          `NAME.MARK.part.mp4` can be played. Odd sizes get one more column or row, a copy of the last.
        - `.webm`: VP9.
        - `.gif`: 256 colours; at most 50 frames a second, because browsers slow down faster ones (`for_file`
          is the clip as it is then).
        - a path that ends in `/` or has no extension, and `.png` for several frames: a folder of pngs.
        - `.png` for one frame: that image.

        The file appears whole, by a rename at the end; whatever stops the work, nothing half-written is
        left and an older file of that name stays.

        Args:
            path: where to; see `check_output` to find out in advance whether it can be written.
            on_frame: called with the number of frames written so far; what it raises stops the work.

        Returns:
            The path that was written.

        Raises:
            OutputError: it cannot be written.
        """
        target = check_output(path, num_frames=self.num_frames)
        check_originals(target, self.details.get("originals", ()))
        clip = self.for_file(target)
        video_writer.write(
            clip, target, fps=clip.fps, num_frames=clip.num_frames, sounds=clip.sounds, on_frame=on_frame
        )
        return target

    def __repr__(self) -> str:
        width, height = self.size
        length = f"{self.num_frames} frames at {float(self.fps):g} fps, {self.seconds:.2f} s"
        return f"<Clip {width}×{height}, {length}>"

    def _repr_html_(self) -> str:
        return self._html

    @cached_property
    def _html(self) -> str:
        """The clip as a notebook shows it, with the video inside. Kept: a pass can take minutes."""
        label = html.escape(str(self.details.get("prompt", "")) or repr(self), quote=True)
        if self.num_frames == 1:
            data = base64.b64encode(images.png_bytes(self.frames[0])).decode()
            return f'<img src="data:image/png;base64,{data}" alt="{label}" style="max-width:100%">'
        with tempfile.TemporaryDirectory() as folder:
            data = base64.b64encode(self.save(Path(folder) / "clip.mp4").read_bytes()).decode()
        return (
            f'<video src="data:video/mp4;base64,{data}" title="{label}" style="max-width:100%" '
            "controls loop autoplay muted playsinline></video>"
        )


def contact_sheet(
    clip: Clip, *, columns: int = 4, count: int = 8, width: int = 320
) -> UInt8[np.ndarray, "h w 3"]:
    """Frames of a clip side by side, evenly spaced from the first to the last, in reading order.

    Args:
        clip: read in one pass; only the chosen frames are kept, already shrunk.
        columns: frames in a row.
        count: how many frames; all of them where the clip has fewer.
        width: pixels that each may be wide.
    """
    count = min(count, clip.num_frames)
    wanted = {round(index * (clip.num_frames - 1) / max(1, count - 1)) for index in range(count)}
    chosen: list[np.ndarray] = []
    start = 0
    for frames in clip:
        chosen += [
            images.shrink(frames[i - start], width) for i in sorted(wanted) if 0 <= i - start < len(frames)
        ]
        start += len(frames)
    return images.grid(chosen, columns)


def resampled_length(num_frames: int, fps: Fraction, rate: Fraction) -> int:
    """How many frames `num_frames` at `fps` become at another rate; a still stays a single one."""
    return 1 if num_frames == 1 else max(1, round(num_frames / fps * rate))


def as_rate(fps: Fraction | float | int) -> Fraction:
    """Frames per second as an exact fraction: 29.97 becomes 2997/100.

    Raises:
        InputError: it is not a positive number.
    """
    if not 0 < fps < float("inf"):
        raise InputError(f"{fps} is no frame rate", fix="give a positive number of frames per second")
    return Fraction(fps).limit_denominator(1001)
