"""A real server in a process of its own, as `khayal serve` starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

START_SECONDS = 180.0
JOB_SECONDS = 240.0


class Served:
    """Started at once; `stop` ends it and its workers.

    Args:
        checkpoint: the model.
        data: the data folder.
        options: further ones of the command.
        device: of the workers; None where the options say it.
    """

    def __init__(self, checkpoint: Path, data: Path, *options: str, device: str | None = "cpu") -> None:
        self.log = data.with_suffix(".log")
        command = [sys.executable, "-m", "khayal", "serve", "--port", "0"]
        command += [] if device is None else ["--device", device]
        command += ["--data", str(data), "--model", str(checkpoint), "--poll-ms", "100", *options]
        self._file = self.log.open("ab")
        begins = self.log.stat().st_size
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, stderr=self._file, env=environment)
        self.url = ""
        wait_for(lambda: self._listens(begins), START_SECONDS, "the server did not start")

    def _listens(self, begins: int) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        found = re.search(r"listens on (http://\S+)", self.log.read_bytes()[begins:].decode())
        self.url = found[1] if found else ""
        return bool(found)

    def workers(self) -> list[psutil.Process]:
        """The worker processes."""
        if self.process.poll() is not None:
            return []
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if "khayal.server.worker" in " ".join(child.cmdline())]

    def kill(self) -> None:
        """As the system does it when memory is short."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._file.close()

    def stop(self) -> None:
        """In order."""
        workers = self.workers()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
        self._file.close()
        _, alive = psutil.wait_procs(workers, timeout=30)
        assert not alive, "workers outlived their server"


def wait_for(is_so: Callable[[], Any], seconds: float, otherwise: str) -> Any:
    """Ask until it is so; what it said then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if said := is_so():
            return said
        time.sleep(0.05)
    raise AssertionError(otherwise)
