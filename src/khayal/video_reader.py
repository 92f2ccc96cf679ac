"""Video files that people have → frames at a constant rate, a few at a time."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from khayal.errors import InputError
from khayal.images import over_backdrop

CHUNK = 4
"""Frames in one array: enough to spread the cost of a call, few enough to be nothing in memory."""

_WHOLE_RATES = tuple(Fraction(rate) for rate in range(1, 121))
_BROADCAST_RATES = tuple(Fraction(rate * 1000, 1001) for rate in (24, 30, 60, 120))
_SLOWEST, _FASTEST = Fraction(1, 10), Fraction(120)
_BICUBIC, _FULL_CHROMA, _ACCURATE = 0x4, 0x2000, 0x40000  # FFmpeg's SWS_ flags
_MATRICES = {1: 1, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}  # AVCOL_SPC_ of a frame → SWS_CS_ of the scaler

_SEEK_SECONDS = 1
"""How far before a wanted frame reading begins: decoders need a moment after a jump."""

_log = logging.getLogger(__name__)

Frames = UInt8[np.ndarray, "f h w 3"]


@dataclass(frozen=True, kw_only=True)
class VideoFile:
    """What one look through a file's index tells.

    Attributes:
        path: the file.
        fps: the constant rate at which it is read. Files of variable rate (phones, screen recordings)
            are resampled to the rate of their median frame, by the nearest timestamp.
        size: (width, height) as it is to be shown: rotated, with square pixels.
        num_frames: frames at `fps`. A broken file may give fewer, and says so in the log.
        start: the timestamp of its first frame, in seconds.
        step: seconds between frames where the file has no timestamps, else None.
        notes: sentences for the user: what is broken or was changed.
    """

    path: Path
    fps: Fraction
    size: tuple[int, int]
    num_frames: int
    start: Fraction
    step: Fraction | None
    notes: tuple[str, ...] = ()


def scan(path: str | Path) -> VideoFile:
    """Read the timestamps of a video file and decode its first frame; nothing is kept in memory.

    Raises:
        InputError: the file is missing, is not a video, or has no frame that can be decoded.
    """
    path = Path(path)
    if not os.path.isfile(path):
        why = "it is a folder" if os.path.isdir(path) else "there is no such file"
        raise InputError(f"{path} cannot be read as a video", why=why, fix="give the path of a video file")
    stamps: list[Fraction | None] = []
    size: tuple[int, int] | None = None
    with _opened(path) as (container, stream):
        declared, guessed, tick = stream.frames, stream.guessed_rate, stream.time_base
        for packet, frames in _decoded(container, stream, until_first=True):
            if size is None and frames:
                size = _shown_size(frames[0], stream.sample_aspect_ratio or Fraction(1))
            if packet is not None and packet.size and not (packet.is_discard or packet.is_corrupt):
                stamps.append(_time(packet))
    if size is None:
        raise InputError(f"{path} cannot be read as a video", why="no frame of it can be decoded")
    notes = []
    if declared > len(stamps):
        notes.append(f"{path.name} breaks off: {len(stamps)} of its {declared} frames can be read.")
    known = sorted({stamp for stamp in stamps if stamp is not None})
    is_timed = len(known) > len(stamps) // 2
    fps, is_variable = _rate(known, tick) if is_timed and len(known) > 1 else (Fraction(guessed or 25), False)
    num_frames = round((known[-1] - known[0]) * fps) + 1 if is_timed else len(stamps)
    if is_variable:
        notes.append(f"{path.name} has a variable frame rate; it is read at {float(fps):g} fps.")
    return VideoFile(
        path=path,
        fps=fps,
        size=size,
        num_frames=num_frames,
        start=known[0] if is_timed else Fraction(0),
        step=None if is_timed else 1 / fps,
        notes=tuple(notes),
    )


def read(video: VideoFile, first: int = 0) -> Iterator[Frames]:
    """The frames of a scanned file in order, `CHUNK` at a time, each the nearest to its moment.

    Args:
        video: the file.
        first: the frame to begin with. The file is read from the key frame before it, where it has one.
    """
    chunk: list[np.ndarray] = []
    num_read = first
    for frame in _at_constant_rate(video, first):
        chunk.append(frame)
        num_read += 1
        if len(chunk) == CHUNK:
            yield np.stack(chunk)
            chunk = []
    if chunk:
        yield np.stack(chunk)
    if num_read < video.num_frames:
        _log.warning(
            "%s breaks off: %d of its %d frames could be read", video.path, num_read, video.num_frames
        )


def _at_constant_rate(video: VideoFile, first: int) -> Iterator[np.ndarray]:
    held, held_at, index = None, Fraction(0), first
    for moment, frame in _moments(video, first / video.fps):
        while held is not None and index < video.num_frames and 2 * index / video.fps <= held_at + moment:
            yield _pixels(held, video.size)
            index += 1
        held, held_at = frame, moment
    while (
        held is not None and index < video.num_frames and index / video.fps <= held_at + 1 / (2 * video.fps)
    ):
        yield _pixels(held, video.size)
        index += 1


def _moments(video: VideoFile, since: Fraction) -> Iterator[tuple[Fraction, Any]]:
    """Frames as they are decoded, each with its time in seconds from the first.

    Args:
        video: the file.
        since: a moment before which frames are not needed.
    """
    if since > _SEEK_SECONDS and video.step is None:
        frames = _decoded_moments(video, since - _SEEK_SECONDS)
        early = next(frames, None)
        if early is not None and early[0] < since:  # else the seek went astray
            yield early
            yield from frames
            return
    yield from _decoded_moments(video, None)


def _decoded_moments(video: VideoFile, since: Fraction | None) -> Iterator[tuple[Fraction, Any]]:
    """All frames, or those from the key frame before a moment on; none where the file cannot be sought."""
    from av.error import FFmpegError

    index = 0
    with _opened(video.path) as (container, stream):
        if since is not None:
            try:
                container.seek(int((video.start + since) / stream.time_base), stream=stream)
            except (FFmpegError, OSError):
                return
        for _, frames in _decoded(container, stream, until_first=False):
            for frame in frames:
                stamp = _time(frame)
                if video.step is not None:
                    yield index * video.step, frame
                elif stamp is not None:
                    yield stamp - video.start, frame
                index += 1


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The file and its first moving picture (cover art is none)."""
    import av
    from av.error import FFmpegError
    from av.stream import Disposition

    try:
        # a playlist must not make us fetch what it names
        container = av.open(str(path), metadata_errors="replace", options={"protocol_whitelist": "file"})
    except (FFmpegError, OSError) as error:
        raise InputError(
            f"{path} cannot be read as a video",
            why=getattr(error, "strerror", None) or str(error),
            fix="give a video that plays, such as an mp4, webm, mov, mkv or gif",
        ) from error
    with container:
        moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not moving:
            raise InputError(f"{path} cannot be read as a video", why="it has no pictures in it")
        moving[0].thread_type = "AUTO"
        yield container, moving[0]


