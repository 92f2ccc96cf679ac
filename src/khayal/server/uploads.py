"""Files that were uploaded once, to be named in later requests."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from khayal.server import faults
from khayal.server.database import Database, uploads
from khayal.server.decoding import Given
from khayal.server.folders import DataFolder


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A row of the table.

    Attributes:
        name: as the client calls it; it is never a name of a file here.
        purpose: as the client says; nothing depends on it.
        given: what it turned out to be, see `khayal.server.decoding.Given`.
    """

    number: int
    id: str
    owner: str
    name: str
    purpose: str
    given: dict[str, Any]
    num_bytes: int
    created_at: float
    expires_at: float | None


class Uploads:
    """All uploads of all owners.

    Args:
        database: where rows are kept.
        folder: where files are kept.
        now: seconds since 1970.
    """

    def __init__(self, database: Database, folder: DataFolder, now: Callable[[], float] = time.time) -> None:
        self._database, self._folder, self._now = database, folder, now

    def add(self, owner: str, given: Given, *, name: str, purpose: str, seconds: float | None) -> Upload:
        """Keep a file that was written anew in the folder of files.

        Args:
            owner: whose it is.
            given: what it is; its name is the file's.
            name, purpose: as the client says.
            seconds: for how long; None for ever.
        """
        self.expire()
        file_id, now = given.name.partition(".")[0], self._now()
        num_bytes = self._folder.upload(file_id, given.name).stat().st_size
        row = {"id": file_id, "owner": owner, "name": name, "purpose": purpose, "num_bytes": num_bytes}
        row |= {"given": asdict(given), "created_at": now, "expires_at": seconds and now + seconds}
        with self._database.writing() as tx:
            tx.execute(uploads.insert().values(**row))
        return self.find(file_id, owner)

    def find(self, file_id: str, owner: str, param: str = "file_id") -> Upload:
        """One of an owner's.

        Raises:
            ApiError: 404.
        """
        row = None
        if re.fullmatch(r"file-[0-9a-f]{32}", file_id):
            query = sa.select(uploads).where(
                uploads.c.id == file_id, uploads.c.owner == owner, self._is_kept()
            )
            with self._database.reading() as tx:
                row = tx.execute(query).first()
        if row is None:
            raise faults.ApiError(404, f"There is no file “{file_id[:80]}”.", code="not_found", param=param)
        return Upload(**row._mapping)

    def page(
        self, owner: str, *, after: int | None, limit: int, newest_first: bool, purpose: str | None
    ) -> tuple[list[Upload], bool]:
        """The uploads that follow number `after`, and whether there are more."""
        query = sa.select(uploads).where(uploads.c.owner == owner, self._is_kept())
        if after is not None:
            query = query.where(uploads.c.number < after if newest_first else uploads.c.number > after)
        if purpose is not None:
            query = query.where(uploads.c.purpose == purpose)
        order = uploads.c.number.desc() if newest_first else uploads.c.number
        with self._database.reading() as tx:
            rows = tx.execute(query.order_by(order).limit(limit + 1)).all()
        return [Upload(**row._mapping) for row in rows[:limit]], len(rows) > limit

    def delete(self, file_id: str, owner: str) -> None:
        """Remove one; videos that wait for their turn keep what they were given.

        Raises:
            ApiError: 404.
        """
        self._drop([self.find(file_id, owner)])

    def expire(self) -> None:
        """Remove those whose time is over."""
        with self._database.reading() as tx:
            rows = tx.execute(sa.select(uploads).where(~self._is_kept())).all()
        self._drop([Upload(**row._mapping) for row in rows])

    def ids(self) -> list[str]:
        """Of all owners."""
        with self._database.reading() as tx:
            return list(tx.execute(sa.select(uploads.c.id)).scalars())

    def num_bytes(self) -> int:
        """What all of them take."""
        query = sa.select(sa.func.coalesce(sa.func.sum(uploads.c.num_bytes), 0))
        with self._database.reading() as tx:
            return int(tx.execute(query).scalar_one())

    def _is_kept(self) -> Any:
        return sa.or_(uploads.c.expires_at.is_(None), uploads.c.expires_at > self._now())

    def _drop(self, gone: list[Upload]) -> None:
        if gone:
            with self._database.writing() as tx:
                tx.execute(uploads.delete().where(uploads.c.id.in_([one.id for one in gone])))
        self._folder.drop(*(self._folder.upload(one.id, one.given["name"]) for one in gone))
