"""A contact sheet: many clips on one picture, a few frames of each in a row, with what is said about them."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap

import numpy as np
from PIL import Image, ImageDraw

from khayal.world.clips import WorldClip

FRAMES_PER_CLIP = 6
LINE, LINES, GAP = 11, 3, 4


def strip(clip: WorldClip, frames: int = FRAMES_PER_CLIP) -> Image.Image:
    """One row: frames spread over the clip, over its detailed English caption."""
    chosen = np.linspace(0, len(clip.frames) - 1, frames).round().astype(int)
    film = np.concatenate([clip.frames[k] for k in chosen], axis=1)
    canvas = Image.new("RGB", (film.shape[1] + GAP, film.shape[0] + LINE * LINES + GAP), "white")
    canvas.paste(Image.fromarray(film), (0, LINE * LINES))
    text = f"{clip.truth.index}: {clip.captions[0].texts['en']['detailed']}"
    pen = ImageDraw.Draw(canvas)
    for k, line in enumerate(wrap(text, max(20, film.shape[1] // 6))[:LINES]):
        pen.text((2, k * LINE), line, fill="black")
    return canvas


def contact_sheet(clips: Iterable[WorldClip], columns: int = 2) -> Image.Image:
    """All rows on one picture."""
    rows = [strip(clip) for clip in clips]
    wide, high = rows[0].size
    deep = -(-len(rows) // columns)
    page = Image.new("RGB", (wide * columns, high * deep), "white")
    for k, row in enumerate(rows):
        page.paste(row, (wide * (k // deep), high * (k % deep)))
    return page
