"""Kill -9 of worker and server at random moments over many jobs: none lost, none twice, no partial file.

python benchmarks/serve_faults.py --model CHECKPOINT --jobs 50 --kills 20

It starts servers of its own, one after another, on this machine. The model should be tiny
(`tests/checkpoints.py` makes one). Kills fall evenly on worker and server, each after a random time, while
something is being made. What was given out is compared with what lies there in the end, and with every event
that was told to a receiver. It fails where anything is lost, given out twice or broken off.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx2
import psutil

from khayal.clip import Clip

_HELD = "khayal.server.worker"


class Server:
    """`khayal serve` on a port that is free.

    Args:
        model: the checkpoint.
        data: its folder; its log lies beside it.
        options: further ones of the command.
    """

    def __init__(self, model: str, data: Path, *options: str) -> None:
        path = data.with_suffix(".log")
        command = [sys.executable, "-m", "khayal", "serve", "--model", model, "--data", str(data)]
        with path.open("ab") as log:
            begins = log.tell()
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            command += ["--device", "cpu", "--port", "0", *options]
            self.process = subprocess.Popen(command, stderr=log, env=environment)
        found = None
        while found is None:
            assert self.process.poll() is None, path.read_text()[-2000:]
            found = re.search(r"listens on (http://\S+)", path.read_bytes()[begins:].decode())
            time.sleep(0.05)
        self.url = found[1]

    def workers(self) -> list[psutil.Process]:
        """The processes of its workers."""
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if _HELD in " ".join(child.cmdline())]

    def stop(self) -> None:
        """In order."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


class Receiver:
    """Hears the events, and counts them for each video."""

    def __init__(self) -> None:
        heard = self.heard = collections.defaultdict[str, set[str]](set)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["content-length"])))
                heard[event["data"]["id"]].add(
                    event["id"]
                )  # told again under the same id until it is received
                self.send_response(200)
                self.end_headers()

            def log_message(self, *words: object) -> None:
                return

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()


def main() -> None:
    """Serve, ask, kill, and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    receiver = Receiver()
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        server = Server(given.model, data, "--webhook", receiver.url)
        ids = [ask(server, number) for number in range(given.jobs)]
        started, published, kills = time.monotonic(), {}, {"worker": 0, "server": 0}
        for number in range(given.kills):
            until_running(server, ids)  # a worker that is still starting has nothing to lose
            time.sleep(chance.uniform(0.0, 2.0))
            note(server, ids, published)
            if number % 2:
                server.process.kill()
                server.process.wait()
                server = Server(given.model, data, "--webhook", receiver.url)
                kills["server"] += 1
            else:
                kills["worker"] += kill_workers(server)
        told = wait(server, ids, published)
        wait_for_events(receiver, ids)
        server.stop()
        problems = judged(data, told, published, receiver)
        print(f"{given.jobs} jobs, killed {kills}, {time.monotonic() - started:.0f} s")
        print("statuses:", dict(collections.Counter(job["status"] for job in told)))
        print("attempts:", dict(sorted(collections.Counter(job["attempts"] for job in told).items())))
        print(
            "known before the last kill:",
            len(published),
            "events heard:",
            sum(map(len, receiver.heard.values())),
        )
    print(*(f"{what}: {count}" for what, count in problems.items()), sep="\n")
    sys.exit(any(problems.values()))


def judged(
    data: Path, told: list[dict[str, Any]], published: dict[str, str], receiver: Receiver
) -> dict[str, int]:
    """How often what must not be was."""
    done = {job["id"]: job for job in told if job["status"] == "completed"}
    lost = [job["error"]["code"] for job in told if job["status"] == "failed"]
    return {
        "lost": len(told) - len(done) - lost.count("worker_lost"),
        "given up after three tries": lost.count("worker_lost"),
        "not whole": sum(not is_whole(data, job) for job in done.values()),
        "changed after it was given out": sum(digest(data, one) != known for one, known in published.items()),
        "told of more than once": sum(len(events) != 1 for events in receiver.heard.values()),
        "left lying": sum(
            path.name not in done
            for folder in ("results", "work", "inputs")
            for path in (data / folder).iterdir()
        ),
    }


def ask(server: Server, number: int) -> str:
    body = {
        "prompt": f"ball {number}",
        "seconds": 0.3,
        "size": [64, 48],
        "steps": 4,
        "guidance": 1,
        "seed": 1,
    }
    answer = httpx2.post(f"{server.url}/v1/khayal/generate", json=body, trust_env=False, timeout=60)
    answer.raise_for_status()
    return str(answer.json()["id"])


def job(server: Server, job_id: str) -> dict[str, Any]:
    answer = httpx2.get(f"{server.url}/v1/khayal/jobs/{job_id}", trust_env=False, timeout=60)
    told: dict[str, Any] = answer.json()
    return told


def note(server: Server, ids: list[str], published: dict[str, str]) -> None:
    """What has been given out by now, with what is in it."""
    for job_id in ids:
        if job_id not in published and (told := job(server, job_id))["status"] == "completed":
            published[job_id] = told["result"]["sha256"]


def until_running(server: Server, ids: list[str]) -> None:
    while (states := {job(server, job_id)["status"] for job_id in ids}) & {"queued", "running"}:
        if "running" in states:
            return
        time.sleep(0.1)


def kill_workers(server: Server) -> int:
    found = server.workers()
    for worker in found:
        worker.kill()
    return len(found)


def wait(server: Server, ids: list[str], published: dict[str, str]) -> list[dict[str, Any]]:
    while True:
        told = [job(server, job_id) for job_id in ids]
        if all(one["status"] in ("completed", "failed") for one in told):
            return told
        time.sleep(1)


def wait_for_events(receiver: Receiver, ids: list[str]) -> None:
    """They are told after the row is written, some of them by the next server."""
    end = time.monotonic() + 120
    while len(receiver.heard) < len(ids) and time.monotonic() < end:
        time.sleep(0.5)


def digest(data: Path, job_id: str) -> str:
    return hashlib.sha256((data / "results" / job_id / "video.mp4").read_bytes()).hexdigest()


def is_whole(data: Path, told: dict[str, Any]) -> bool:
    path = data / "results" / told["id"] / "video.mp4"
    return path.is_file() and len(Clip.open(path).frames) == told["result"]["num_frames"]


if __name__ == "__main__":
    main()
