"""How many clips a second the world renders, and where the time goes.

    python benchmarks/world.py                      # 48 frames of 128×128 on two processes
    python benchmarks/world.py --workers 16 --count 160

Clips a second are those of all processes together, after one warm-up clip each; "segmented" adds the pass of
64×64 that counts visible pixels.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from khayal.world import Request, stream
from khayal.world.workers import WAITING_PER_WORKER


def rate(request: Request, count: int, workers: int, *, is_segmented: bool) -> float:
    """Clips a second through `stream`; start-up of the workers is left out."""
    warm = 2 * workers
    clips = stream(1, count=count + warm, request=request, num_workers=workers, is_segmented=is_segmented)
    for _ in range(warm):
        next(clips)
    begin = time.perf_counter()
    made = sum(1 for _ in clips)
    # Some clips may have been ready when the clock was started; leave as many out as there can be.
    return (made - WAITING_PER_WORKER * workers) / (time.perf_counter() - begin)


def stages(request: Request, count: int) -> dict[str, float]:
    """Seconds a clip spends in each stage, in this process alone."""
    from khayal.world.clips import segment_size, tell
    from khayal.world.record import record
    from khayal.world.render import renderer
    from khayal.world.theatre import take

    spent: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        spent[name] = spent.get(name, 0.0) + (time.perf_counter() - begin) / count

    artist = renderer()
    for index in range(count):
        with timed("draw, simulate, film, check"):
            taken = take(request, 1, index)
        scene, cast, views = taken.performance.scene, taken.performance.cast, taken.views
        with timed("render"):
            artist.draw(cast, views, scene.size, setting=scene.setting, light=scene.light, sun=scene.sun)
        with timed("segment"):
            seen = artist.segment(cast, views, segment_size(scene.size), setting=scene.setting)
        with timed("truth"):
            truth = record(taken, seen)
        with timed("captions"):
            tell(truth)
    return spent


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--side", type=int, default=128)
    given = parser.parse_args()
    request = Request(seconds=given.seconds, size=(given.side, given.side))
    from khayal.world.render import renderer

    print(
        f"{renderer().name}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {given.workers} processes"
    )
    print(f"{request.num_frames} frames of {given.side}×{given.side}")
    for dial in (1, 3, 5):
        chosen = replace(request, dial=dial)
        for is_segmented in (False, True):
            speed = rate(chosen, given.count, given.workers, is_segmented=is_segmented)
            print(f"dial {dial}, {'segmented' if is_segmented else 'frames only'}: {speed:.2f} clips/s")
    for name, seconds in stages(request, min(given.count, 20)).items():
        print(f"  {name}: {seconds * 1000:.0f} ms a clip")


if __name__ == "__main__":
    main()
