"""A Ray cluster as the pool: a real one, of this machine alone."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import httpx2
import psutil
import pytest
from serving import JOB_SECONDS, START_SECONDS, Served, wait_for

from khayal.clip import Clip
from khayal.errors import InputError, KhayalError
from khayal.server.app import House
from khayal.server.config import ServerConfig
from khayal.server.folders import VIDEO
from khayal.server.ray_pool import RemoteWorker

QUICK = {"seconds": 0.3, "size": [64, 48], "steps": 4, "guidance": 1, "seed": 1}


@pytest.fixture(scope="module")
def cluster():
    """The address of a cluster that has one core."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'khayal[ray]'")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:  # pytest's are too long for a socket's name
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=1"]
        command += ["--node-ip-address=127.0.0.1", f"--port={port}", f"--temp-dir={folder}"]
        command += ["--include-dashboard=false", f"--object-store-memory={80 << 20}", "--disable-usage-stats"]
        log = Path(folder) / "log"
        with log.open("wb") as file, pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_AUTH_MODE", "disabled")  # or it would write a token into the user's home
            head = subprocess.Popen(command, stdout=file, stderr=file)
            try:
                wait_for(lambda: "ray status" in log.read_text(), START_SECONDS, "Ray did not start")
                yield f"127.0.0.1:{port}"
            finally:
                started = psutil.Process(head.pid).children(recursive=True)
                head.terminate()
                head.wait(60)
                for one in psutil.wait_procs(started, timeout=20)[1]:
                    one.kill()


def call(server, method, path, **given):
    answer = httpx2.request(method, f"{server.url}/v1/khayal{path}", timeout=60, trust_env=False, **given)
    answer.raise_for_status()
    return answer.json()


def workers(server):
    """The processes of all workers that were started so far."""
    return [int(pid) for pid in re.findall(r"as process (\d+)", server.log.read_text())]


def test_videos_are_made_by_a_cluster_whose_workers_and_servers_may_die(cluster, tiny_checkpoint, tmp_path):
    server = Served(tiny_checkpoint("ti2v"), tmp_path / "data", "--ray", cluster, device=None)
    try:
        ids = [call(server, "POST", "/generate", json={"prompt": f"ball {n}", **QUICK})["id"] for n in "ab"]

        def job(job_id):
            return call(server, "GET", f"/jobs/{job_id}")

        wait_for(lambda: job(ids[0])["stage"] is not None, JOB_SECONDS, "nothing began")
        (first,) = workers(server)
        assert "RemoteWorker" in psutil.Process(first).cmdline()[0]
        os.kill(first, signal.SIGKILL)
        for job_id in ids:
            wait_for(lambda job_id=job_id: job(job_id)["completed_at"], JOB_SECONDS, "it was lost")
            assert job(job_id)["status"] == "completed"
            assert Clip.open(tmp_path / "data" / "results" / job_id / VIDEO).frames.shape == (7, 48, 64, 3)
        assert max(job(job_id)["attempts"] for job_id in ids) == 2, "the one that was being made ran again"
        _, second = workers(server)
        server.kill()
        wait_for(lambda: not psutil.pid_exists(second), JOB_SECONDS, "a worker outlived its server")
    finally:
        server.stop()


class FakeRay:
    """A library that knows some machines; the first of them is this one."""

    def __init__(self, *nodes):
        self._nodes = [
            {"NodeID": f"{number:032d}", "Alive": True, "NodeName": address, "NodeManagerAddress": address}
            | {"Resources": resources}
            for number, (address, resources) in enumerate(nodes)
        ]
        self.is_open = True

    def nodes(self):
        return self._nodes

    def get_runtime_context(self):
        return self

    def get_node_id(self):
        return self._nodes[0]["NodeID"]

    def shutdown(self):
        self.is_open = False


MACHINES = (("10.0.0.1", {"CPU": 8.0}), ("10.0.0.2", {"CPU": 8.0, "GPU": 2.0}), ("10.0.0.3", {"memory": 1.0}))


def test_each_gpu_is_a_place_and_each_machine_without_one(monkeypatch, tmp_path, postgres_url):
    ray = FakeRay(*MACHINES)
    monkeypatch.setattr("khayal.server.ray_pool._connected", lambda address: ray)
    database = postgres_url.format(name="postgres")
    house = House(ServerConfig(data=tmp_path / "data", ray_address="auto", database=database))
    pool = house.pool
    assert pool.places() == {"0" * 12: "cpu", "0" * 12 + "-0": "cuda", "0" * 12 + "-1": "cuda"}
    ray.nodes()[1]["Alive"] = False
    assert pool.places() == {"0" * 12: "cpu"}
    house.folder.unlock()
    house.database.close()


def test_sqlite_is_for_one_machine(monkeypatch, tmp_path):
    ray = FakeRay(*MACHINES)
    monkeypatch.setattr("khayal.server.ray_pool._connected", lambda address: ray)
    config = ServerConfig(data=tmp_path / "data", ray_address="auto")
    with pytest.raises(KhayalError, match="SQLite cannot be used by workers on other machines"):
        House(config)
    assert not ray.is_open
    alone = FakeRay(MACHINES[0])
    monkeypatch.setattr("khayal.server.ray_pool._connected", lambda address: alone)
    house = House(config)  # the folder was left unlocked
    alone.nodes().append({**ray.nodes()[1], "NodeManagerAddress": "10.0.0.2"})
    assert set(house.pool.places()) == {"0" * 12}, "a machine that comes later is not used"
    house.folder.unlock()
    house.database.close()


def test_what_cannot_be_a_cluster_is_refused_in_a_sentence(tmp_path):
    config = ServerConfig(data=tmp_path / "data", ray_address="ray://127.0.0.1:10001")
    with pytest.raises(InputError, match="has to be on a machine of the cluster"):
        House(config)
    with pytest.raises(InputError, match="--device and --ray"):
        House(replace(config, devices=("cpu",)))


def test_a_worker_elsewhere_says_that_it_does_not_see_the_data(tmp_path):
    """Two folders of the same name on two machines are not the same folder."""
    (tmp_path / "server-id").write_text("another")
    for data in (tmp_path, tmp_path / "none"):
        told = RemoteWorker({"data": str(data)}, "this").run()
        assert told.startswith("does not see the server's data folder")
        assert not (tmp_path / "none").exists()
