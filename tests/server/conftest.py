"""Databases of both kinds; servers without workers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

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
