"""Processes that decode and cut files while this one encodes; files come in their order."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

from khayal.data.cutting import Cut, Cutting, cut
from khayal.data.folder import Media, Skipped
from khayal.errors import InputError

Job = tuple[Media, frozenset[int]]
"""A file, and which of its windows are not wanted."""


def cut_all(jobs: Sequence[Job], cutting: Cutting, num_workers: int) -> Iterator[tuple[Media, Iterator[Cut]]]:
    """Every file with its windows, which have to be taken before the next file is.

    File k is worker k mod `num_workers`'s, which holds one window until it is taken: a long video holds the
    others back, and nothing piles up. A worker that a file kills is replaced, and the file left out.

    Args:
        num_workers: 0 to decode in this process.
    """
    if num_workers < 0:
        raise InputError(f"There cannot be {num_workers} workers", fix="choose 0 or more")
    if num_workers == 0:
        for media, done in jobs:
            yield media, cut(media, cutting, done)
        return
    workers = [_Worker(cutting) for _ in range(min(num_workers, len(jobs)))]
    try:
        for worker, job in zip(workers, jobs, strict=False):
            worker.give(job)
        for number, (media, _) in enumerate(jobs):
            worker = workers[number % len(workers)]
            yield media, worker.take(media)
            following = number + len(workers)
            if following < len(jobs):
                worker.give(jobs[following])
    finally:
        for worker in workers:
            worker.stop()


class _Worker:
    """One process, which is made when it is first needed, and again when it has died."""

    def __init__(self, cutting: Cutting) -> None:
        self._cutting = cutting
        self._process: Any = None
        self._connection: Connection | None = None

    def give(self, job: Job) -> None:
        if self._connection is None:
            context = multiprocessing.get_context(
                "spawn"
            )  # decoders and torch keep threads: none survive a fork
            self._connection, there = context.Pipe()
            self._process = context.Process(target=_work, args=(there, self._cutting), daemon=True)
            self._process.start()
            there.close()
        self._connection.send(job)

    def take(self, media: Media) -> Iterator[Cut]:
        assert self._connection is not None, "what is taken was given"
        try:
            while (item := self._connection.recv()) is not None:
                yield item
        except (EOFError, OSError):
            self._process.join()
            why = f"its decoder died with exit code {self._process.exitcode}"
            self.stop()
            yield Skipped(name=media.name, why="it cannot be read", detail=why)

    def stop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._process.terminate()
            self._process.join()
            self._connection = None


def _work(connection: Connection, cutting: Cutting) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that asks
    logging.disable(logging.WARNING)  # what is broken is told in the report
    while True:
        try:
            media, done = connection.recv()
            for item in cut(media, cutting, done):
                connection.send(item)
            connection.send(None)
        except (EOFError, OSError):
            return
