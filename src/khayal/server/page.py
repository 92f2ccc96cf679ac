"""The studio page: the files of `web/`, read once, so that no path of a request ever meets the disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from khayal.server.faults import ApiError

WEB = Path(__file__).parent / "web"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",
    )
)
"""What the page may load and do: nothing of another host, nothing that is written in line."""

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, kw_only=True)
class _File:
    body: bytes
    kind: str
    etag: str


def page_routes() -> list[Route]:
    """`/`, and its scripts and styles under `/web/`."""
    files = {path.name: _read(path) for path in WEB.iterdir() if path.suffix in _KINDS}

    async def give(request: Request) -> Response:
        file = files.get(request.path_params.get("name", "index.html"))
        if file is None:
            raise ApiError(404, "There is no such page.", code="not_found")
        headers = {"etag": file.etag, "cache-control": "no-cache", "content-security-policy": POLICY}
        known = request.headers.get("if-none-match", "")
        if file.etag in (one.strip().removeprefix("W/") for one in known.split(",")):
            return Response(status_code=304, headers=headers)
        return Response(file.body, media_type=file.kind, headers=headers)

    return [Route("/", give), Route("/web/{name}", give)]


def _read(path: Path) -> _File:
    body = path.read_bytes()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return _File(body=body, kind=_KINDS[path.suffix], etag=etag)
