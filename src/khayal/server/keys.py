"""API keys: random, shown once, kept as hashes."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from khayal.errors import InputError
from khayal.server.config import Limits
from khayal.server.database import Database, keys

PREFIX = "kh-"
LOCAL = "local"
"""The owner of everything where no keys are asked for."""

_REFRESH_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key, of which only the hash is known.

    Attributes:
        hint: its first letters, to tell it from others.
        limits: what differs from the server's.
    """

    id: str
    name: str
    hash: str
    hint: str
    limits: dict[str, Any]
    created_at: float
    revoked_at: float | None


def add_key(database: Database, name: str, limits: dict[str, Any]) -> tuple[str, Key]:
    """A new key, and its secret, which nobody can learn again.

    Raises:
        InputError: the name is empty, too long, or that of another key that is in force.
    """
    if not 0 < len(name.strip()) <= 80:
        raise InputError("The name of a key has 1 to 80 characters")
    secret = PREFIX + secrets.token_urlsafe(32)
    row: dict[str, Any] = {"id": f"key_{secrets.token_hex(8)}", "name": name.strip(), "hash": hash_of(secret)}
    row |= {"hint": secret[:7], "created_at": time.time(), "revoked_at": None}
    with database.writing() as tx:
        taken = sa.select(keys.c.id).where(keys.c.name == row["name"], keys.c.revoked_at.is_(None))
        if tx.execute(taken).first() is not None:
            raise InputError(f"There is a key “{name}” already", fix="revoke it first, or take another name")
        tx.execute(keys.insert().values(**row, limits=limits))
    return secret, Key(**row, limits=limits)


def list_keys(database: Database) -> list[Key]:
    """All keys, the revoked ones too."""
    with database.reading() as tx:
        return [Key(**row._mapping) for row in tx.execute(sa.select(keys).order_by(keys.c.created_at))]


def revoke_key(database: Database, name: str) -> None:
    """End a key, by its name or its id.

    Raises:
        InputError: there is none in force.
    """
    with database.writing() as tx:
        is_meant = sa.and_(sa.or_(keys.c.name == name, keys.c.id == name), keys.c.revoked_at.is_(None))
        if not tx.execute(keys.update().where(is_meant).values(revoked_at=time.time())).rowcount:
            raise InputError(f"There is no key “{name}” in force", fix="see khayal keys list")


def hash_of(secret: str) -> str:
    """A key has 256 random bits, so that one fast hash is enough: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


class KeyRing:
    """The keys in force, read again every two seconds, so that most requests need no database."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock = database, clock
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._keys: dict[str, Key] = {}

    def find(self, secret: str) -> Key | None:
        """The key with this secret, if it is in force."""
        with self._lock:
            if self._clock() - self._read_at > _REFRESH_SECONDS:
                self._keys = {key.hash: key for key in list_keys(self._database) if key.revoked_at is None}
                self._read_at = self._clock()
            return self._keys.get(hash_of(secret))


class Meter:
    """How often each key may call: a bucket that fills steadily.

    Args:
        clock: seconds, rising.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait_seconds(self, owner: str, limits: Limits) -> float:
        """0 where the call is allowed, which it then counts; else how long to wait."""
        per_second, most = limits.requests_per_minute / 60, max(1.0, limits.requests_per_minute / 6)
        now = self._clock()
        with self._lock:
            level, since = self._buckets.get(owner, (most, now))
            level = min(most, level + (now - since) * per_second)
            is_allowed = level >= 1
            self._buckets[owner] = (level - is_allowed, now)
        return 0.0 if is_allowed else (1 - level) / per_second
