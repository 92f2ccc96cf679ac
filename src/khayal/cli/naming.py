"""Names for results that were given none."""

from __future__ import annotations

import unicodedata
from pathlib import Path

_LONGEST = 48
"""Characters of a prompt in a name: four bytes each, still far below the 255 that file systems allow."""


def slug(text: str) -> str:
    """Letters and digits of any script, the rest as single hyphens, cut at a word; “khayal” for none."""
    kept = "".join(
        letter if unicodedata.category(letter)[0] in "LMN" else " "
        for letter in unicodedata.normalize("NFC", text).lower().replace("'", "").replace("’", "")
    )
    name = ""
    for word in kept.split():
        longer = f"{name}-{word}" if name else word[:_LONGEST]
        if len(longer) > _LONGEST:
            break
        name = longer
    return name or "khayal"


def default_path(text: str, seed: int, suffix: str) -> Path:
    """A path in the current folder that does not exist yet: SLUG-SEED.mp4, then SLUG-SEED-2.mp4…"""
    stem = f"{slug(text)}-{seed}"
    path, number = Path(f"{stem}{suffix}"), 1
    while path.exists():
        number += 1
        path = Path(f"{stem}-{number}{suffix}")
    return path


def numbered(out: str, index: int, count: int) -> str:
    """`out` for one of `count` results: ball.mp4 becomes ball-1.mp4…, where there are several."""
    is_folder = out.endswith("/")
    path = Path(out)
    if count == 1 or not path.name or out == "-":
        return out
    return f"{path.with_name(f'{path.stem}-{index + 1}{path.suffix}')}{'/' if is_folder else ''}"
