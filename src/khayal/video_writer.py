"""Frames → files that appear whole: mp4, webm, gif, a png, a folder of pngs."""

from __future__ import annotations

import heapq
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from khayal.destination import FRAME_NAME, part_folder_of, part_of, replace_folder
from khayal.errors import CapacityError, KhayalError, OutputError
from khayal.sound import Sound, packets

FASTEST_GIF = Fraction(50)
"""Browsers show gif delays under 2/100 s as 10/100 s, so faster clips are resampled to this."""

_PALETTE_FRAMES = 12
_PALETTE_WIDTH = 160  # palettegen takes minutes on millions of colours and chooses no better for them
_EXACT_CHROMA = "lanczos+accurate_rnd+full_chroma_int"  # the default scaler is two levels too dark

Frames = UInt8[np.ndarray, "f h w 3"]


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How one file is encoded.

    Attributes:
        codec: the encoder's name in FFmpeg.
        pixels: its pixel format.
        options: its own options.
        container: the options of the file format.
        needs_even: True where width and height have to be even; the last column or row is repeated.
    """

    codec: str
    pixels: str
    options: dict[str, str] = field(default_factory=dict)
    container: dict[str, str] = field(default_factory=dict)
    needs_even: bool = False


H264 = Encoding(
    codec="libx264",
    pixels="yuv420p",
    # x264's macroblock tree reads memory that nobody wrote, so that small frames differ from run to run
    options={"crf": "18", "preset": "medium", "mbtree": "0"},
    container={
        "movflags": "frag_keyframe+empty_moov+default_base_moof",
        "flush_packets": "1",
    },
    needs_even=True,
)
VP9 = Encoding(
    codec="libvpx-vp9",
    pixels="yuv420p",
    options={"crf": "24", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
)
LOSSLESS = Encoding(codec="libx264rgb", pixels="rgb24", options={"qp": "0", "preset": "ultrafast"})


def write(
    chunks: Iterable[Frames],
    target: Path,
    *,
    fps: Fraction,
    num_frames: int,
    sounds: Sequence[Sound] = (),
    on_frame: Callable[[int], None] | None = None,
) -> None:
    """Stream `chunks` into `target`, a path that `check_output` returned.

    Args:
        chunks: the frames in order, all of one size, a few at a time; none is kept.
        target: its suffix tells the format; without one it is a folder of pngs.
        fps: frames per second, for a gif at most `FASTEST_GIF`.
        num_frames: how many frames are expected; a gif takes its palette from a sample of them.
        sounds: what is heard, where the format has sound.
        on_frame: called with the number of frames written so far; what it raises stops the work.

    Raises:
        OutputError: the file could not be written to the end. Nothing half-written is left.
        CapacityError: there was not enough memory.
        KhayalError: a frame could not be made.
    """
    from av.error import FFmpegError

    try:
        _write(_counted(chunks, on_frame), target, fps, num_frames, sounds)
    except MemoryError as error:
        raise CapacityError(
            f"The memory ran out while {target} was written",
            why=str(error).splitlines()[0].rstrip(".") if str(error) else "",
            fix="make it smaller, or close other programs",
        ) from error
    except (OSError, FFmpegError) as error:
        raise OutputError(
            f"{target} could not be written to the end",
            why=getattr(error, "strerror", None) or str(error),
            fix="look at the space that is left on the disk, or choose another folder",
        ) from error


def _write(
    chunks: Iterator[Frames], target: Path, fps: Fraction, num_frames: int, sounds: Sequence[Sound]
) -> None:
    match target.suffix.lower():
        case ".mp4":
            with part_of(target) as part, part_of(target, "whole") as whole:
                _encode(chunks, part, H264, fps)
                _remux(part, whole, "aac", sounds, num_frames / fps)
                os.replace(whole, target)
        case ".webm":
            with part_of(target) as part, part_of(target, "whole") as whole:
                _encode(chunks, part, VP9, fps)
                if sounds:
                    _remux(part, whole, "libopus", sounds, num_frames / fps)
                os.replace(whole if sounds else part, target)
        case ".gif":
            _write_gif(chunks, target, fps, num_frames)
        case ".png":
            _write_png(chunks, target)
        case _:
            _write_folder(chunks, target)


def _counted(chunks: Iterable[Frames], on_frame: Callable[[int], None] | None) -> Iterator[Frames]:
    """The same chunks; `on_frame` is told after each has been taken in."""
    source = iter(chunks)
    num_done = 0
    while (frames := _next(source, num_done)) is not None:
        yield frames
        num_done += len(frames)
        if on_frame is not None:
            on_frame(num_done)


def _next(source: Iterator[Frames], num_done: int) -> Frames | None:
    """The next chunk; a failure to make it is not taken for one to write it."""
    from av.error import FFmpegError

    try:
        return next(source, None)
    except MemoryError:
        raise
    except (OSError, FFmpegError) as error:
        raise KhayalError(
            f"The frames could not be made after the first {num_done}",
            why=getattr(error, "strerror", None) or str(error),
        ) from error


def _write_gif(chunks: Iterator[Frames], target: Path, fps: Fraction, num_frames: int) -> None:
    """Two passes over a lossless copy: a palette can be chosen only when all frames are known."""
    with part_of(target) as part, part_of(target, "copy", suffix=".mkv") as copy:
        _encode(chunks, copy, LOSSLESS, fps)
        _encode_gif(copy, part, _palette(copy, num_frames), fps)
        os.replace(part, target)


def _write_png(chunks: Iterator[Frames], target: Path) -> None:
    from PIL import Image

    with part_of(target) as part:
        for frames in chunks:
            Image.fromarray(frames[0]).save(part)
        os.replace(part, target)


def _write_folder(chunks: Iterator[Frames], target: Path) -> None:
    from PIL import Image

    with part_folder_of(target) as part:
        index = 0
        for frames in chunks:
            for frame in frames:
                Image.fromarray(frame).save(part / FRAME_NAME.format(index))
                index += 1
        replace_folder(part, target)


def _encode(chunks: Iterator[Frames], path: Path, encoding: Encoding, fps: Fraction) -> None:
    """One stream into one file; only the encoder's own few frames of look-ahead are held."""
    import av

    first = next(chunks, None)
    if first is None:
        raise OutputError("There is nothing to write", why="the clip has no frames")
    with av.open(str(path), "w", options=encoding.container) as container:
        stream: Any = container.add_stream(encoding.codec, rate=fps, options=dict(encoding.options))
        height, width = _evened(first[:1]).shape[1:3] if encoding.needs_even else first.shape[1:3]
        stream.width, stream.height, stream.pix_fmt = width, height, encoding.pixels
        stream.codec_context.gop_size = max(1, math.ceil(fps))  # a fragment a second plays while it grows
        convert = _to_bt709(stream, width, height) if encoding.pixels == "yuv420p" else lambda frame: frame
        index = 0
        while first is not None:
            for pixels in _evened(first) if encoding.needs_even else first:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
                frame.pts, frame.time_base = index, 1 / fps
                container.mux(stream.encode(convert(frame)))
                index += 1
            first = next(chunks, None)
        container.mux(stream.encode(None))


