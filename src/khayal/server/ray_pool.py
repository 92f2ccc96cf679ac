"""Ray as the pool: a worker on each GPU of a cluster, and one on each machine that has none.

Ray starts workers, finds room for them and tells of their end; nothing else. The queue, leases and fences are
those of one machine, so that all machines need the same database and the same data folder.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from khayal.errors import InputError, KhayalError, MissingExtraError
from khayal.server.config import ServerConfig
from khayal.server.jobs import JobStore
from khayal.server.pool import Pool

log = logging.getLogger("khayal.server")


class RemoteWorker:
    """A worker inside of a process of Ray's. It ends with the server, whose connection owns it.

    Args:
        settings: what a worker is told.
        server_id: what the data folder says of itself, if it is the server's.
    """

    def __init__(self, settings: dict[str, Any], server_id: str) -> None:
        self._settings, self._server_id = settings, server_id
        self._woken = threading.Event()

    def where(self) -> tuple[str, int]:
        """The machine and the process."""
        return os.uname().nodename, os.getpid()

    def wake(self) -> None:
        """There is a job."""
        self._woken.set()

    def run(self) -> str:
        """Work for as long as all is well, then say what is not."""
        from sqlalchemy.exc import SQLAlchemyError

        from khayal.server.worker import Worker

        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
        marker = Path(self._settings["data"]) / "server-id"
        if not marker.is_file() or marker.read_text().strip() != self._server_id:
            return f"does not see the server's data folder {marker.parent}: it has to be the same everywhere"
        try:
            worker = Worker(self._settings)
            worker.woken = self._woken
            worker.run()
        except (SQLAlchemyError, KhayalError) as error:
            return f"ended: {error}"
        raise AssertionError("a worker never ends by itself")


class RayRunner:
    """A worker that Ray runs.

    Args:
        ray: the library, connected.
        name: of the worker.
        actor: Ray's handle.
    """

    def __init__(self, ray: Any, name: str, actor: Any) -> None:
        self._ray, self._name, self._actor = ray, name, actor
        self._pid: int | None = None
        self._end = actor.run.remote()

    @property
    def pid(self) -> int | None:
        """Of the process, on whatever machine, while it runs."""
        return self._pid

    def wake(self) -> None:
        """Tell it that there is a job."""
        self._actor.wake.remote()

    def wait(self) -> str:
        """Until it has ended; what became of it. Ray may first wait for room."""
        try:
            machine, self._pid = self._ray.get(self._actor.where.remote())
            log.info("worker %s runs on %s as process %d", self._name, machine, self._pid)
            return str(self._ray.get(self._end))
        except self._ray.exceptions.RayError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            return f"was lost: {lines[-1] if lines else type(error).__name__}"[:500]
        finally:
            self._pid = None
            self.end()

    def end(self) -> None:
        """End it, now."""
        self._ray.kill(self._actor, no_restart=True)


class RayPool(Pool):
    """The interface of `Pool`; its places are the GPUs and the machines of a cluster, as they come and go.

    Args:
        config: of the server; `ray_address` names the cluster.
        store: of the jobs.
        server_id: the beginning of the workers' names.

    Raises:
        MissingExtraError: Ray is not installed.
        KhayalError: the cluster cannot be reached, or its machines cannot see the server's jobs.
    """

    def __init__(self, config: ServerConfig, store: JobStore, server_id: str) -> None:
        super().__init__(config, store, server_id)
        assert config.ray_address is not None
        if config.devices != ("auto",):
            raise InputError("--device and --ray were given", fix="leave --device out: Ray knows its devices")
        self._ray = _connected(config.ray_address)
        self._shares_database = not config.database_url.startswith("sqlite")
        self._told: set[str] = set()
        if self._strangers():
            self._ray.shutdown()
            raise KhayalError(
                "SQLite cannot be used by workers on other machines",
                why=f"the cluster at {config.ray_address} has some",
                fix="give --database postgresql://…, and --data a folder that all of them see",
            )

    def stop(self) -> None:
        """End the workers, and leave the cluster as it was."""
        super().stop()
        self._ray.shutdown()

    def places(self) -> dict[str, str]:
        """Each GPU of the cluster, and each machine that has none."""
        found: dict[str, str] = {}
        try:
            nodes = self._nodes()
        except (self._ray.exceptions.RayError, RuntimeError) as error:
            log.error("the Ray cluster does not answer: %s", error)
            return self._places
        for node in nodes:
            resources, short = node["Resources"], node["NodeID"][:12]
            if not self._shares_database and not self._is_here(node):
                if short not in self._told:
                    log.error("the machine %s is not used: SQLite is for one machine", node["NodeName"])
                self._told.add(short)
            elif num_gpus := int(resources.get("GPU", 0)):
                found |= {f"{short}-{index}": "cuda" for index in range(num_gpus)}
            elif resources.get("CPU", 0) >= 1:
                found[short] = "cpu"
        return found

    def begin(self, place: str, settings: Mapping[str, Any]) -> RayRunner:
        """Ask Ray for a worker at one of the places."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        node = next((one for one in self._nodes() if one["NodeID"][:12] == place[:12]), None)
        if node is None:
            raise ProcessLookupError("its machine is gone")
        is_gpu = settings["device"] == "cuda"
        actor = self._ray.remote(RemoteWorker).options(
            # all cores of a machine without a GPU: Ray tells torch how many threads to take by that
            num_cpus=0 if is_gpu else int(node["Resources"]["CPU"]),
            num_gpus=1 if is_gpu else 0,
            max_concurrency=4,  # it is asked and woken while it works
            max_restarts=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        )
        started = actor.remote(dict(settings), self.server_id)
        return RayRunner(self._ray, settings["name"], started)

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _is_here(self, node: Mapping[str, Any]) -> bool:
        here = self._ray.get_runtime_context().get_node_id()
        own = next(one for one in self._ray.nodes() if one["NodeID"] == here)
        return bool(node["NodeManagerAddress"] == own["NodeManagerAddress"])

    def _strangers(self) -> bool:
        """True where there are machines that cannot see the database."""
        return not self._shares_database and not all(self._is_here(node) for node in self._nodes())


def _connected(address: str) -> Any:
    """The library, connected to a cluster as one of its machines."""
    if address.startswith("ray://"):
        raise InputError(
            f"The server cannot use Ray through {address}",
            why="it has to be on a machine of the cluster, whose data folder it shares",
            fix="give the address of the cluster itself, such as --ray auto or --ray HOST:6379",
        )
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("Ray cannot be used", extra="ray") from error
    try:
        ray.init(address=address, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise KhayalError(
            f"The Ray cluster at {address} cannot be used",
            why=str(error).splitlines()[0],
            fix="start it with “ray start --head”, with the same Ray and Python everywhere",
        ) from error
    return ray
