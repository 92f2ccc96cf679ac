"""A folder as people have them: every format, size and rate, some broken, with captions of many kinds."""

from __future__ import annotations

import csv
import json
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image


def picture(width: int, height: int, number: int = 0) -> np.ndarray:
    """A gradient with a square that moves: `h w 3`, red above, blue below."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[: height // 2, :, 0] = 200
    image[height // 2 :, :, 2] = 200
    left = (3 * number) % max(1, width - 12)
    image[4:16, left : left + 12] = 255
    return image


def video(
    path: Path,
    *,
    size: tuple[int, int] = (96, 64),
    num_frames: int = 24,
    fps: Fraction | int = 24,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    moments: list[int] | None = None,
) -> Path:
    """Write a video; `moments` are timestamps in milliseconds, for a variable rate."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        if moments:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(picture(*size, number), format="rgb24").reformat(format=pixels)
            if moments:
                frame.pts, frame.time_base = moments[number], Fraction(1, 1000)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def turned(path: Path, degrees: int) -> Path:
    """Give an mp4 a rotation tag, as phones do: the matrix of its track header."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    one, none = (1 << 16).to_bytes(4, "big"), bytes(4)
    minus = (2**32 - (1 << 16)).to_bytes(4, "big")
    assert degrees == 90
    matrix = none + one + none + minus + none + none + none + none + (1 << 30).to_bytes(4, "big")
    data[place : place + 36] = matrix
    path.write_bytes(data)
    return path


def image(path: Path, size: tuple[int, int] = (80, 64), *, orientation: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture(*size)).save(path, exif=exif)
    return path


def told(path: Path, caption: str = "a white square moves to the right", **encoding: str) -> Path:
    path.with_suffix(".txt").write_text(caption, **(encoding or {"encoding": "utf-8"}))
    return path


def make(folder: Path) -> Path:
    """Everything; `EXPECTED` says what is left out."""
    folder.mkdir(parents=True)
    told(video(folder / "plain.mp4"))
    told(video(folder / "tall.mov", size=(64, 112), fps=30, num_frames=40), "a tall one")
    told(video(folder / "web.webm", codec="libvpx", fps=12, num_frames=12), "slow\nand steady")
    told(video(folder / "old.avi", codec="mpeg4", fps=25, num_frames=30))
    told(video(folder / "loop.gif", codec="gif", pixels="rgb8", fps=10, num_frames=10))
    told(
        video(folder / "phone" / "كرة حمراء.mkv", size=(160, 90), fps=Fraction(30000, 1001), num_frames=36),
        "كرة",
    )
    told(turned(video(folder / "phone" / "plain.mp4", size=(112, 64)), 90), "held upright")
    moments = np.cumsum([0, *([33, 33, 70] * 12)]).tolist()
    told(video(folder / "phone" / "variable.mp4", num_frames=37, moments=moments))
    told(video(folder / "long.mp4", num_frames=90))
    long = [
        {"kind": "clip", "start_seconds": 0, "end_seconds": 3.75, "en": {"short": "all of it"}},
        {"kind": "shot", "start_seconds": 0, "end_seconds": 0.25, "en": {"short": "first"}},
        {"kind": "shot", "start_seconds": 0.25, "end_seconds": 3.75, "en": {"short": "second"}, "ar": "ثان"},
        {"kind": "span", "start_seconds": 1.1, "end_seconds": 1.7, "en": {"short": "the third window"}},
    ]
    (folder / "long.json").write_text(json.dumps({"captions": long}))
    image(folder / "still.png")
    (folder / "still.png.txt").write_text("a still")
    told(image(folder / "phone" / "upright.jpg", (96, 64), orientation=6))
    told(image(folder / "picture.webp"))
    told(image(folder / "kept.gif"))
    _others(folder)
    _table(folder / "table")
    return folder


def _others(folder: Path) -> None:
    """What cannot be used."""
    told(folder / "empty.mp4").touch()
    whole = video(folder / "whole.mp4")  # without a caption
    told(folder / "cut off.mp4").write_bytes(whole.read_bytes()[:900])
    told(folder / "noise.jpg").write_bytes(b"this is no image" * 9)
    told(image(folder / "half.png")).write_bytes((folder / "half.png").read_bytes()[:90])
    told(video(folder / "short.mp4", num_frames=3))
    told(image(folder / "small.png", (32, 24)))
    told(image(folder / "thin.png", (2000, 64)))
    told(image(folder / "silent.png"), " \n")
    told(image(folder / "foreign.png"), "كرة", encoding="cp1256")
    image(folder / "odd.png").with_suffix(".json").write_text('{"caption": ')
    (folder / "lonely.txt").write_text("a caption without a file")
    (folder / "notes.pdf").write_bytes(b"%PDF")
    (folder / ".hidden.mp4").touch()
    os.symlink("plain.mp4", folder / "same.mp4")
    os.symlink("nothing.mp4", folder / "gone.mp4")
    os.symlink(folder, folder / "round")


def _table(folder: Path) -> None:
    """A folder whose captions are in a table."""
    video(folder / "one.mp4", num_frames=40)
    image(folder / "two.jpg")
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8-sig") as file:
        lines = csv.writer(file, delimiter=";")
        lines.writerow(["file_name", "caption", "caption_ar", "start_seconds", "end_seconds"])
        lines.writerow(["one.mp4", "the beginning, told", "البداية", "0", "0.6"])
        lines.writerow(["one.mp4", "the end", "", "0.6", "2"])
        lines.writerow(["two", "two; in quotes", "", "", ""])
        lines.writerow(["three.mp4", "is not there", "", "", ""])
        lines.writerow(["https://example.org/4.mp4", "far away", "", "", ""])
        lines.writerow(["one.mp4", "when", "", "soon", ""])


LEFT_OUT = {
    "empty.mp4": "the file is empty",
    "whole.mp4": "it has no caption",
    "cut off.mp4": "it cannot be read",
    "noise.jpg": "it cannot be read",
    "half.png": "it cannot be read",
    "short.mp4": "it is too short",
    "small.png": "it is too small",
    "thin.png": "too much of it would be cropped",
    "silent.png": "the caption is empty",
    "foreign.png": "the caption is no text in UTF-8",
    "odd.png": "the caption is not JSON",
    "lonely.txt": "there is no video or image of this name",
    "notes.pdf": "it is no video, image or caption",
    ".hidden.mp4": "it is hidden",
    "same.mp4": "the file is there twice",
    "gone.mp4": "it is a link to nothing",
    "table/metadata.csv, line 5": "there is no such file",
    "table/metadata.csv, line 6": "it is an address, not a file",
    "table/metadata.csv, line 7": "“soon” is no time",
}
TAKEN = {
    "plain.mp4",
    "tall.mov",
    "web.webm",
    "old.avi",
    "loop.gif",
    "phone/كرة حمراء.mkv",
    "phone/plain.mp4",
    "phone/variable.mp4",
    "long.mp4",
    "still.png",
    "phone/upright.jpg",
    "picture.webp",
    "kept.gif",
    "table/one.mp4",
    "table/two.jpg",
}
