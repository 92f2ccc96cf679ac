"""The sound of clips that a video is made from: kept where their frames are, silence elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

RATE = 48_000
_RAMP = RATE // 100
"""Samples over which sound begins and ends, so that nothing clicks."""
_PIECE = 4096

Samples = Float32[np.ndarray, "2 n"]


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A stretch of a file's sound, and where it stands in a video. All in seconds.

    Attributes:
        path: the file.
        start: where it begins in the file, by the file's own clock.
        seconds: how long it is.
        at: where it stands in the video.
    """

    path: Path
    start: Fraction
    seconds: Fraction
    at: Fraction = Fraction(0)

    def part(self, first: Fraction, seconds: Fraction, at: Fraction) -> Sound | None:
        """What stands in a stretch of the video, moved to another place; None where nothing does."""
        begin, end = max(first, self.at), min(first + seconds, self.at + self.seconds)
        if begin >= end:
            return None
        return replace(self, start=self.start + begin - self.at, seconds=end - begin, at=at + begin - first)


def has_sound(path: Path) -> bool:
    """True where a file that can be opened has sound in it."""
    import av

    with av.open(str(path), metadata_errors="replace", options={"protocol_whitelist": "file"}) as container:
        return any(stream.codec_context is not None for stream in container.streams.audio)


def samples(sounds: Sequence[Sound], seconds: Fraction) -> Iterator[Samples]:
    """The whole sound of a video, a little at a time, in stereo at `RATE`."""
    at = 0
    for sound in sorted(sounds, key=lambda one: one.at):
        yield from _silence(round(sound.at * RATE) - at)
        count = round(sound.seconds * RATE)
        at = round(sound.at * RATE) + count
        yield from _ramped(_stretch(sound, count), count)
    yield from _silence(round(seconds * RATE) - at)


def packets(container: Any, codec: str, sounds: Sequence[Sound], seconds: Fraction) -> Iterator[Any]:
    """The packets of a new stream of an open file."""
    import av

    stream: Any = container.add_stream(codec, rate=RATE, layout="stereo")
    stream.bit_rate = 160_000

    def encoded() -> Iterator[Any]:
        at = 0
        for piece in samples(sounds, seconds):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
            at += piece.shape[1]
            yield from stream.encode(frame)
        yield from stream.encode(None)

    return encoded()


def _silence(count: int) -> Iterator[Samples]:
    while count > 0:
        yield np.zeros((2, min(count, _PIECE)), dtype=np.float32)
        count -= _PIECE


def _ramped(pieces: Iterator[Samples], count: int) -> Iterator[Samples]:
    at = 0
    for piece in pieces:
        places = np.arange(at, at + piece.shape[1])
        gain = np.clip(np.minimum(places + 1, count - places) / min(_RAMP, max(1, count // 2)), 0, 1)
        yield (piece * gain).astype(np.float32)
        at += piece.shape[1]


def _stretch(sound: Sound, count: int) -> Iterator[Samples]:
    """Exactly `count` samples: what the file does not have is silence."""
    given = 0
    for at, piece in _decoded(sound):
        piece = piece[:, max(0, given - at) :]
        start = max(at, given)
        if start > given:
            yield from _silence(min(start, count) - given)
            given = min(start, count)
        piece = piece[:, : count - given]
        if piece.shape[1]:
            yield piece
            given += piece.shape[1]
        if given >= count:
            return
    yield from _silence(count - given)


def _decoded(sound: Sound) -> Iterator[tuple[int, Samples]]:
    """Pieces with the place of their first sample, counted from where the stretch begins."""
    import av
    from av.error import FFmpegError

    with av.open(
        str(sound.path), metadata_errors="replace", options={"protocol_whitelist": "file"}
    ) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", layout="stereo", rate=RATE)
        if sound.start > 1 and stream.time_base is not None:
            try:
                container.seek(int((sound.start - 1) / stream.time_base), stream=stream)
            except (FFmpegError, OSError):
                container.seek(0)
        at: int | None = None
        try:
            for frame in container.decode(stream):
                if at is None:
                    at = round(((frame.time or 0) - float(sound.start)) * RATE)
                frame.pts = None
                for ready in resampler.resample(frame):
                    yield at, ready.to_ndarray().astype(np.float32, copy=False)
                    at += ready.samples
        except (FFmpegError, OSError):  # a broken end: what is missing is silence
            return
