"""Clips from several processes, in their order: each process has its own renderer and its own scenes."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from khayal.errors import InputError, KhayalError

Result = TypeVar("Result")

WAITING_PER_WORKER = 2


def in_order(work: Callable[[int], Result], indices: range | list[int], num_workers: int) -> Iterator[Result]:
    """Yield `work(index)` for every index, in order, made by `num_workers` processes (0: by this one).

    At most two results for each worker wait to be taken, so that a slow reader holds the workers back.
    """
    if num_workers < 0:
        raise InputError(f"There cannot be {num_workers} workers", fix="choose 0 or more")
    if num_workers == 0:
        yield from map(work, indices)
        return
    # A fresh interpreter for each: an OpenGL context, like torch's threads, does not survive a fork.
    context = multiprocessing.get_context("spawn")
    # Ctrl-C is for this process alone: the workers finish their clip and are then told to stop.
    pool = ProcessPoolExecutor(
        max_workers=num_workers,
        mp_context=context,
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )
    waiting: deque[Future[Result]] = deque()
    try:
        for index in indices:
            waiting.append(pool.submit(work, index))
            if len(waiting) >= WAITING_PER_WORKER * num_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise KhayalError(
            "A worker that renders clips has died",
            why="the machine may be short of memory",
            fix="run the same command again, with fewer workers",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
