"""Around every request: its size, who may send it, and the headers of the answer."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from khayal.server.faults import ApiError

log = logging.getLogger("khayal.access")

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
API_POLICY = "default-src 'none'; frame-ancestors 'none'"
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class TooLarge(Exception):  # noqa: N818 - it is an answer
    """The body is larger than allowed."""


class Guard:
    """ASGI middleware.

    Args:
        app: what is guarded.
        hosts: names by which the server may be called; None for any. A page in a browser can reach this
            machine under a name of its own (DNS rebinding): without keys, only our own names are answered.
        max_body: bytes.
    """

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str] | None, max_body: int) -> None:
        self._app, self._max_body = app, max_body
        self._hosts = None if hosts is None else {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, request_id = time.perf_counter(), f"req_{uuid.uuid4().hex}"
        status, is_begun = 500, False

        async def answer(message: Message) -> None:
            nonlocal status, is_begun
            if message["type"] == "http.response.start":
                status, is_begun = message["status"], True
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("content-security-policy", API_POLICY)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, self._bounded(receive), answer)
        except TooLarge:
            if not is_begun:
                await _refuse(self._too_large(), answer)
        except ApiError as error:
            await _refuse(error, answer)
        finally:
            took = (time.perf_counter() - started) * 1000
            path = scope["path"].encode("unicode_escape").decode()[:200]  # no line breaks of a stranger's
            log.info("%s %s %d %.1f ms %s", scope["method"], path, status, took, request_id)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        name = urlsplit(f"//{host}").hostname if _is_host(host) else None
        if name is None or (self._hosts is not None and name not in self._hosts):
            raise ApiError(
                421, "This server is not called by that name; see --allow-host.", code="unknown_host"
            )
        origin = headers.get("origin")
        if scope["method"] not in _SAFE_METHODS and origin is not None and urlsplit(origin).netloc != host:
            raise ApiError(403, "Another site's page may not call this server.", code="foreign_origin")
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            raise ApiError(400, "The header Content-Length is no number.", code="invalid_header")
        if int(length) > self._max_body:
            raise self._too_large()

    def _bounded(self, receive: Receive) -> Receive:
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._max_body:
                raise TooLarge
            return message

        return bounded

    def _too_large(self) -> ApiError:
        return ApiError(413, f"At most {self._max_body >> 20} MiB are accepted.", code="request_too_large")


async def _refuse(error: ApiError, send: Send) -> None:
    body = json.dumps(error.body()).encode()
    headers: list[Any] = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers.append((b"connection", b"close"))  # the rest of the body is not read
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _is_host(host: str) -> bool:
    try:
        parts = urlsplit(f"//{host}")
        return bool(parts.hostname) and parts.path == "" and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
