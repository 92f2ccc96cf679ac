"""What is killed in the middle: no video is lost, none is given out twice, and no half file is left."""

import os
import signal

import httpx2
import pytest
from serving import JOB_SECONDS, Served, wait_for

from khayal.clip import Clip
from khayal.server.folders import VIDEO

QUICK = {"seconds": 0.3, "size": [64, 48], "steps": 4, "guidance": 1, "seed": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("faults") / "data"


@pytest.fixture
def serve(tiny_checkpoint, data, postgres_url):
    """Starts servers of one data folder, one after another, whose jobs are in PostgreSQL."""
    started = []

    def start():
        database = postgres_url.format(name="postgres")
        started.append(Served(tiny_checkpoint("ti2v"), data, "--database", database))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.stop()


def call(server, method, path, **given):
    answer = httpx2.request(method, f"{server.url}/v1{path}", timeout=60, trust_env=False, **given)
    answer.raise_for_status()
    return answer.json()


def test_workers_and_servers_may_be_killed_at_any_moment(serve, data):
    server = serve()
    ids = [
        call(server, "POST", "/khayal/generate", json={"prompt": f"ball {n}", **QUICK})["id"]
        for n in range(4)
    ]

    def job(job_id):
        return call(server, "GET", f"/khayal/jobs/{job_id}")

    # a worker, in the middle of a video
    wait_for(lambda: job(ids[0])["stage"] is not None, JOB_SECONDS, "nothing began")
    (worker,) = server.workers()
    worker.send_signal(signal.SIGKILL)
    wait_for(lambda: job(ids[1])["status"] == "completed", JOB_SECONDS, "it did not go on")
    assert job(ids[0])["attempts"] in (1, 2)

    # the server, while the next is being made; its worker goes with it
    workers = server.workers()
    server.kill()
    for orphan in workers:
        orphan.wait(30)
    (data / "work" / "video_stray.1").mkdir()
    server = serve()
    for job_id in ids:
        wait_for(lambda job_id=job_id: job(job_id)["completed_at"], JOB_SECONDS, "it was lost")
    told = [job(job_id) for job_id in ids]
    assert [one["status"] for one in told] == ["completed"] * 4, told
    for job_id in ids:
        assert Clip.open(data / "results" / job_id / VIDEO).frames.shape == (7, 48, 64, 3)
    assert sorted(os.listdir(data / "results")) == sorted(ids)
    assert os.listdir(data / "work") == []
    assert os.listdir(data / "inputs") == []
    server.stop()
