"""Pictures by URL: only over https, from hosts that are allowed, at public addresses, within bounds.

The address is looked up once, checked, and then connected to, so that a name cannot point elsewhere in
between. Redirects are not followed.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from khayal.errors import InputError

MAX_BYTES = 32 << 20
MAX_SECONDS = 15.0
_CHUNK = 1 << 16


def fetch(url: str, path: Path, allowed: Sequence[str]) -> None:
    """Write what a URL stands for into a file.

    Args:
        url: https:, or data: with the bytes themselves.
        path: where to.
        allowed: hosts that may be asked; `*.example.org` takes in its subdomains, `*` is every public one.

    Raises:
        InputError: it is not allowed, or cannot be had.
    """
    if url[:5].lower() == "data:":
        path.write_bytes(_data(url))
        return
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port or 443
    except ValueError as error:
        raise InputError("The URL cannot be read", why=str(error)) from error
    if parts.scheme.lower() != "https" or not host or parts.username is not None:
        raise InputError("Only https:// and data: URLs are fetched", fix="upload the file instead")
    if not any(_is_match(host, pattern.lower()) for pattern in allowed):
        raise InputError(
            f"The host {host} is not among those from which this server fetches",
            fix="upload the file instead, or start the server with --allow-fetch",
        )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not re.fullmatch(r"[\x21-\x7e]+", target):
        raise InputError("The URL has characters that it cannot have", fix="percent-encode it")
    try:
        _download(host, port, target, path)
    except (OSError, http.client.HTTPException) as error:
        raise InputError(f"The picture at {host} cannot be fetched", why=type(error).__name__) from error


def public_address(host: str, port: int) -> str:
    """The address of a host.

    Raises:
        InputError: one of its addresses is not public, or it has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputError(f"There is no host {host}") from error
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not is_public(address):
            raise InputError(f"The host {host} has an address that is not public")
    return addresses[0]


def is_public(address: str) -> bool:
    """True for an address of the open internet."""
    given = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(given, ipaddress.IPv6Address):
        inner = given.ipv4_mapped or given.sixtofour or (given.teredo or (None, None))[1]
        if inner is not None:
            return is_public(str(inner))
        if given in ipaddress.ip_network("64:ff9b::/96"):  # NAT64 leads to IPv4, private or not
            return is_public(str(ipaddress.IPv4Address(int(given) & 0xFFFFFFFF)))
    return given.is_global and not given.is_multicast and not given.is_reserved


class _Pinned(http.client.HTTPSConnection):
    """A connection to an address that was checked, with the certificate of the name."""

    def __init__(self, host: str, port: int, address: str) -> None:
        self._secured = ssl.create_default_context()
        super().__init__(host, port, timeout=MAX_SECONDS, context=self._secured)
        self._address = address

    def connect(self) -> None:
        raw = socket.create_connection((self._address, self.port), self.timeout)
        self.sock = self._secured.wrap_socket(raw, server_hostname=self.host)


def _download(host: str, port: int, target: str, path: Path) -> None:
    started = time.monotonic()
    connection = _Pinned(host, port, public_address(host, port))
    try:
        connection.request("GET", target, headers={"Accept": "image/*,video/*", "User-Agent": "khayal"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise InputError(
                f"The host {host} answered {answer.status}", fix="give the URL of the file itself"
            )
        size = 0
        with path.open("wb") as file:
            while chunk := answer.read1(_CHUNK):
                size += len(chunk)
                if size > MAX_BYTES:
                    raise InputError(
                        f"The file at {host} is too large", fix=f"keep it under {MAX_BYTES >> 20} MiB"
                    )
                if time.monotonic() - started > MAX_SECONDS:
                    raise InputError(f"The host {host} is too slow")
                file.write(chunk)
    finally:
        connection.close()


def _data(url: str) -> bytes:
    head, comma, body = url.partition(",")
    if not comma or len(body) > MAX_BYTES * 3 // 2:
        raise InputError("The data: URL is broken or too large", fix=f"keep it under {MAX_BYTES >> 20} MiB")
    try:
        return base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote_to_bytes(body)
    except (binascii.Error, ValueError) as error:
        raise InputError("The data: URL is broken", why=str(error)) from error


def _is_match(host: str, pattern: str) -> bool:
    if pattern == "*":
        return True
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
