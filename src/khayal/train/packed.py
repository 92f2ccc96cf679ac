"""What `khayal data pack` wrote, as a source: batches of one size and length."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from khayal.data.captions import Passage
from khayal.data.files import read_json
from khayal.data.shards import MANIFEST, SCHEMA, entries
from khayal.data.texts import TextStore
from khayal.errors import InputError
from khayal.train.config import TrainConfig
from khayal.train.recipe import Stage
from khayal.train.source import LatentBatch, Reading

_ORDER = 29


class PackedLatents:
    """The latent shards of a folder: a Source of LatentBatch.

    In an epoch, every bucket gives its samples in an order of their own, in as many batches as hold all of
    them, the last one filled from the beginning; the batches of all buckets are mixed. So every sample
    comes at least once in an epoch, and a batch has one shape.

    Raises:
        InputError: there are no shards in the folder.
    """

    def __init__(self, folder: Path) -> None:
        manifest = folder / MANIFEST
        if not manifest.is_file():
            raise InputError(
                f"“{folder}” holds no packed data", fix="make it: khayal data pack DIR --out SHARDS"
            )
        content = read_json(manifest)
        if content.get("schema") != SCHEMA:
            raise InputError(f"“{folder}” holds no packed data", why=f"it holds {content.get('schema')}")
        self.autoencoder = str(content["autoencoder"])
        self.texts = TextStore(folder=folder / "text")
        self._buckets = [samples for _, samples in sorted(entries(folder).items())]
        if not self._buckets:
            raise InputError(
                f"There are no shards in “{folder}”", fix="run the same khayal data pack to its end"
            )

    def __len__(self) -> int:
        return sum(map(len, self._buckets))

    def batches(self, reading: Reading) -> Iterator[LatentBatch]:
        """See `Source`."""
        order = _Order([len(bucket) for bucket in self._buckets], reading.seed, reading.batch_size)
        for step in itertools.count(reading.start):
            bucket, samples = order[step]
            yield self._batch(bucket, [samples[row] for row in reading.rows])

    def _batch(self, bucket: int, samples: list[int]) -> LatentBatch:
        found = [self._buckets[bucket][sample] for sample in samples]
        told = [entry.told() for entry in found]
        still_columns = tuple(told[0]["still_columns"])

        def stacked(name: str) -> torch.Tensor:
            return torch.from_numpy(np.stack([entry.array(name) for entry in found])).float()

        return LatentBatch(
            latents=stacked("latents"),
            stills=stacked("stills") if still_columns else None,
            still_columns=still_columns,
            passages=tuple(tuple(Passage(**passage) for passage in one["passages"]) for one in told),
            frames_per_column=tuple(told[0]["frames_per_column"]),
            autoencoder=self.autoencoder,
            texts=self.texts,
        )


class _Order:
    """Which samples of which bucket a step reads: a function of the seed, the step and the batch size."""

    def __init__(self, sizes: list[int], seed: int, batch_size: int) -> None:
        self._sizes, self._seed, self._batch_size = sizes, seed, batch_size
        batches = [(bucket, k) for bucket, size in enumerate(sizes) for k in range(-(-size // batch_size))]
        self._batches = np.array(batches)
        self._epoch = -1

    def __getitem__(self, step: int) -> tuple[int, list[int]]:
        epoch, within = divmod(step, len(self._batches))
        if epoch != self._epoch:
            self._epoch = epoch
            self._mixed = np.random.default_rng([self._seed, epoch, _ORDER]).permutation(self._batches)
            self._orders = [
                np.random.default_rng([self._seed, epoch, _ORDER, bucket]).permutation(size)
                for bucket, size in enumerate(self._sizes)
            ]
        bucket, batch = self._mixed[within].tolist()
        order = self._orders[bucket]
        places = range(batch * self._batch_size, (batch + 1) * self._batch_size)
        return bucket, [int(order[place % len(order)]) for place in places]


def read_from(stage: Stage, folder: Path) -> Stage:
    """The same stage, reading packed data.

    Raises:
        InputError: the stage trains nothing.
    """
    if not isinstance(stage, TrainConfig):
        raise InputError(
            "This stage reads no packed data", fix="leave --data out, or name a stage that trains"
        )
    return replace(stage, source=partial(PackedLatents, folder))


def no_data() -> PackedLatents:
    """The source of a recipe that brings no data of its own.

    Raises:
        InputError: always.
    """
    raise InputError("This recipe brings no data", fix="add --data SHARDS, made by khayal data pack")
