"""500 clients ask a server for their videos' status every 5 s, list and download, while jobs run.

python benchmarks/serve_load.py --url http://127.0.0.1:8000 --pid PID --clients 500 --seconds 60

Start the server with `khayal serve` first; PID is its process, whose CPU time is read at both ends.
It prints the number of requests, statuses, and the 50th and 99th percentile of status calls.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import random
import time

import httpx2
import psutil


async def client(
    http: httpx2.AsyncClient, ids: list[str], end: float, told: list[tuple[str, int, float]]
) -> None:
    """One of the clients: a status every 5 s, now and then a list or a download."""
    await asyncio.sleep(random.uniform(0, 5))
    while time.monotonic() < end:
        video_id = random.choice(ids)
        await ask(http, "status", f"/v1/videos/{video_id}", told)
        if random.random() < 0.05:
            await ask(http, "list", "/v1/videos?limit=20", told)
        if random.random() < 0.02:
            await ask(http, "download", f"/v1/videos/{video_id}/content", told)
        await asyncio.sleep(5)


async def ask(http: httpx2.AsyncClient, kind: str, path: str, told: list[tuple[str, int, float]]) -> None:
    started = time.perf_counter()
    answer = await http.get(path)
    told.append((kind, answer.status_code, time.perf_counter() - started))


async def main() -> None:
    """Make some jobs, then let the clients ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--jobs", type=int, default=40)
    given = parser.parse_args()
    limits = httpx2.Limits(max_connections=given.clients)
    told: list[tuple[str, int, float]] = []
    async with httpx2.AsyncClient(base_url=given.url, timeout=60, limits=limits, trust_env=False) as http:
        ids = []
        for number in range(given.jobs):
            body = {"prompt": f"ball {number}", "seconds": "1", "size": "64x48", "num_inference_steps": 4}
            ids.append((await http.post("/v1/videos", json=body)).json()["id"])
        process = psutil.Process(given.pid)
        before, started = sum(process.cpu_times()[:2]), time.monotonic()
        end = started + given.seconds
        await asyncio.gather(*(client(http, ids, end, told) for _ in range(given.clients)))
        took = time.monotonic() - started
        cores = (sum(process.cpu_times()[:2]) - before) / took
    statuses = collections.Counter((kind, status) for kind, status, _ in told)
    times = sorted(seconds * 1000 for kind, _, seconds in told if kind == "status")
    print(f"{len(told)} requests in {took:.0f} s: {dict(statuses)}")
    print(f"status p50 {times[len(times) // 2]:.1f} ms, p99 {times[int(len(times) * 0.99)]:.1f} ms")
    print(f"the server took {cores:.2f} of a core")


if __name__ == "__main__":
    asyncio.run(main())
