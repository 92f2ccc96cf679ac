"""A server in the foreground, from its first line to its end."""

from __future__ import annotations

import logging
import socket
import sys

import uvicorn

from khayal.errors import KhayalError
from khayal.server.app import House, make_app
from khayal.server.config import ServerConfig
from khayal.server.keys import list_keys

log = logging.getLogger("khayal.server")


def run(config: ServerConfig) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        KhayalError: it cannot begin.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("khayal.access").setLevel(logging.WARNING if sys.stderr.isatty() else logging.INFO)
    listening = _listen(config.host, config.port)
    try:
        house = House(config)
        try:
            _check_keys(house)
        except KhayalError:
            house.folder.unlock()
            raise
        port = listening.getsockname()[1]
        host = f"[{config.host}]" if ":" in config.host else config.host
        log.info("khayal listens on http://%s:%d (the studio: /, API: /v1, documents: /docs)", host, port)
        if config.webhook_url is not None:
            log.info("the secret of webhooks lies in %s", house.folder.path / "webhook-secret")
        server = uvicorn.Server(
            uvicorn.Config(
                make_app(house),
                log_config=None,
                log_level="warning",  # its own word for a start is “uvicorn.error”
                access_log=False,  # it would write query strings
                server_header=False,
                timeout_graceful_shutdown=5,
                limit_concurrency=4096,
                timeout_keep_alive=30,
            )
        )
        server.run(sockets=[listening])
    finally:
        listening.close()


def _listen(host: str, port: int) -> socket.socket:
    """Bound before anything is started, so that a port that is taken costs nothing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host.strip("[]"), port))
        opened.listen(2048)
    except OSError as error:
        opened.close()
        raise KhayalError(
            f"The server cannot listen on {host}:{port}",
            why=error.strerror or str(error),
            fix="give another --port, or end the program that has it",
        ) from error
    return opened


def _check_keys(house: House) -> None:
    if house.config.is_open:
        return
    if not any(key.revoked_at is None for key in list_keys(house.database)):
        raise KhayalError(
            "There is no API key, and others can reach this server",
            fix=f"make one first: khayal keys add NAME --data {house.config.data}",
        )
