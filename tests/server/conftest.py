"""Databases of both kinds; servers without workers; a browser with a page to visit."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can say `import postgres`

import postgres

from khayal.server.app import House, make_app
from khayal.server.config import ServerConfig
from khayal.server.database import Database
from khayal.server.folders import DataFolder


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A running PostgreSQL."""
    if postgres.programs() is None:
        pytest.skip("PostgreSQL is not installed: make system")
    with postgres.server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'khayal.db'}"
    import sqlalchemy as sa

    url: str = request.getfixturevalue("postgres_url")
    name = f"test_{abs(hash(tmp_path))}"
    engine = sa.create_engine(url.format(name="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return url.format(name=name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The same, open."""
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """An empty data folder."""
    return DataFolder(tmp_path / "data")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """Starts a server in this process without workers, with changes to its configuration."""
    opened: list[TestClient] = []

    def start(**changes: object) -> TestClient:
        config = ServerConfig(data=tmp_path / f"data-{len(opened)}")
        house = House(replace(config, **changes), has_workers=False)
        client = TestClient(make_app(house), base_url="http://localhost", raise_server_exceptions=False)
        client.__enter__()
        client.house = house
        opened.append(client)
        return client

    yield start
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(start: Callable[..., TestClient]) -> TestClient:
    """One as it is by default."""
    return start()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Of this module only: Playwright keeps a loop running, which others may not want beside them."""
    browsing = pytest.importorskip("browsing")
    if browsing.chromium() is None:
        pytest.skip("Chromium is not installed: make system")
    with browsing.browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def served(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A model of khayal's own kind that makes a second of noise in a moment."""
    import serving
    from browsing import get

    import untrained

    folder = tmp_path_factory.mktemp("page")
    untrained.make_untrained(folder / "model")
    settings = json.loads((folder / "model" / "khayal.json").read_text())
    settings |= {"size": [64, 64], "seconds": 1, "steps": 4}
    (folder / "model" / "khayal.json").write_text(json.dumps(settings))
    server = serving.Served(folder / "model", folder / "data")
    is_ready = lambda: get(server, "/health")["status"] == "ready"  # noqa: E731
    serving.wait_for(is_ready, serving.JOB_SECONDS, "no model was opened")
    yield server
    server.stop()


@pytest.fixture
def visit(browser: Any, served: Any) -> Iterator[Any]:
    """Opens pages, all of which have to stay clean."""
    from browsing import Visit

    opened: list[Visit] = []

    def visit(**context: Any) -> Visit:
        opened.append(Visit(browser, served.url, **context))
        return opened[-1]

    yield visit
    wrong = [one for each in opened for one in each.wrong]
    for each in opened:
        each.close()
    assert wrong == []


@pytest.fixture(scope="module")
def ball(served: Any) -> Any:
    """A finished video."""
    from browsing import ask, finished

    return finished(served, ask(served, "generate", prompt="a red ball", seed=7))
