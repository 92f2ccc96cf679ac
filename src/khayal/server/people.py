"""Characters: clips of somebody or something, named, to be shown again in other videos."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import sqlalchemy as sa

from khayal.server import faults
from khayal.server.database import Database, characters
from khayal.server.folders import DataFolder


@dataclass(frozen=True, kw_only=True)
class Character:
    """A row of the table."""

    number: int
    id: str
    owner: str
    name: str
    created_at: float
    num_bytes: int


class Characters:
    """All characters of all owners."""

    def __init__(self, database: Database, folder: DataFolder) -> None:
        self._database, self._folder = database, folder

    def add(self, character_id: str, owner: str, name: str) -> Character:
        """Keep one whose clip is there already."""
        num_bytes = self._folder.character(character_id).stat().st_size
        row = {"id": character_id, "owner": owner, "name": name, "num_bytes": num_bytes}
        with self._database.writing() as tx:
            tx.execute(characters.insert().values(**row, created_at=time.time()))
        return self.find(character_id, owner)

    def find(self, character_id: str, owner: str) -> Character:
        """One of an owner's.

        Raises:
            ApiError: 404.
        """
        if not re.fullmatch(r"[A-Za-z0-9_]{1,64}", character_id):
            raise faults.not_found("character", character_id)
        is_meant = sa.and_(characters.c.id == character_id, characters.c.owner == owner)
        with self._database.reading() as tx:
            row = tx.execute(sa.select(characters).where(is_meant)).first()
        if row is None:
            raise faults.not_found("character", character_id)
        return Character(**row._mapping)

    def all(self, owner: str) -> list[Character]:
        """All of an owner's, the newest first."""
        query = sa.select(characters).where(characters.c.owner == owner).order_by(characters.c.number.desc())
        with self._database.reading() as tx:
            return [Character(**row._mapping) for row in tx.execute(query)]

    def delete(self, character_id: str, owner: str) -> None:
        """Remove one with its clip; videos that show it stay.

        Raises:
            ApiError: 404.
        """
        self.find(character_id, owner)
        with self._database.writing() as tx:
            tx.execute(characters.delete().where(characters.c.id == character_id))
        self._folder.drop(self._folder.character(character_id))

    def ids(self) -> list[str]:
        """Of all owners."""
        with self._database.reading() as tx:
            return list(tx.execute(sa.select(characters.c.id)).scalars())

    def num_bytes(self) -> int:
        """What all of them take."""
        query = sa.select(sa.func.coalesce(sa.func.sum(characters.c.num_bytes), 0))
        with self._database.reading() as tx:
            return int(tx.execute(query).scalar_one())