def _decoded(container: Any, stream: Any, *, until_first: bool) -> Iterator[tuple[Any, list[Any]]]:
    """Packets with the frames that they complete, past damage; the last comes without a packet.

    Args:
        container: the open file.
        stream: its video stream.
        until_first: True to stop decoding, not reading, at the first frame.
    """
    from av.error import FFmpegError

    packets = container.demux(stream)
    is_decoding, has_frame = True, False
    while True:
        try:
            packet = next(packets, None)
        except (FFmpegError, OSError) as error:
            _log.warning("%s breaks off: %s", container.name, error)
            packet = None
        if packet is not None and packet.size == 0 and packet.dts is not None:
            continue  # a dropped frame of an AVI; to the decoder it would mean the end
        try:
            frames = stream.decode(packet) if is_decoding else []
        except (FFmpegError, OSError) as error:
            _log.warning("%s is damaged: %s", container.name, error)
            frames = []
        whole = [frame for frame in frames if not frame.is_corrupt]
        has_frame = has_frame or bool(whole)
        is_decoding = not (until_first and has_frame)
        yield packet, whole
        if packet is None or (packet.size == 0 and packet.dts is None):
            return


def _time(item: Any) -> Fraction | None:
    """The presentation time of a packet or a frame in seconds; AVI files know only the decoding time."""
    stamp = item.pts if item.pts is not None else item.dts
    return None if stamp is None else stamp * item.time_base


def _rate(times: list[Fraction], tick: Fraction) -> tuple[Fraction, bool]:
    """(frames per second, True where the rate is variable) of rising timestamps in units of `tick`."""
    steps = sorted(after - before for before, after in pairwise(times))
    middle, span = steps[len(steps) // 2], times[-1] - times[0]
    is_variable = steps[-1] > middle * Fraction(8, 5) or steps[0] < middle * Fraction(2, 5)
    rate = 1 / middle if is_variable else len(steps) / span
    # containers round timestamps, gifs to 1/100 s: the rate is known to one such tick in the span
    slack = max(Fraction(1, 50), tick / middle) if is_variable else max(Fraction(1, 5000), tick / span)
    for known in (_WHOLE_RATES, _BROADCAST_RATES):
        nearest = min(known, key=lambda candidate: abs(candidate / rate - 1))
        if abs(nearest / rate - 1) <= slack:
            return nearest, is_variable
    return min(max(rate, _SLOWEST), _FASTEST).limit_denominator(100_000), is_variable


def _shown_size(frame: Any, aspect: Fraction) -> tuple[int, int]:
    """(width, height) of a frame turned upright, with square pixels: DVDs store theirs stretched."""
    size = round(frame.width * aspect), frame.height
    return size if round(frame.rotation / 90) % 2 == 0 else size[::-1]


def _pixels(frame: Any, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """A decoded frame as it is to be shown: at `size`, turned upright, over the backdrop."""
    turns = round(frame.rotation / 90) % 4
    width, height = size if turns % 2 == 0 else size[::-1]
    has_alpha = any(component.is_alpha for component in frame.format.components)
    matrix = _MATRICES.get(int(frame.colorspace), 1 if frame.height >= 720 else 5)
    shown = frame.reformat(
        width=width,
        height=height,
        format="rgba" if has_alpha else "rgb24",
        src_colorspace=matrix,
        interpolation=_BICUBIC | _FULL_CHROMA | _ACCURATE,
    ).to_ndarray()
    return np.ascontiguousarray(np.rot90(over_backdrop(shown) if has_alpha else shown, turns))
