"""Ctrl-C while modules are imported: nothing is begun, so the process ends there and then."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPED = 130
"""The exit code after Ctrl-C, as shells count it."""

# what `khayal.cli.app` says after Ctrl-C, written out because nothing can be imported in the handler
_SENTENCE = "Stopped on request."
_OBJECT = f'{{"error": {{"kind": "Cancelled", "message": "{_SENTENCE}", "exit_code": {STOPPED}}}}}'


@contextmanager
def ends_at_once(*, as_json: bool) -> Iterator[None]:
    """Around imports. An exception thrown into half-imported C++ modules can end in anything.

    Args:
        as_json: True to say it as one JSON object.
    """

    def end(signum: int, frame: FrameType | None) -> None:
        os.write(2, f"{_OBJECT if as_json else _SENTENCE}\n".encode())
        os._exit(STOPPED)

    before = signal.getsignal(signal.SIGINT)
    # a server's own handler stays, and so does the deafness of a job in the background
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
