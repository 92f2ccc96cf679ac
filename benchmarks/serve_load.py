"""500 clients ask a server for their videos' status every 5 s, list and download, while jobs run.

python benchmarks/serve_load.py --model CHECKPOINT --clients 500 --seconds 60

It starts a server of its own on this machine, with one worker, and asks nothing of any other. The model
should be tiny (`tests/checkpoints.py` makes one). It prints the number of answers by their status, the 50th
and 99th percentile of their times, and the share of a core that the server took; it fails where a goal is
missed.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import random
import sys
import tempfile
import time
from pathlib import Path

import httpx2
import psutil

from serve_faults import Server

P99_MS, CORES = 100.0, 0.2
_PAUSE_SECONDS = 5.0

Told = list[tuple[str, int, float]]


async def client(http: httpx2.AsyncClient, ids: list[str], end: float, told: Told) -> None:
    """One of the clients: a status every 5 s, now and then a list or a download."""
    await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))
    while time.monotonic() < end:
        video_id = random.choice(ids)
        await ask(http, "status", f"/v1/videos/{video_id}", told)
        if random.random() < 0.05:
            await ask(http, "list", "/v1/videos?limit=20", told)
        if random.random() < 0.02:
            await ask(http, "download", f"/v1/videos/{video_id}/content", told)
        await asyncio.sleep(_PAUSE_SECONDS)


async def ask(http: httpx2.AsyncClient, kind: str, path: str, told: Told) -> None:
    started = time.perf_counter()
    try:
        status = (await http.get(path)).status_code
    except httpx2.TransportError:
        status = 0  # no answer at all
    told.append((kind, status, time.perf_counter() - started))


async def load(given: argparse.Namespace, server: Server) -> tuple[Told, float, float]:
    """Make some jobs, then let the clients ask; what they were told, the server's cores, the worker's."""
    limits = httpx2.Limits(
        max_connections=given.clients, max_keepalive_connections=given.clients, keepalive_expiry=20
    )
    told: Told = []
    async with httpx2.AsyncClient(base_url=server.url, timeout=60, limits=limits, trust_env=False) as http:
        while (await http.get("/health")).json()["status"] != "ready":
            await asyncio.sleep(0.2)
        ids = []
        for number in range(given.jobs):
            body = {"prompt": f"ball {number}", "seconds": "1", "size": "64x48", "num_inference_steps": 4}
            answer = await http.post("/v1/videos", json=body)
            answer.raise_for_status()
            ids.append(answer.json()["id"])
        processes = (psutil.Process(server.process.pid), *server.workers())
        before, started = [sum(one.cpu_times()[:2]) for one in processes], time.monotonic()
        end = started + given.seconds
        await asyncio.gather(*(client(http, ids, end, told) for _ in range(given.clients)))
        took = time.monotonic() - started
        after = [sum(one.cpu_times()[:2]) for one in processes]
        counts = collections.Counter([(await http.get(f"/v1/videos/{one}")).json()["status"] for one in ids])
    print(f"{len(told)} answers in {took:.0f} s; afterwards the videos are {dict(counts)}")
    asked, making = ((now - then) / took for now, then in zip(after, before, strict=True))
    return told, asked, making


def main() -> None:
    """Serve, ask, and say whether the goals are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--jobs", type=int, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        server = Server(given.model, Path(name) / "data")
        try:
            told, cores, making = asyncio.run(load(given, server))
        finally:
            server.stop()
    counts = collections.Counter((kind, status) for kind, status, _ in told)
    for kind in ("status", "list", "download"):
        times = sorted(seconds * 1000 for one, _, seconds in told if one == kind)
        if times:
            middle, late = times[len(times) // 2], times[int(len(times) * 0.99)]
            answers = {status: count for (one, status), count in sorted(counts.items()) if one == kind}
            print(f"{kind}: {answers}, p50 {middle:.1f} ms, p99 {late:.1f} ms, most {times[-1]:.1f} ms")
    print(f"the server took {cores:.3f} of a core, the worker beside it {making:.2f}")
    statuses = sorted(seconds * 1000 for kind, _, seconds in told if kind == "status")
    is_met = {
        "no 5xx, and an answer to each": not any(status >= 500 or not status for _, status in counts),
        f"p99 ≤ {P99_MS:g} ms": statuses[int(len(statuses) * 0.99)] <= P99_MS,
        f"≤ {CORES:g} of a core": cores <= CORES,
    }
    print(*(f"{goal}: {'met' if is_so else 'MISSED'}" for goal, is_so in is_met.items()), sep="\n")
    sys.exit(not all(is_met.values()))


if __name__ == "__main__":
    main()
