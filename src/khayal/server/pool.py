"""The workers of a server: started, woken, watched, and started again where they die."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from sqlalchemy.exc import SQLAlchemyError

from khayal.server.config import ServerConfig
from khayal.server.jobs import ClockWatch, JobStore, LeaseWatch

log = logging.getLogger("khayal.server")

_LONGEST_PAUSE = 30.0
_ENDING_SECONDS = 5.0


@runtime_checkable
class Runner(Protocol):
    """A worker that was started, wherever it runs."""

    @property
    def pid(self) -> int | None:
        """Of its process, while it runs."""

    def wake(self) -> None:
        """Tell it that there is a job."""

    def wait(self) -> str:
        """Until it has ended; what became of it, to be said after “its worker”."""

    def end(self) -> None:
        """End it, now."""


class Process:
    """A worker on this machine. The end of its stdin ends it, and so does the end of the server.

    Args:
        settings: what a worker is told.

    Raises:
        OSError: too many processes, or too little memory.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "khayal.server.worker"], stdin=subprocess.PIPE, start_new_session=True
        )
        # not on the command line: the database's URL may hold a password
        self._write(json.dumps(settings).encode() + b"\n")

    @property
    def pid(self) -> int | None:
        """Of the process, while it runs."""
        return self._process.pid if self._process.poll() is None else None

    def wake(self) -> None:
        """Tell it that there is a job."""
        self._write(b"!")

    def wait(self) -> str:
        """Until it has ended; what became of it."""
        code = self._process.wait()
        return f"was killed by signal {-code}" if code < 0 else f"ended with {code}"

    def end(self) -> None:
        """Close its stdin, which ends it; kill what does not heed that."""
        try:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(_ENDING_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()

    def _write(self, told: bytes) -> None:
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(told)
            self._process.stdin.flush()
        except (OSError, ValueError):  # it is gone, and will be started again
            return


class Pool:
    """One worker for each place; here each device of this machine is one.

    Args:
        config: of the server.
        store: of the jobs.
        server_id: the beginning of the workers' names.
    """

    def __init__(self, config: ServerConfig, store: JobStore, server_id: str) -> None:
        self._config, self._store, self.server_id = config, store, server_id
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._places: dict[str, str] = {}
        self._runners: dict[str, Runner] = {}

    def take_back(self) -> None:
        """Put into the queue what workers hold; the end of a server counts as no try of a job's."""
        self._store.give_back_all(f"{self.server_id}/", "the server was ended", is_counted=False)

    def start(self) -> None:
        """Start the workers."""
        self._fill()
        self._run(self._watch)

    def stop(self) -> None:
        """End the workers; what they had begun goes back into the queue."""
        self._stopping.set()
        for runner in list(self._runners.values()):
            runner.end()
        for thread in self._threads:
            thread.join()
        self.take_back()

    def wake(self) -> None:
        """Tell the workers that there is a job."""
        for runner in list(self._runners.values()):
            runner.wake()

    @property
    def num_alive(self) -> int:
        """How many workers run."""
        return len(self.pids())

    def pids(self) -> list[int]:
        """Of the workers that run."""
        return [pid for runner in list(self._runners.values()) if (pid := runner.pid) is not None]

    def places(self) -> dict[str, str]:
        """Where a worker belongs: the name of each place, and its device."""
        return {str(index): device for index, device in enumerate(self._config.devices)}

    def begin(self, place: str, settings: Mapping[str, Any]) -> Runner:
        """Start a worker.

        Raises:
            OSError: it cannot be started now.
        """
        return Process(settings)

    def _fill(self) -> None:
        """Begin to keep a worker at each place that is new."""
        before, self._places = self._places, self.places()
        for place in self._places.keys() - before.keys():
            self._run(self._keep, place)

    def _run(self, target: Any, *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, name=f"pool {args[:1]}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _keep(self, place: str) -> None:
        """Keep a place's worker running; one that dies again and again is given time."""
        name = f"{self.server_id}/{place}/"  # so that none begins another
        pause = 0.0
        while not self._stopping.wait(pause) and place in self._places:
            started = time.monotonic()
            try:
                runner = self.begin(place, self._settings(name, self._places[place]))
            except OSError as error:
                log.error("worker %s cannot be started: %s", name, error)
                pause = _LONGEST_PAUSE
                continue
            self._runners[place] = runner
            if self._stopping.is_set():  # `stop` may have looked before it was there
                runner.end()
            end = runner.wait()
            if self._stopping.is_set():
                return
            log.warning("worker %s %s", name, end)
            try:
                self._store.give_back_all(name, f"its worker {end}")
            except SQLAlchemyError as error:
                log.error("the jobs of worker %s cannot be given back yet: %s", name, error)
            lived = time.monotonic() - started
            pause = 0.1 if lived > _LONGEST_PAUSE else min(_LONGEST_PAUSE, max(0.1, 2 * pause))
        self._runners.pop(place, None)

    def _settings(self, name: str, device: str) -> dict[str, Any]:
        """What a worker is told."""
        config = self._config
        return {
            "name": name,
            "data": str(self._store.folder.path),
            "database": config.database_url,
            "models": config.models,
            "device": device,
            "dtype": config.dtype,
            "memory": config.memory,
            "lease_seconds": config.lease_seconds,
            "keep_seconds": config.keep_seconds,
            "mark": config.visible_mark,
            "moderation_url": config.policy.moderation_url,
        }

    def _watch(self) -> None:
        """Give back jobs whose holders are silent, remove what has expired, see what places there are."""
        watch, times = LeaseWatch(self._config.lease_seconds), ClockWatch()
        while not self._stopping.wait(self._config.lease_seconds / 6):
            try:
                for lease in watch.lapsed(self._store.running()):
                    log.warning("the holder of %s makes no sign of life", lease.job_id)
                    self._store.give_back(lease, "its worker made no sign of life")
                if times.is_steady():
                    self._store.expire()
            except (SQLAlchemyError, OSError) as error:
                log.error("what is due cannot be done: %s", error)
            self._fill()
