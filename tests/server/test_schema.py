"""What the OpenAPI document allows, and what it does not, as schemathesis sends it: nothing breaks."""

import os
import sys
import tempfile
from pathlib import Path

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode
from starlette.testclient import TestClient

from khayal.server.app import House, make_app
from khayal.server.config import Limits, ServerConfig
from khayal.server.folders import VIDEO

EXAMPLES = 8
"""Of each call and kind: all of them together take seconds. Whoever looks for more raises it."""

BOUNDED = settings(
    max_examples=EXAMPLES,
    derandomize=True,  # the same in every run: a failure is one of the change that it comes with
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


SENT = ("method", "url", "params", "headers", "json", "data", "files")


class Watch:
    """Notes what this process writes and whom it calls, while it is open."""

    def __init__(self):
        self.is_open = False
        self.written, self.called = set(), set()
        sys.addaudithook(self._note)  # it cannot be taken away again

    def _note(self, event, args):
        if not self.is_open:
            return
        if event == "open" and isinstance(args[0], str) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            self.written.add(args[0])
        elif event in ("os.rename", "os.link", "os.symlink"):
            self.written.add(str(args[1]))
        elif event == "os.mkdir":
            self.written.add(str(args[0]))
        elif event in ("socket.connect", "socket.getaddrinfo"):
            self.called.add(args[1] if event == "socket.connect" else args[0])


@pytest.fixture(scope="module")
def watch():
    return Watch()


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    limits = Limits(max_queued=10**6, requests_per_minute=10**8)
    config = ServerConfig(data=tmp_path_factory.mktemp("schema") / "data", limits=limits)
    config = ServerConfig(**{**config.__dict__, "fetch_hosts": ("*",)})
    house = House(config, has_workers=False)
    with TestClient(make_app(house), base_url="http://localhost", raise_server_exceptions=False) as opened:
        opened.house = house
        yield opened


@pytest.fixture(scope="module")
def known(client):
    """Ids of things that are there, since drawn ones would never be found."""
    store = client.house.desk.store
    video = client.post("/v1/videos", json={"prompt": "a"}).json()["id"]
    job, lease = store.claim("test")
    work = store.folder.work(job.id, lease.fence)
    work.mkdir()
    (work / VIDEO).write_bytes(b"video")
    assert store.publish(lease, work, {"size": [64, 48], "seconds": 4.0, "fps": 24.0, "num_frames": 96})
    return {"video_id": video, "job_id": video}


def calls(client):
    """Every call of the document."""
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    return [found.ok() for found in schema.get_all_operations()]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_breaks_the_server(client, known, watch, mode):
    data = client.house.folder.path
    watch.written.clear()
    num_asked = sum(send_all(client, known, watch, operation, mode) for operation in calls(client))
    assert num_asked > 100
    outside = {path for path in watch.written if not Path(os.path.realpath(path)).is_relative_to(data)}
    # a large upload lies in a file without a name, which is opened by its folder's
    assert outside - {tempfile.gettempdir(), "/dev/null"} == set()
    assert watch.called == set(), "nobody was asked for anything"


def send_all(client, known, watch, operation, mode):
    """Send what is drawn for one call; how many requests that were."""
    num_asked = 0

    @BOUNDED
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case):
        nonlocal num_asked
        num_asked += 1
        if num_asked % 2 and operation.method != "delete":  # every other time something that is there
            case.path_parameters = {**(case.path_parameters or {}), **known}
        given = case.as_transport_kwargs(base_url="http://localhost")
        sent = requests.Request(**{name: given.get(name) for name in SENT}).prepare()
        watch.is_open = True
        try:
            answer = client.request(sent.method, sent.url, headers=sent.headers, content=sent.body)
        finally:
            watch.is_open = False
        assert answer.status_code < 500, (sent.method, sent.url, sent.body, answer.text)
        if answer.status_code >= 400:
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}, sent.url
            assert str(client.house.folder.path) not in answer.text, "no place on the server is told"

    try:
        send()
    except Unsatisfiable:
        pass  # a call without parameters has none that are wrong
    except ValueError as error:
        # by chance schemathesis gives a file that it drew to its own validator, which takes none
        if "Unsupported type: 'Binary'" not in str(error):
            raise
    return num_asked
