"""The application: both APIs, their document, and what runs beside them."""

from __future__ import annotations

import html
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse

import khayal
from khayal.server import files, openai, routes
from khayal.server.config import ServerConfig
from khayal.server.database import Database
from khayal.server.desk import Desk
from khayal.server.faults import ApiError
from khayal.server.folders import DataFolder
from khayal.server.guard import Guard
from khayal.server.page import page_routes
from khayal.server.pool import Pool
from khayal.server.webhooks import PREFIX, Herald

log = logging.getLogger("khayal.server")

_CODES = {404: "not_found", 405: "method_not_allowed", 400: "invalid_request"}
_PAGE_POLICY = "default-src 'none'; style-src 'nonce-{nonce}'; frame-ancestors 'none'; base-uri 'none'"


class House:
    """Everything that a running server has open.

    Args:
        config: of the server.
        has_workers: False for a server whose jobs are made elsewhere.

    Raises:
        KhayalError: the data folder or the database cannot be used.
    """

    def __init__(self, config: ServerConfig, *, has_workers: bool = True) -> None:
        self.config = config
        self.folder = DataFolder(config.data)
        self.folder.lock()
        try:
            self.database = Database(config.database_url)
            self.desk = Desk(config, self.database, self.folder, wake=self._wake)
            self.pool = _pool(config, self.desk, self.folder.server_id()) if has_workers else None
        except BaseException:
            self.folder.unlock()
            raise
        self.herald = Herald(self.database, config.webhook_url, self.webhook_secret)

    @property
    def webhook_secret(self) -> str:
        """What receivers check signatures with; made once."""
        import base64

        raw = bytes.fromhex(self.folder.secret("webhook-secret"))
        return PREFIX + base64.b64encode(raw).decode()

    def open(self) -> None:
        """Remove what killed processes left, and start."""
        if self.pool is not None:  # before anything is removed: who still works on it may not say it failed
            self.pool.take_back()
        finished, waiting = self.desk.store.kept()
        characters, uploads = self.desk.characters.ids(), self.desk.uploads.ids()
        self.folder.drop_strays(finished=finished, waiting=waiting, characters=characters, uploads=uploads)
        if self.pool is not None:
            self.pool.start()
        self.herald.start()

    def close(self) -> None:
        """End in order: what was begun goes back into the queue."""
        self.herald.stop()
        if self.pool is not None:
            self.pool.stop()
        self.database.close()
        self.folder.unlock()

    def _wake(self) -> None:
        if self.pool is not None:
            self.pool.wake()


def _pool(config: ServerConfig, desk: Desk, server_id: str) -> Pool:
    """The workers of this machine, or of a Ray cluster."""
    if config.ray_address is None:
        return Pool(config, desk.store, server_id)
    from khayal.server.ray_pool import RayPool

    return RayPool(config, desk.store, server_id)


def make_app(house: House) -> FastAPI:
    """The application of a house that is not open yet; it is opened and closed with the application."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        house.open()
        yield
        house.close()

    app = FastAPI(
        title="khayal",
        version=khayal.__version__,
        summary="Videos from words, on your own machine: the Videos API, and khayal's own.",
        lifespan=lifespan,
        docs_url=None,  # its page would load scripts from another host
        redoc_url=None,
        openapi_url="/openapi.json",
        separate_input_output_schemas=False,
    )
    app.router.routes.insert(0, openai.status_route(house.desk))
    app.include_router(openai.routes(house.desk))
    app.include_router(files.routes(house.desk))
    app.include_router(routes.routes(house.desk))
    app.add_api_route("/health", _health(house), methods=["GET"], response_model=None, tags=["server"])
    app.add_api_route("/docs", _docs(app), methods=["GET"], include_in_schema=False, response_model=None)
    app.router.routes.extend(page_routes())
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(SQLAlchemyError, _on_database_error)
    app.add_exception_handler(Exception, _on_error)
    app.add_middleware(Guard, hosts=_hosts(house.config), max_body=house.config.max_body)
    return app


def _hosts(config: ServerConfig) -> Sequence[str] | None:
    if not config.is_open:
        return config.allowed_hosts or None
    return (config.host.strip("[]"), "localhost", "127.0.0.1", "::1", *config.allowed_hosts)


def _health(house: House) -> Any:
    def health() -> Response:
        """Whether the server can make videos."""
        num_workers = 0 if house.pool is None else house.pool.num_alive
        cards = house.desk.cards()
        is_ready = bool(num_workers) and any("name" in card for card in cards.values())
        has_problem = bool(cards) and all("problem" in card for card in cards.values())
        status = "ready" if is_ready else "broken" if has_problem else "starting"
        told = {"status": status, "workers": num_workers, "requires_key": not house.config.is_open}
        return JSONResponse(told)

    return health


def _docs(app: FastAPI) -> Any:
    def docs() -> Response:
        nonce = secrets.token_urlsafe(12)
        headers = {"content-security-policy": _PAGE_POLICY.format(nonce=nonce)}
        return HTMLResponse(_page(app.openapi(), nonce), headers=headers)

    return docs


def _page(document: dict[str, Any], nonce: str) -> str:
    """The OpenAPI document as a page without scripts."""
    import json

    parts = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            examples = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            given = [one["value"] for one in examples.get("examples", {}).values()]
            answer = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
            shown = [json.dumps(one, indent=1, ensure_ascii=False) for one in given]
            if "example" in answer:
                shown.append("→ " + json.dumps(answer["example"], indent=1, ensure_ascii=False))
            blocks = "".join(f"<pre>{html.escape(text)}</pre>" for text in shown)
            head = f"<b>{method.upper()}</b> <code>{html.escape(path)}</code>"
            summary = html.escape(operation.get("summary", ""))
            parts.append(f"<details><summary>{head} {summary}</summary>{blocks}</details>")
    style = (
        "body{font:1rem/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        ":root{color-scheme:light dark}"
        "summary{padding:.3rem 0;cursor:pointer}pre{padding:.8rem;overflow:auto;border:1px solid #8886}"
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>khayal API</title>'
        f'<meta name="viewport" content="width=device-width"><style nonce="{nonce}">{style}</style>'
        f"<h1>khayal API</h1><p>{html.escape(document['info']['summary'])} "
        f'The whole document: <a href="/openapi.json">openapi.json</a>.</p>{"".join(parts)}</html>'
    )


async def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = ApiError(error.status_code, str(error.detail), code=_CODES.get(error.status_code))
    return JSONResponse(told.body(), status_code=error.status_code, headers=error.headers)


async def _on_database_error(request: Request, error: Exception) -> Response:
    log.error("the database failed: %s", str(error).splitlines()[0])
    told = ApiError(
        503, "The server's database does not answer.", code="database_unavailable", kind="server_error"
    )
    return JSONResponse(told.body(), status_code=503)


async def _on_error(request: Request, error: Exception) -> Response:
    told = ApiError(500, "Something broke in the server.", code="internal_error", kind="server_error")
    return JSONResponse(told.body(), status_code=500)
