"""A worker: a process of its own that takes jobs from the queue and makes them on one device.

python -m khayal.server.worker, with its settings as one line of JSON on stdin. A byte on stdin wakes it;
the end of stdin means that the server is gone, and the worker goes too.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import sys
import threading
import time
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from khayal.errors import Cancelled, CapacityError, CheckpointError, InputError, KhayalError, OutputError
from khayal.server.cards import card_of, write_card
from khayal.server.database import Database
from khayal.server.folders import SPRITESHEET, DataFolder
from khayal.server.job import Job, Lease
from khayal.server.jobs import JobStore
from khayal.server.policy import Denied, Moderation, Unreachable

if TYPE_CHECKING:
    import numpy as np

    from khayal.studio import Progress, Studio

log = logging.getLogger("khayal.worker")

EXIT_LEASE_LOST, EXIT_BROKEN, EXIT_DATABASE = 3, 4, 5
_LOOK_SECONDS = 1.0
_TELL_SECONDS = 0.25
_PREVIEW_WIDTH = 480
_DECODE_SHARE = 0.2  # of a video's progress; the rest is denoising
_CODES = ((CapacityError, "out_of_memory"), (CheckpointError, "model_error"), (InputError, "invalid_input"))


class LeaseLost(Exception):  # noqa: N818 - it is not a failure
    """Another holder has the job by now."""


class Worker:
    """Takes one job after another.

    Args:
        settings: what `khayal.server.pool` sends: name, data, database, models, device, dtype, memory,
            lease_seconds, keep_seconds, mark, moderation_url.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.name: str = settings["name"]
        self.folder = DataFolder(Path(settings["data"]))
        self.database = Database(settings["database"])
        self.store = JobStore(self.database, self.folder, keep_seconds=settings["keep_seconds"])
        self.moderation = Moderation(settings["moderation_url"])
        self.woken = threading.Event()
        self._studio: tuple[str, Studio] | None = None

    def run(self) -> None:
        """Work until the process is ended."""
        self._write_cards()
        while True:
            claimed = self.store.claim(self.name)
            if claimed is None:
                self.woken.wait(_LOOK_SECONDS)
                self.woken.clear()
                continue
            self._do(*claimed)

    def _do(self, job: Job, lease: Lease) -> None:
        """One job to its end: published, failed, or given back with this process."""
        work = self.folder.work(lease.job_id, lease.fence)
        started = time.monotonic()
        try:
            with _Heart(self.store, lease, self.settings["lease_seconds"]):
                work.mkdir()
                result = self._make(job, lease, work)
            if not self.store.publish(lease, work, result):  # cancelled in the last moment, or another's
                self.store.fail(lease, "cancelled", "The video was cancelled.")
            log.info("%s done in %.1f s", job.id, time.monotonic() - started)
        except Cancelled:
            self.store.fail(lease, "cancelled", "The video was cancelled.")
        except Denied as error:
            self.store.fail(lease, "content_policy_violation", str(error))
        except Unreachable as error:
            self.store.fail(lease, "moderation_unavailable", str(error))
        except KhayalError as error:
            self.store.fail(lease, code_of(error), self._without_places(str(error), job))
        except LeaseLost:
            os._exit(EXIT_LEASE_LOST)
        except MemoryError:
            self.store.fail(lease, "out_of_memory", "The server has too little memory for this video.")
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                self._give_up(lease, error)
            self.store.fail(lease, "storage_full", "There is no space left on the server's disk.")
        except Exception as error:  # noqa: BLE001 - whatever it was, the device may be in any state
            self._give_up(lease, error)
        finally:
            self.folder.drop(work)

    def _make(self, job: Job, lease: Lease, work: Path) -> dict[str, Any]:
        from khayal.server.making import make

        kept = self.folder.inputs(job.id) / "kept"
        kept.mkdir(parents=True, exist_ok=True)
        result = make(
            self._open(job.model),
            job.request,
            self.folder.inputs(job.id),
            work,
            on_step=_Teller(self.store, lease),
            on_picture=partial(show, self.folder.preview(job.id)),
            keep=kept,
            mark=self.settings["mark"],
        )
        self.moderation.check_picture(work / SPRITESHEET)
        return result

    def _without_places(self, sentence: str, job: Job) -> str:
        """Where the server keeps its files is nobody's business."""
        inputs, data = (re.escape(f"{place}/") for place in (self.folder.inputs(job.id), self.folder.path))
        return re.sub(rf"{inputs}(media-\d+/)?|{data}", "", sentence)

    def _give_up(self, lease: Lease, error: Exception) -> None:
        """An error that nobody foresaw: the job is tried again, by a fresh process."""
        log.error("%s broke:\n%s", lease.job_id, "".join(traceback.format_exception(error)))
        self.store.give_back(lease, f"it ended with {type(error).__name__}")
        os._exit(EXIT_BROKEN)

    def _open(self, model: str) -> Studio:
        """The studio of a model; the last one is kept."""
        import khayal

        if self._studio is None or self._studio[0] != model:
            self._studio = None  # before the next one takes its memory
            how = {name: self.settings[name] for name in ("device", "dtype", "memory")}
            self._studio = (model, khayal.open(model or None, **how))
        return self._studio[1]

    def _write_cards(self) -> None:
        """What each model can do, or why it cannot be opened."""
        for model in self.settings["models"]:
            try:
                card = card_of(self._open(model).checkpoint)
            except KhayalError as error:
                card = {"problem": str(error)}
            write_card(self.database, model, card)


