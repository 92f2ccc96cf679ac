"""What the picture of a video that forms costs: the same video with and without it, in turn, in one process.

python benchmarks/preview.py [--model M] [--pairs 7] [--steps N] [--seconds S]

Pictures are drawn, shrunk and written as a worker of `khayal serve` does it. It prints the seconds of each
video from the prompt to its last frame, and the ratio of their sums. On a CPU that others use too, seconds
of the processor say more than those of the clock: both ratios are printed, and that of the processor judged;
on another device the clock is. More than 1.03 ends it with an error.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import khayal
from khayal.server.worker import show

MOST = 1.03


def seconds_of(studio: khayal.Studio, folder: Path | None, **settings: Any) -> tuple[float, float, int]:
    """What a video takes by the clock and of the processor, and how many pictures of it were drawn."""
    count = 0

    def on_picture(picture: Any) -> None:
        nonlocal count
        count += 1
        show(folder / "preview.webp", picture)

    request = khayal.tasks.GenerateRequest(prompt="a red ball bounces on the grass", seed=0, **settings)
    started, worked = time.perf_counter(), time.process_time()
    clip = studio.run(request, on_picture=None if folder is None else on_picture)
    for _ in clip:
        pass
    return time.perf_counter() - started, time.process_time() - worked, count


def main() -> int:
    """Take turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seconds", type=float)
    given = parser.parse_args()
    studio = khayal.open(given.model)
    make = partial(seconds_of, studio, steps=given.steps, seconds=given.seconds)
    make(None)  # loads, and warms up
    with TemporaryDirectory() as folder:
        make(Path(folder))
        without: list[tuple[float, float]] = []
        with_pictures: list[tuple[float, float]] = []
        for number in range(given.pairs):
            turns = [(None, without), (Path(folder), with_pictures)]
            for where, times in turns if number % 2 else turns[::-1]:
                clock, processor, count = make(where)
                times.append((clock, processor))
                if where is not None:
                    num_pictures = count
            before, after = without[-1], with_pictures[-1]
            print(f"{before[0]:7.2f} s without, {after[0]:7.2f} s with {num_pictures} pictures", end="; ")
            print(f"of the processor {before[1]:7.2f} s and {after[1]:7.2f} s")
    ratios = {}
    for index, name in enumerate(("clock", "processor")):
        pairs = [(one[index], other[index]) for one, other in zip(with_pictures, without, strict=True)]
        ratios[name] = sum(one for one, _ in pairs) / sum(other for _, other in pairs)
        middle = median(one / other for one, other in pairs)
        print(f"{name}: ratio of the sums {ratios[name]:.3f}, median of the pairs {middle:.3f}")
    return int(ratios["processor" if studio.device.type == "cpu" else "clock"] > MOST)


if __name__ == "__main__":
    sys.exit(main())
