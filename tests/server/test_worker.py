"""A worker in this process: what becomes of a job when its making fails, and when nobody waits for it."""

import errno
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from serving import wait_for

from khayal.errors import CapacityError, OutputError
from khayal.server import making
from khayal.server import worker as module
from khayal.server.folders import SPRITESHEET, VIDEO
from khayal.server.job import NewJob, new_id
from khayal.server.jobs import JobStore
from khayal.server.policy import Denied, Moderation, Unreachable
from khayal.server.worker import EXIT_BROKEN, EXIT_LEASE_LOST, Worker


class Ended(BaseException):
    """Instead of the end of the process."""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts workers of one data folder, whose videos are made by a function."""
    started = []

    def end(code):
        raise Ended(code)

    def start(make, **changes):
        settings = {"name": "w", "data": str(tmp_path / "data"), "database": f"sqlite:///{tmp_path / 'db'}"}
        settings |= {"models": [], "device": "cpu", "dtype": "auto", "memory": "auto", "mark": ""}
        settings |= {"lease_seconds": 30.0, "keep_seconds": None, "moderation_url": None}
        started.append(Worker(settings | changes))
        monkeypatch.setattr(making, "make", make)
        monkeypatch.setattr(Worker, "_open", lambda self, model: None)
        monkeypatch.setattr(module.os, "_exit", end)
        return started[-1]

    yield start
    for worker in started:
        worker.database.close()


def ask(worker):
    job_id = new_id("video")
    worker.folder.inputs(job_id).mkdir()
    request = {"task": "generate", "fields": {"prompt": "a"}}
    new = {"id": job_id, "owner": "me", "api": "videos", "task": "generate", "model": "", "prompt": "a"}
    return worker.store.submit(NewJob(**new, request=request)).id


def do(worker):
    """The next job to its end; what the worker's process ended with, or None."""
    try:
        worker._do(*worker.store.claim(worker.name))
    except Ended as ended:
        return ended.args[0]


def made(studio, request, inputs, out, **how):
    (out / VIDEO).write_bytes(b"video")
    (out / SPRITESHEET).write_bytes(b"sheet")
    return {"size": [64, 48], "seconds": 4.0, "fps": 24.0, "num_frames": 96}


def failing(error):
    def make(studio, request, inputs, out, **how):
        (out / VIDEO).write_bytes(b"half")
        raise error

    return make


def no_space():
    error = OutputError("it could not be written to the end")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "storage_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "storage_full"),
        (no_space(), "storage_full"),
        (MemoryError(), "out_of_memory"),
        (CapacityError("There is not enough memory for this video"), "out_of_memory"),
    ],
)
def test_a_full_disk_and_a_full_memory_fail_a_job_and_leave_nothing(start, error, code):
    worker = start(failing(error))
    job_id = ask(worker)
    assert do(worker) is None, "the worker goes on"
    job = worker.store.find(job_id)
    assert (job.status, job.error_code) == ("failed", code)
    assert [os.listdir(worker.folder.path / name) for name in ("work", "inputs", "results")] == [[], [], []]
    making.make = made
    again = ask(worker)
    assert do(worker) is None
    assert worker.store.find(again).status == "completed"


def test_what_nobody_foresaw_is_tried_again_by_a_fresh_process(start):
    worker = start(failing(RuntimeError("CUDA error")))
    job_id = ask(worker)
    assert [do(worker) for _ in range(3)] == [EXIT_BROKEN] * 3
    job = worker.store.find(job_id)
    assert (job.status, job.error_code) == ("failed", "worker_lost")


def test_a_worker_whose_lease_is_lost_ends_and_publishes_nothing(start, monkeypatch):
    ended = []

    def slow(studio, request, inputs, out, **how):
        other = JobStore(worker.database, worker.folder)
        (held,) = other.running()
        other.give_back(module.Lease(job_id=held.id, fence=held.fence), "it made no sign of life")
        wait_for(lambda: ended, 30, "it went on")
        out.mkdir(exist_ok=True)
        return made(studio, request, inputs, out)

    worker = start(slow, lease_seconds=0.3)
    monkeypatch.setattr(module.os, "_exit", ended.append)
    job_id = ask(worker)
    do(worker)
    assert ended[0] == EXIT_LEASE_LOST
    assert worker.store.find(job_id).status == "queued"
    assert os.listdir(worker.folder.path / "results") == []


@pytest.fixture
def moderation():
    """An endpoint that flags what has “red” in it, and every picture whose bytes say so."""
    heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            told = json.loads(self.rfile.read(int(self.headers["content-length"])))["input"]
            heard.append(told)
            texts = [one if isinstance(one, str) else one["image_url"]["url"] for one in told]
            flagged = [{"flagged": "red" in text or text.endswith("cmVk")} for text in texts]
            body = json.dumps({"results": flagged}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    server.heard, server.url = heard, f"http://127.0.0.1:{server.server_port}/v1/moderations"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_words_are_looked_at_before_and_frames_afterwards(start, moderation):
    asked = Moderation(moderation.url)
    asked.check_text("a blue ball", "")
    assert moderation.heard == [["a blue ball"]]
    with pytest.raises(Denied):
        asked.check_text("a blue ball", "and a red one")

    def bad(studio, request, inputs, out, **how):
        result = made(studio, request, inputs, out)
        (out / SPRITESHEET).write_bytes(b"red")
        return result

    worker = start(bad, moderation_url=moderation.url)
    job_id = ask(worker)
    assert do(worker) is None
    job = worker.store.find(job_id)
    assert (job.status, job.error_code) == ("failed", "content_policy_violation")
    assert moderation.heard[-1][0]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert os.listdir(worker.folder.path / "results") == [], "what was denied is nowhere"
    making.make = made
    shown = ask(worker)
    do(worker)
    assert worker.store.find(shown).status == "completed"


def test_frames_that_nobody_looked_at_are_not_shown(start):
    worker = start(made, moderation_url="http://127.0.0.1:9/none")
    job_id = ask(worker)
    do(worker)
    assert worker.store.find(job_id).error_code == "moderation_unavailable"
    with pytest.raises(Unreachable):
        Moderation("http://127.0.0.1:9/none").check_text("a")
