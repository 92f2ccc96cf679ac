"""Finished windows of a long video, kept beside the result until it is complete."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

from khayal.errors import InputError, OutputError
from khayal.tasks import Request

_RECORD = "request.json"


class Unfinished:
    """The folder OUT.parts of one run: what was asked for, and the canvases that are finished.

    Args:
        out: the path of the result.
    """

    def __init__(self, out: str | Path) -> None:
        self.folder = Path(f"{str(out).rstrip('/')}.parts")

    @property
    def seed(self) -> int | None:
        """The seed of the run that was interrupted, or None where there is none."""
        record = self._record()
        return None if record is None else record.get("seed")

    def begin(self, request: Request, model: str) -> Path:
        """Make the folder, or find that it is of the same run.

        Raises:
            InputError: it is of another run.
            OutputError: it cannot be made.
        """
        told = _told(request, model)
        record = self._record()
        if record is not None and record != told:
            changed = [name for name in told if record.get(name) != told[name]]
            raise InputError(
                f"{self.folder} is of another run",
                why=f"it differs in {', '.join(changed) or 'its version'}",
                fix="give the same command as before, choose another --out, or remove that folder",
            )
        try:
            self.folder.mkdir(exist_ok=record is not None)
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be made", why=error.strerror or str(error)) from error
        (self.folder / _RECORD).write_text(json.dumps(told, ensure_ascii=False, indent=1), encoding="utf-8")
        return self.folder

    def end(self) -> None:
        """The video is complete: nothing is kept."""
        shutil.rmtree(self.folder)

    def _record(self) -> dict[str, Any] | None:
        try:
            record = json.loads((self.folder / _RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) else None


def _told(request: Request, model: str) -> dict[str, Any]:
    """A request as JSON keeps it, and the state of the files that it names."""
    told = {one.name: repr(getattr(request, one.name)) for one in fields(request) if one.name != "seed"}
    files = {}
    for medium in request.media:
        state = Path(medium.given).stat()
        files[str(medium.given)] = [state.st_size, state.st_mtime_ns]
    return {"task": request.task, "model": model, "seed": request.seed, "files": files, **told}
