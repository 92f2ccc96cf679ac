"""The workers of a server: started, woken, watched, and started again where they die."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from khayal.server.config import ServerConfig
from khayal.server.jobs import JobStore, LeaseWatch

log = logging.getLogger("khayal.server")

_LONGEST_PAUSE = 30.0
_ENDING_SECONDS = 5.0


class Pool:
    """One process for each device.

    Args:
        config: of the server.
        store: of the jobs.
        server_id: the beginning of the workers' names.
    """

    def __init__(self, config: ServerConfig, store: JobStore, server_id: str) -> None:
        self._config, self._store, self.server_id = config, store, server_id
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Take back what an earlier server's workers held, and start the new ones."""
        # a server's death is no fault of a job's, so that it is not counted as a try
        self._store.give_back_all(f"{self.server_id}/", "the server was ended", is_counted=False)
        for index, device in enumerate(self._config.devices):
            name = f"{self.server_id}/{index}/"  # so that none begins another
            self._run(self._keep, name, device)
        self._run(self._watch)

    def stop(self) -> None:
        """End the workers; what they had begun goes back into the queue, and is not counted as a try."""
        self._stopping.set()
        for process in list(self._processes.values()):
            _end(process)
        for thread in self._threads:
            thread.join()
        self._store.give_back_all(f"{self.server_id}/", "the server was ended", is_counted=False)

    def wake(self) -> None:
        """Tell the workers that there is a job."""
        for process in list(self._processes.values()):
            try:
                assert process.stdin is not None
                process.stdin.write(b"!")
                process.stdin.flush()
            except (OSError, ValueError):  # it is gone, and will be started again
                continue

    @property
    def num_alive(self) -> int:
        """How many workers run."""
        return sum(process.poll() is None for process in list(self._processes.values()))

    def pids(self) -> list[int]:
        """Of the workers that run."""
        return [process.pid for process in list(self._processes.values()) if process.poll() is None]

    def _run(self, target: Any, *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, name=f"pool {args[:1]}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _keep(self, name: str, device: str) -> None:
        """Keep one worker running; one that dies again and again is given time."""
        pause = 0.0
        while not self._stopping.wait(pause):
            started = time.monotonic()
            try:
                process = self._spawn(name, device)
            except OSError as error:  # too many processes, too little memory
                log.error("worker %s cannot be started: %s", name, error)
                pause = _LONGEST_PAUSE
                continue
            code = process.wait()
            if self._stopping.is_set():
                return
            log.warning("worker %s ended with %s", name, code)
            why = f"its worker was killed by signal {-code}" if code < 0 else f"its worker ended with {code}"
            try:
                self._store.give_back_all(name, why)
            except SQLAlchemyError as error:
                log.error("the jobs of worker %s cannot be given back yet: %s", name, error)
            lived = time.monotonic() - started
            pause = 0.1 if lived > _LONGEST_PAUSE else min(_LONGEST_PAUSE, max(0.1, 2 * pause))

    def _spawn(self, name: str, device: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "khayal.server.worker"], stdin=subprocess.PIPE, start_new_session=True
        )
        self._processes[name] = process
        config = self._config
        settings = {
            "name": name,
            "data": str(self._store.folder.path),
            "database": config.database_url,  # not on the command line: it may hold a password
            "models": config.models,
            "device": device,
            "dtype": config.dtype,
            "memory": config.memory,
            "lease_seconds": config.lease_seconds,
            "keep_seconds": config.keep_seconds,
            "mark": config.visible_mark,
            "moderation_url": config.policy.moderation_url,
        }
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(settings).encode() + b"\n")
            process.stdin.flush()
        except OSError:
            log.warning("worker %s did not start", name)
        if self._stopping.is_set():
            _end(process)
        return process

    def _watch(self) -> None:
        """Give back jobs whose holders are silent, and remove what has expired."""
        watch = LeaseWatch(self._config.lease_seconds)
        while not self._stopping.wait(self._config.lease_seconds / 6):
            try:
                for lease in watch.lapsed(self._store.running()):
                    log.warning("the holder of %s makes no sign of life", lease.job_id)
                    self._store.give_back(lease, "its worker made no sign of life")
                self._store.expire()
            except (SQLAlchemyError, OSError) as error:
                log.error("what is due cannot be done: %s", error)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close its stdin, which ends it; kill what does not heed that."""
    try:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(_ENDING_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        process.kill()
        process.wait()
