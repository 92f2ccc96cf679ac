"""The data folder: what lies where, and how nothing is left lying."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from khayal.errors import KhayalError

VIDEO, THUMBNAIL, SPRITESHEET = "video.mp4", "thumbnail.webp", "spritesheet.jpg"
_STEM_BYTES = 120
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,120}")


class DataFolder:
    """Everything that a server keeps.

    results/ID      a finished video with its thumbnail and its contact sheet, whole or not there
    work/ID.FENCE   what one holder of a job is making
    inputs/ID       what the user gave for a job; what its video looks like so far; its finished parts
    characters/ID   a character's clip
    files/ID        a file that was uploaded to be used later
    khayal.db       the jobs, unless they are in PostgreSQL

    Raises:
        KhayalError: the folder cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            for name in ("", "results", "work", "inputs", "characters", "files"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
            self.path.chmod(stat.S_IRWXU)  # prompts and videos are nobody else's business
        except OSError as error:
            raise KhayalError(
                f"The data folder {path} cannot be used",
                why=error.strerror or str(error),
                fix="give --data a folder that you can write to",
            ) from error
        self._lock: Any = None

    def result(self, job_id: str) -> Path:
        """The folder of a finished video."""
        return self.path / "results" / _checked(job_id)

    def work(self, job_id: str, fence: int) -> Path:
        """The folder of one attempt."""
        return self.path / "work" / f"{_checked(job_id)}.{fence}"

    def inputs(self, job_id: str) -> Path:
        """The folder of what the user gave."""
        return self.path / "inputs" / _checked(job_id)

    def preview(self, job_id: str) -> Path:
        """The picture of a video that forms; it goes with the inputs, when the job is over."""
        return self.inputs(job_id) / "preview.webp"

    def character(self, character_id: str) -> Path:
        """A character's clip."""
        return self.path / "characters" / f"{_checked(character_id)}.mp4"

    def upload(self, file_id: str, name: str) -> Path:
        """A file that was uploaded, written anew."""
        return self.path / "files" / f"{_checked(file_id)}{Path(name).suffix}"

    def lock(self) -> None:
        """Be the only server of this folder, until the process ends in whatever way.

        Raises:
            KhayalError: another server has it.
        """
        file = (self.path / "lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise KhayalError(
                f"Another server uses the data folder {self.path}",
                fix="end it first, or give --data another folder",
            ) from error
        self._lock = file

    def unlock(self) -> None:
        """Let another server have the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def server_id(self) -> str:
        """A name that this folder's servers share, one after another."""
        path = self.path / "server-id"
        if not path.exists():
            path.write_text(secrets.token_hex(6))
        return path.read_text().strip()

    def secret(self, name: str) -> str:
        """A random secret that is made once and that only this user can read."""
        path = self.path / name
        if not path.exists():
            part = path.with_suffix(".part")
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
            os.replace(part, path)
        return path.read_text().strip()

    def drop(self, *paths: Path) -> None:
        """Remove files and folders that may be gone already."""
        for path in paths:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def drop_strays(
        self,
        *,
        finished: Iterable[str],
        waiting: Iterable[str],
        characters: Iterable[str],
        uploads: Iterable[str] = (),
    ) -> None:
        """Remove what no job refers to: the remains of processes that were killed. Only under the lock."""
        kept = {
            "results": set(finished),
            "inputs": set(waiting),
            "work": set(),
            "characters": {f"{name}.mp4" for name in characters},
        }
        for folder, names in kept.items():
            self.drop(*(path for path in (self.path / folder).iterdir() if path.name not in names))
        known = set(uploads)
        self.drop(*(path for path in (self.path / "files").iterdir() if path.stem not in known))


def file_stem(title: str) -> str:
    """A file's name without its suffix, as near to what a client calls it as is safe."""
    stem = title.rsplit(".", 1)[0].replace("\\", "/").rpartition("/")[2]
    safe = "".join(letter if letter.isprintable() and letter != "." else "_" for letter in stem)
    return safe.encode()[:_STEM_BYTES].decode(errors="ignore").strip() or "upload"


def size_of(path: Path) -> int:
    """Bytes of a file or of everything in a folder; what vanishes meanwhile counts as nothing."""
    total = 0
    try:
        for entry in os.scandir(path):
            if entry.is_dir(follow_symlinks=False):
                total += size_of(Path(entry.path))
            else:
                total += entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return total
    except NotADirectoryError:
        return path.stat().st_size
    return total


def sync(folder: Path) -> None:
    """Write a folder and the files in it through to the disk, so that a rename never outruns them."""
    for path in (*folder.iterdir(), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _checked(name: str) -> str:
    """Names come from clients: none may lead out of its folder."""
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise KeyError(name)
    return name