def _evened(frames: Frames) -> UInt8[np.ndarray, "f H W 3"]:
    """Width and height made even by repeating the last column and row: 4:2:0 has no odd sizes."""
    odd_height, odd_width = frames.shape[1] % 2, frames.shape[2] % 2
    if not (odd_height or odd_width):
        return frames
    return np.pad(frames, ((0, 0), (0, odd_height), (0, odd_width), (0, 0)), mode="edge")


def _to_bt709(stream: Any, width: int, height: int) -> Callable[[Any], Any]:
    """Conversion from RGB to limited-range BT.709, and the tags that say so: browsers believe them."""
    import av

    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = context.color_range = 1
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add("buffer", f"video_size={width}x{height}:pix_fmt=rgb24:time_base=1/1:pixel_aspect=1/1"),
        graph.add("scale", f"out_color_matrix=bt709:out_range=tv:flags={_EXACT_CHROMA}"),
        graph.add("format", "pix_fmts=yuv420p"),
        graph.add("buffersink"),
    ).configure()

    def convert(frame: Any) -> Any:
        pts, time_base = frame.pts, frame.time_base
        graph.vpush(frame)
        converted = graph.vpull()
        converted.pts, converted.time_base = pts, time_base
        return converted

    return convert


def _remux(source: Path, target: Path, codec: str, sounds: Sequence[Sound], seconds: Fraction) -> None:
    """The same packets from time zero, the index in front so that a browser starts at once, and sound."""
    import av

    options = {"movflags": "faststart"} if target.suffix.lower() == ".mp4" else {}
    with av.open(str(source)) as read, av.open(str(target), "w", options=options) as out:
        stream = out.add_stream_from_template(read.streams.video[0])

        def pictures() -> Iterator[Any]:
            delay: Any = None  # of the encoder's reordering: a fragmented file cannot begin before zero
            packet: Any
            for packet in read.demux(video=0):
                if packet.dts is None:
                    continue
                delay = packet.pts if delay is None else delay
                packet.pts, packet.dts, packet.stream = packet.pts - delay, packet.dts - delay, stream
                yield packet

        heard = packets(out, codec, sounds, seconds) if sounds else iter(())
        for packet in heapq.merge(pictures(), heard, key=lambda packet: packet.dts * packet.time_base):
            out.mux(packet)


