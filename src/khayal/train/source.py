"""How a trainer reads batches: by the number of the step, so that reading can begin anywhere."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, Num, UInt8
from torch import Tensor

from khayal.data.captions import Passage as Passage
from khayal.data.texts import TextStore

Batch = TypeVar("Batch")
BatchOut = TypeVar("BatchOut", covariant=True)

_NUM_PREPARED = 2


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Which samples are read.

    Attributes:
        seed: decides the order; another epoch has another one.
        batch_size: samples in a step, over all processes.
        rows: which of each batch are this process's.
        start: the step whose batch comes first.
    """

    seed: int
    batch_size: int
    rows: range
    start: int = 0


@runtime_checkable
class Source(Protocol[BatchOut]):
    """Where batches come from.

    The batch of a step depends on the seed, the batch size and the step alone, never on what was read
    before: that is all it takes to resume exactly. All samples of a batch have one shape.
    """

    def __len__(self) -> int:
        """Samples in an epoch."""
        ...

    def batches(self, reading: Reading) -> Iterator[BatchOut]:
        """This process's part of the batches of steps `start`, `start` + 1, …, without end."""
        ...


@dataclass(frozen=True, kw_only=True)
class FrameBatch:
    """Pixels for an autoencoder, as they are kept; `Compression` scales them to [-1, 1]."""

    frames: UInt8[Tensor, "b 3 f H W"]


@dataclass(frozen=True, kw_only=True)
class LatentBatch:
    """Encoded clips for a transformer, in the types in which they are kept.

    Attributes:
        latents: normalised latents of the clips.
        stills: latents of single frames of the same clips, or None.
        still_columns: the latent frame whose last frame each still shows.
        passages: the captions of each clip; the first one is of the whole clip.
        frames_per_column: pixel frames in each latent frame.
        focus: how much of each place shows what the clip is about, 0 to 1 or whole numbers up to 255; None
            where nobody said.
        autoencoder: the fingerprint of what made the latents; empty where it is known otherwise.
        texts: where the encoded captions are, for objectives whose text encoder is frozen.
    """

    latents: Float[Tensor, "b c t h w"]
    stills: Float[Tensor, "b c k h w"] | None
    still_columns: tuple[int, ...]
    passages: tuple[tuple[Passage, ...], ...]
    frames_per_column: tuple[int, ...]
    focus: Num[Tensor, "b t h w"] | None = None
    autoencoder: str = ""
    texts: TextStore | None = None


class Epochs:
    """An order without end: every sample once in each epoch, shuffled by the seed."""

    def __init__(self, num_samples: int, seed: int) -> None:
        assert num_samples > 0, "an empty source is refused where it is opened"
        self.num_samples, self.seed = num_samples, seed
        self._epoch = -1
        self._order: Int[np.ndarray, "n"] = np.empty(0, dtype=np.int64)

    def __getitem__(self, place: int) -> int:
        """The sample at a place; epochs follow one another."""
        epoch, within = divmod(place, self.num_samples)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self.seed, epoch, 17]).permutation(self.num_samples)
        return int(self._order[within])

    def batch(self, step: int, batch_size: int, rows: range) -> list[int]:
        """The samples of one process in one step."""
        return [self[step * batch_size + row] for row in rows]


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device; a GPU takes it while other work goes on, which memory that may move forbids."""
    if device.type == "cuda" and not tensor.is_cuda:
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


class Prepared(Generic[Batch]):
    """Batches made ready by a thread while the last one is being used; the order stays."""

    def __init__(self, batches: Iterator[Batch], num_prepared: int = _NUM_PREPARED) -> None:
        self._queue: queue.Queue[Batch | BaseException] = queue.Queue(num_prepared)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._fill, args=(batches,), daemon=True)
        self._thread.start()

    def _fill(self, batches: Iterator[Batch]) -> None:
        try:
            for batch in batches:
                if not self._put(batch):
                    return
        except BaseException as error:  # noqa: BLE001 - it is raised where the batch is asked for
            self._put(error)

    def _put(self, item: Batch | BaseException) -> bool:
        while not self._is_closed.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def __next__(self) -> Batch:
        item = self._queue.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def __iter__(self) -> Iterator[Batch]:
        return self

    def close(self) -> None:
        """Stop the thread."""
        self._is_closed.set()
        self._thread.join()
