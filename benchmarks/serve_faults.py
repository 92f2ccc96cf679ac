"""Kill -9 of worker and server at random moments over many jobs: none lost, none twice, no partial file.

python benchmarks/serve_faults.py --model CHECKPOINT --jobs 50 --kills 20

The model should be tiny (`tests/checkpoints.py` makes one). Kills fall evenly on worker and server,
each after a random time.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2
import psutil

from khayal.clip import Clip

PORT = 8765
URL = f"http://127.0.0.1:{PORT}/v1/khayal"


def main() -> None:
    """Serve, ask, kill, and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        server = serve(given.model, data)
        ids = [ask(number) for number in range(given.jobs)]
        started, published, kills = time.monotonic(), {}, {"worker": 0, "server": 0}
        for number in range(given.kills):
            until_running(ids)  # a worker that is still starting has nothing to lose
            time.sleep(chance.uniform(0.0, 2.0))
            note(ids, published)
            if number % 2:
                server.kill()
                server.wait()
                server = serve(given.model, data)
                kills["server"] += 1
            else:
                kills["worker"] += kill_worker(server)
        told = wait(ids, published)
        print(f"{given.jobs} jobs, killed {kills}, {time.monotonic() - started:.0f} s")
        print(
            "statuses:",
            {status: sum(job["status"] == status for job in told) for status in ("completed", "failed")},
        )
        print("most attempts:", max(job["attempts"] for job in told))
        print("whole files:", sum(is_whole(data, job) for job in told))
        print(
            "changed after they were given out:",
            sum(digest(data, one) != known for one, known in published.items()),
        )
        print(
            "left in work:",
            len(list((data / "work").iterdir())),
            "in inputs:",
            len(list((data / "inputs").iterdir())),
        )
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def serve(model: str, data: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "khayal",
        "serve",
        "--model",
        model,
        "--data",
        str(data),
        "--device",
        "cpu",
    ]
    log = data.with_suffix(".log").open("ab")
    server = subprocess.Popen(
        [*command, "--port", str(PORT)], stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    log.close()
    while True:
        assert server.poll() is None, data.with_suffix(".log").read_text()[-2000:]
        try:
            httpx2.get(f"http://127.0.0.1:{PORT}/health", trust_env=False)
            return server
        except httpx2.TransportError:
            time.sleep(0.1)


def ask(number: int) -> str:
    body = {
        "prompt": f"ball {number}",
        "seconds": 0.3,
        "size": [64, 48],
        "steps": 4,
        "guidance": 1,
        "seed": 1,
    }
    answer = httpx2.post(f"{URL}/generate", json=body, trust_env=False)
    answer.raise_for_status()
    return str(answer.json()["id"])


def job(job_id: str) -> dict[str, Any]:
    told: dict[str, Any] = httpx2.get(f"{URL}/jobs/{job_id}", trust_env=False, timeout=60).json()
    return told


def note(ids: list[str], published: dict[str, str]) -> None:
    """What has been given out by now, with what is in it."""
    for job_id in ids:
        told = job(job_id)
        if told["status"] == "completed":
            published.setdefault(job_id, told["result"]["sha256"])


def until_running(ids: list[str]) -> None:
    while (states := {job(job_id)["status"] for job_id in ids}) & {"queued", "running"}:
        if "running" in states:
            return
        time.sleep(0.1)


def kill_worker(server: subprocess.Popen[bytes]) -> int:
    found = psutil.Process(server.pid).children()
    for child in found:
        child.kill()
    return len(found)


def wait(ids: list[str], published: dict[str, str]) -> list[dict[str, Any]]:
    while True:
        told = [job(job_id) for job_id in ids]
        if all(one["status"] in ("completed", "failed") for one in told):
            note(ids, published)
            return told
        time.sleep(1)


def digest(data: Path, job_id: str) -> str:
    return hashlib.sha256((data / "results" / job_id / "video.mp4").read_bytes()).hexdigest()


def is_whole(data: Path, told: dict[str, Any]) -> bool:
    path = data / "results" / told["id"] / "video.mp4"
    return path.is_file() and len(Clip.open(path).frames) == told["result"]["num_frames"]


if __name__ == "__main__":
    main()