def _palette(path: Path, num_frames: int) -> Any:
    """The 256 colours that serve a sample of the frames best, as a 16×16 frame."""
    import av

    every = max(1, num_frames // _PALETTE_FRAMES)
    graph = av.filter.Graph()
    with av.open(str(path)) as container:
        graph.link_nodes(
            graph.add_buffer(template=container.streams.video[0]),
            graph.add("scale", f"w='min(iw,{_PALETTE_WIDTH})':h=-1:flags=area"),
            graph.add("palettegen", "stats_mode=full:reserve_transparent=0"),
            graph.add("buffersink"),
        ).configure()
        for index, frame in enumerate(container.decode(video=0)):
            if index % every == 0:
                graph.vpush(frame)
    graph.vpush(None)
    return graph.vpull()


def _encode_gif(source: Path, target: Path, palette: Any, fps: Fraction) -> None:
    """Ordered dither: it does not crawl from frame to frame, and is a third of the size of diffusion."""
    import av

    graph = av.filter.Graph()
    with av.open(str(source)) as read, av.open(str(target), "w") as out:
        video = read.streams.video[0]
        frames = graph.add_buffer(template=video)
        colours = graph.add("buffer", "video_size=16x16:pix_fmt=bgra:time_base=1/1:pixel_aspect=1/1")
        use = graph.add("paletteuse", "dither=bayer:bayer_scale=4:diff_mode=rectangle")
        sink = graph.add("buffersink")
        frames.link_to(use, 0, 0)
        colours.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        stream: Any = out.add_stream("gif", rate=fps)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "pal8"
        palette.pts, palette.time_base = 0, Fraction(1)
        graph.vpush(palette, 1)
        graph.vpush(None, 1)
        for frame in read.decode(video=0):
            graph.vpush(frame, 0)
            _drain(graph, stream, out)
        graph.vpush(None, 0)
        _drain(graph, stream, out)
        out.mux(stream.encode(None))


def _drain(graph: Any, stream: Any, out: Any) -> None:
    from av.error import BlockingIOError, EOFError

    while True:
        try:
            frame = graph.vpull()
        except (BlockingIOError, EOFError):
            return
        out.mux(stream.encode(frame))