def show(path: Path, picture: np.ndarray) -> None:
    """Write what a video looks like so far, whole by a rename; a disk that is full costs no video."""
    from PIL import Image

    from khayal import images

    part = path.with_suffix(".part")
    try:
        Image.fromarray(images.shrink(picture, _PREVIEW_WIDTH)).save(part, "WEBP", quality=80, method=0)
        part.replace(path)
    except OSError as error:
        log.warning("the preview could not be written: %s", error.strerror)
        part.unlink(missing_ok=True)


class _Teller:
    """Writes each denoising step into the job's row, and decoded frames a few times a second."""

    def __init__(self, store: JobStore, lease: Lease) -> None:
        self._store, self._lease = store, lease
        self._told_at = float("-inf")
        self._parts = {"text": 0.0, "denoise": 0.0, "decode": 0.0}  # a long video turns from one to another

    def __call__(self, progress: Progress) -> None:
        self._parts[progress.stage] = progress.step / max(1, progress.num_steps)
        is_fine = progress.stage == "decode" and progress.step < progress.num_steps
        if is_fine and time.monotonic() - self._told_at < _TELL_SECONDS:
            return
        self._told_at = time.monotonic()
        done = (1 - _DECODE_SHARE) * self._parts["denoise"] + _DECODE_SHARE * self._parts["decode"]
        percent = min(99, int(100 * done))
        stage, step, num_steps = progress.stage, progress.step, progress.num_steps
        answer = self._store.step(self._lease, stage, step, num_steps, progress=percent)
        if answer == "cancelled":
            raise Cancelled
        if answer == "lost":
            raise LeaseLost


class _Heart:
    """Renews a lease as long as the work lasts. Where it is lost, or cannot be renewed, the process ends."""

    def __init__(self, store: JobStore, lease: Lease, lease_seconds: float) -> None:
        self._store, self._lease, self._lease_seconds = store, lease, lease_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _beat(self) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        renewed_at = time.monotonic()
        while not self._stopped.wait(self._lease_seconds / 6):
            try:
                is_held = self._store.renew(self._lease)
            except SQLAlchemyError as error:
                log.warning("the lease of %s cannot be renewed: %s", self._lease.job_id, error)
                is_held = time.monotonic() - renewed_at < self._lease_seconds
            else:
                renewed_at = time.monotonic()
            if not is_held and not self._stopped.is_set():
                log.warning("the lease of %s is lost", self._lease.job_id)
                os._exit(EXIT_LEASE_LOST)


def code_of(error: KhayalError) -> str:
    """The word for an error in the API."""
    if isinstance(error, OutputError):
        cause = error.__cause__
        is_full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
        return "storage_full" if is_full else "storage_error"
    return next((code for kind, code in _CODES if isinstance(error, kind)), "generation_failed")


def main() -> None:
    """Run a worker as its own process."""
    from sqlalchemy.exc import SQLAlchemyError

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    stdin = sys.stdin.buffer
    settings = json.loads(stdin.readline())
    woken = threading.Event()
    threading.Thread(target=_listen, args=(stdin, woken), daemon=True).start()
    try:
        worker = Worker(settings)
        worker.woken = woken
        worker.run()
    except (SQLAlchemyError, KhayalError) as error:
        log.error("%s ends: %s", settings["name"], error)
        os._exit(EXIT_DATABASE)


def _listen(stdin: Any, woken: threading.Event) -> None:
    while stdin.read(1):
        woken.set()
    os._exit(0)  # at once: what is half done is of no use to anybody


if __name__ == "__main__":
    main()
