"""A folder of clips on disk: `000123.mp4` beside `000123.json`. What is there is not rendered again."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from khayal.errors import InputError, OutputError
from khayal.world.clips import WorldClip, render_clip
from khayal.world.draw import Request
from khayal.world.workers import in_order

MANIFEST = "world.json"
MANIFEST_SCHEMA = "khayal.world.folder/1"


@dataclass(frozen=True, kw_only=True)
class Written:
    """One clip that was written, and how many broken scenes were thrown away for it, by reason."""

    index: int
    rejected: dict[str, int]


def _paths(folder: Path, index: int) -> tuple[Path, Path]:
    return folder / f"{index:06d}.mp4", folder / f"{index:06d}.json"


def missing(folder: Path, count: int) -> list[int]:
    """Numbers below `count` whose video or sidecar is not there."""
    return [k for k in range(count) if not all(path.exists() for path in _paths(folder, k))]


def write_clip(clip: WorldClip, folder: Path, index: int) -> None:
    """Write a video and its sidecar; the sidecar appears last and whole."""
    from khayal.clip import Clip

    video, sidecar = _paths(folder, index)
    Clip.from_frames(clip.frames, fps=clip.truth.fps).save(video)
    draft = sidecar.with_suffix(".json.part")
    draft.write_text(json.dumps(clip.to_json(), ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    os.replace(draft, sidecar)


def _make(request: Request, seed: int, folder: Path, is_segmented: bool, index: int) -> Written:
    clip = render_clip(request, seed, index, is_segmented=is_segmented)
    write_clip(clip, folder, index)
    return Written(index=index, rejected=clip.truth.rejected)


def _claim(folder: Path, request: Request, seed: int, is_segmented: bool) -> None:
    """A folder holds the clips of one seed and one request only.

    Raises:
        InputError: it was begun with other ones.
    """
    wanted: dict[str, Any] = {
        "schema": MANIFEST_SCHEMA,
        "seed": seed,
        "is_segmented": is_segmented,
        **json.loads(json.dumps(asdict(request))),
    }
    manifest = folder / MANIFEST
    if manifest.exists():
        found = json.loads(manifest.read_text(encoding="utf-8"))
        odd = sorted(k for k in {*found, *wanted} if found.get(k) != wanted.get(k))
        if odd:
            told = ", ".join(f"{k} {found.get(k)!r}, not {wanted.get(k)!r}" for k in odd)
            raise InputError(
                f"“{folder}” cannot be continued",
                why=f"it was rendered with {told}",
                fix="choose another folder",
            )
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        manifest.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"“{folder}” cannot be written", why=error.strerror or str(error), fix="choose another folder"
        ) from error


def render_folder(
    folder: str | Path,
    *,
    count: int,
    seed: int,
    request: Request | None = None,
    num_workers: int = 0,
    is_segmented: bool = True,
) -> Iterator[Written]:
    """Render what is missing of the first `count` clips of a seed; yields each once it is on disk."""
    folder, request = Path(folder), request or Request()
    _claim(folder, request, seed, is_segmented)
    work = partial(_make, request, seed, folder, is_segmented)
    todo = missing(folder, count)
    yield from in_order(work, todo, min(num_workers, len(todo)))


def count_rejected(written: list[Written]) -> dict[str, int]:
    """How many scenes were thrown away in all, by reason."""
    total: Counter[str] = Counter()
    for one in written:
        total.update(one.rejected)
    return dict(total.most_common())
