"""Pictures of the process: a page with the noise tables of a run, its frames and its timings."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from khayal.clip import Clip, contact_sheet
from khayal.errors import OutputError
from khayal.flow import schedule
from khayal.images import png_bytes

_MARK = "<!-- khayal: a report of one run -->"
_NOISE, _CLEAN = (38, 36, 66), (244, 236, 216)
_CELL, _ROWS = 14, 13
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse}td,th{text-align:left;padding:.15rem .8rem .15rem 0;vertical-align:top}"
    "img{max-width:100%}figure{margin:1rem 0}figcaption,.note{color:#666}"
    "svg text{font:10px system-ui;fill:#666}"
)


def check_report(folder: str | Path) -> Path:
    """Find out before the work starts whether a report can be written to a folder.

    Raises:
        OutputError: it is a file, or holds another page.
    """
    folder = Path(folder)
    page = folder / "index.html"
    if folder.exists() and not folder.is_dir():
        raise OutputError(
            f"The report cannot be written to {folder}", why="it is a file", fix="name a folder"
        )
    if page.exists() and _MARK not in page.read_text(encoding="utf-8", errors="replace")[:200]:
        raise OutputError(f"The report would replace {page}", fix="name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made", why=error.strerror or str(error)) from error
    return folder


def write_report(folder: Path, clip: Clip, result: Mapping[str, Any]) -> Path:
    """Write `index.html` and `sheet.png`.

    Args:
        folder: checked by `check_report`.
        clip: what was made, with the studio's details.
        result: what the command tells of it.
    """
    (folder / "sheet.png").write_bytes(png_bytes(contact_sheet(clip, count=12, columns=6, width=192)))
    details = clip.details
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(_plain(value))}</td></tr>"
        for name, value in result.items()
        if value not in (None, [], "")
    )
    tables = "".join(
        f"<figure>{_table(columns, details)}<figcaption>Canvas {number}"
        f"{_took(details, number)}: {_words(columns)}.</figcaption></figure>"
        for number, columns in enumerate(details["canvases"])
    )
    page = folder / "index.html"
    page.write_text(
        f"<!doctype html>\n{_MARK}\n<html lang='en'><meta charset='utf-8'><title>{details['task']}</title>"
        f"<style>{_STYLE}</style><h1>{details['task']}</h1>"
        f"<p>{html.escape(str(details['prompt']))}</p><img src='sheet.png' alt='frames of the video'>"
        f"<h2>Noise tables</h2><p class='note'>Across: latent frames, by their place in time. Down: "
        f"denoising steps. Dark is noise, light is clean. Orange: known. Framed: shown.</p>{tables}"
        f"<h2>The run</h2><table>{rows}</table></html>\n",
        encoding="utf-8",
    )
    return page


def _table(columns: Sequence[Mapping[str, Any]], details: Mapping[str, Any]) -> str:
    """One canvas: a cell for each column and step; of many steps, some."""
    num_steps = details["steps"]
    rows = sorted({round(row * num_steps / (_ROWS - 1)) for row in range(_ROWS)})
    width, height = len(columns) * _CELL + 40, len(rows) * _CELL + 24
    cells = []
    for place, column in enumerate(columns):
        levels = [column["level"]] * (num_steps + 1)
        if not column["is_known"]:
            levels = schedule(num_steps, shift=details["flow_shift"], start=column["level"]).tolist()
        x = 30 + place * _CELL
        size = f"width='{_CELL - 1}' height='{_CELL - 1}'"
        cells += [
            f"<rect x='{x}' y='{4 + y * _CELL}' {size} fill='{_colour(levels[row])}'/>"
            for y, row in enumerate(rows)
        ]
        low = 4 + len(rows) * _CELL
        if column["is_known"]:
            cells.append(f"<rect x='{x}' y='{low}' width='{_CELL - 1}' height='4' fill='#d67a34'/>")
        if column["is_shown"]:
            cells.append(
                f"<rect x='{x - 0.5}' y='3.5' width='{_CELL}' height='{low - 4}' fill='none' stroke='#888'/>"
            )
        if place % 4 == 0:
            cells.append(f"<text x='{x}' y='{low + 15}'>{column['position']:g}</text>")
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' role='img' "
        f"aria-label='noise levels'>{''.join(cells)}</svg>"
    )


def _colour(level: float) -> str:
    red, green, blue = (round(c + (n - c) * level) for n, c in zip(_NOISE, _CLEAN, strict=True))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _words(columns: Sequence[Mapping[str, Any]]) -> str:
    known = sum(column["is_known"] and not column["is_aside"] for column in columns)
    aside = sum(column["is_aside"] for column in columns)
    return f"{len(columns) - known - aside} columns fall, {known} are known, {aside} are looked at"


def _took(details: Mapping[str, Any], number: int) -> str:
    took = details["canvas_seconds"].get(number)
    return f", {took:.1f} s" if took else ""


def _plain(value: Any) -> str:
    return " · ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
