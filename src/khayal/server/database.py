"""The tables of a server, in SQLite or PostgreSQL, and the two ways to open a transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from khayal.errors import KhayalError

SCHEMA_VERSION = 1
_BUSY_MS = 15_000

metadata = sa.MetaData()
_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite counts up only in INTEGER keys

about = sa.Table("about", metadata, sa.Column("version", sa.Integer, primary_key=True))

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    sa.Column("owner", sa.String(64), nullable=False, index=True),
    sa.Column("once", sa.String(255)),  # the client's own name for a request that it may send twice
    sa.Column("api", sa.String(16), nullable=False),
    sa.Column("task", sa.String(32), nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("prompt", sa.Text, nullable=False),
    sa.Column("size", sa.String(16)),
    sa.Column("seconds", sa.Double),
    sa.Column("parent", sa.String(64)),
    sa.Column("request", sa.JSON, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("is_cancelled", sa.Boolean, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("beat", sa.BigInteger, nullable=False),
    sa.Column("worker", sa.String(128)),
    sa.Column("stage", sa.String(16)),
    sa.Column("step", sa.Integer),
    sa.Column("num_steps", sa.Integer),
    sa.Column("progress", sa.Integer, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("started_at", sa.Double),
    sa.Column("completed_at", sa.Double),
    sa.Column("expires_at", sa.Double, index=True),
    sa.Column("is_expired", sa.Boolean, nullable=False),
    sa.Column("error_code", sa.String(64)),
    sa.Column("error_message", sa.Text),
    sa.Column("result", sa.JSON),
    sa.Column("num_bytes", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("owner", "once"),
    sa.Index("jobs_by_status", "status", "number"),
)

characters = sa.Table(
    "characters",
    metadata,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("name", sa.String(80), nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("num_bytes", sa.BigInteger, nullable=False),
)

uploads = sa.Table(
    "uploads",
    metadata,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    sa.Column("owner", sa.String(64), nullable=False, index=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("purpose", sa.String(32), nullable=False),
    sa.Column("given", sa.JSON, nullable=False),  # what it turned out to be: khayal.server.decoding.Given
    sa.Column("num_bytes", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double),
)

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(80), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
    sa.Column("hint", sa.String(16), nullable=False),
    sa.Column("limits", sa.JSON, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("revoked_at", sa.Double),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    sa.Column("job_id", sa.String(64), nullable=False),
    sa.Column("type", sa.String(64), nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", sa.Double),  # null where nothing is left to do
)

models = sa.Table(
    "models",
    metadata,
    sa.Column("ref", sa.Text, primary_key=True),
    sa.Column("card", sa.JSON, nullable=False),
)


class Database:
    """An open database, with its tables made.

    Args:
        url: SQLAlchemy's, such as sqlite:////data/khayal.db or postgresql+psycopg://user@host/khayal.

    Raises:
        KhayalError: it cannot be opened, is damaged, or was made by a later khayal.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = sa.engine.make_url(url)
            if parsed.drivername in ("postgresql", "postgres"):
                parsed = parsed.set(drivername="postgresql+psycopg")
            self.engine = sa.create_engine(parsed, pool_pre_ping=parsed.get_backend_name() != "sqlite")
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise KhayalError(
                "The database cannot be opened",
                why=str(error),
                fix="give a URL such as sqlite:////var/lib/khayal.db or postgresql://user@host/khayal",
            ) from error
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        if self.is_sqlite:
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        try:
            self._make_tables()
        except DBAPIError as error:
            raise KhayalError(
                f"The database {parsed.render_as_string(hide_password=True)} cannot be used",
                why=str(error.orig).strip().splitlines()[0],
                fix="if its file is damaged, move it away: the videos beside it stay, their list is lost",
            ) from error

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that changes nothing and waits for nobody."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that is committed at the end; in SQLite it is the only one that writes."""
        with self.engine.connect() as connection:
            connection = connection.execution_options(khayal_writes=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    def _make_tables(self) -> None:
        if self.is_sqlite:
            with self.reading() as tx:
                said = tx.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
            if said != "ok":
                raise KhayalError(
                    f"The database {self.engine.url.database} is damaged",
                    why=str(said),
                    fix="move it away, and put a copy in its place; the videos beside it stay",
                )
        with self.writing() as tx:
            if not self.is_sqlite:  # two servers that start at once would both make them
                tx.execute(sa.select(sa.func.pg_advisory_xact_lock(0x6B6879)))
            metadata.create_all(tx)
            version = tx.execute(sa.select(about.c.version)).scalar_one_or_none()
            if version is None:
                tx.execute(about.insert().values(version=SCHEMA_VERSION))
            elif version != SCHEMA_VERSION:
                raise KhayalError(
                    f"The database is of version {version}, and this khayal knows {SCHEMA_VERSION}",
                    fix="use the khayal that made it, or another data folder",
                )


def _prepare_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late to wait for other writers
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={_BUSY_MS}", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("khayal_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
