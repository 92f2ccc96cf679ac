"""Events told to a URL, signed as https://www.standardwebhooks.com says, and told again until they arrive."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from khayal.server.database import Database, events

log = logging.getLogger("khayal.server")

PREFIX = "whsec_"
PAUSES = (5.0, 30.0, 300.0, 1800.0, 7200.0, 18_000.0)
"""Seconds until an event is told again; after the last it is given up."""

_LOOK_SECONDS = 1.0
_ANSWER_SECONDS = 10.0


def signature(secret: str, event_id: str, timestamp: int, body: str) -> str:
    """The header `webhook-signature`. The secret is `whsec_` and base64."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    told = f"{event_id}.{timestamp}.{body}".encode()
    return "v1," + base64.b64encode(hmac.new(key, told, hashlib.sha256).digest()).decode()


class Herald:
    """Tells events, the oldest first, each until its receiver answers with success.

    Args:
        database: where events wait.
        url: of the receiver; None for none: events are then thrown away.
        secret: that receiver and server share.
        now: seconds since 1970.
    """

    def __init__(
        self, database: Database, url: str | None, secret: str, now: Callable[[], float] = time.time
    ) -> None:
        self._database, self._url, self._secret, self._now = database, url, secret, now
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self) -> None:
        """End; what was not told is told by the next server."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            try:
                self.tell_due()
            except SQLAlchemyError as error:
                log.error("events cannot be read: %s", error)

    def tell_due(self) -> int:
        """Tell what is due; returns how many arrived."""
        if self._url is None:
            with self._database.reading() as tx:  # so that an idle server writes nothing
                if tx.execute(sa.select(events.c.id).limit(1)).first() is None:
                    return 0
            with self._database.writing() as tx:
                tx.execute(events.delete())
            return 0
        due = sa.select(events).where(events.c.next_at <= self._now()).order_by(events.c.number).limit(20)
        with self._database.reading() as tx:
            rows = tx.execute(due).all()
        return sum(self._tell(row) for row in rows if not self._stopping.is_set())

    def _tell(self, row: Any) -> bool:
        is_told = self._send(row)
        is_over = is_told or row.attempts >= len(PAUSES)
        next_at = None if is_over else self._now() + PAUSES[row.attempts]
        values = {"attempts": row.attempts + 1, "next_at": next_at}
        with self._database.writing() as tx:
            tx.execute(events.update().where(events.c.number == row.number).values(**values))
        return is_told

    def _send(self, row: Any) -> bool:
        told = {"id": row.id, "object": "event", "created_at": int(row.created_at), "type": row.type}
        body, timestamp = json.dumps({**told, "data": {"id": row.job_id}}), int(self._now())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "khayal",
            "webhook-id": row.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._secret, row.id, timestamp, body),
        }
        assert self._url is not None
        request = urllib.request.Request(self._url, data=body.encode(), headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as answer:
                return 200 <= int(answer.status) < 300
        except (urllib.error.URLError, OSError) as error:
            log.warning("event %s was not received: %s", row.id, error)
            return False
