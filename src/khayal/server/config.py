"""What a server is told when it starts, and what its clients may ask for."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DAY_SECONDS = 86_400.0
MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one key may ask for; a key's own values replace the server's.

    Attributes:
        max_queued: videos of one key that wait or are being made.
        max_seconds: length of a video, given or made.
        max_pixels: width × height of a video or an image, given or made.
        max_frames: frames of a video that is given.
        requests_per_minute: of all kinds; more are answered with 429.
    """

    max_queued: int = 100
    max_seconds: float = 60.0
    max_pixels: int = 4096 * 2304
    max_frames: int = 60 * 120
    requests_per_minute: int = 12_000

    def replaced_by(self, changes: dict[str, Any]) -> Limits:
        """These limits with the changes of one key."""
        return Limits(**{**self.__dict__, **changes})


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What may not be shown.

    Attributes:
        blocklist: a file with a word or phrase in each line, or `re:` and a regular expression.
        moderation_url: an endpoint that answers like `/v1/moderations`, asked before and after the work.
    """

    blocklist: Path | None = None
    moderation_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """A whole server.

    Attributes:
        data: the folder of everything that it keeps.
        database: a SQLAlchemy URL; None for a SQLite file in `data`.
        models: checkpoints, the default first; "" is the one that khayal comes with.
        devices: one worker process for each.
        ray_address: of a Ray cluster whose machines are the workers; None for this machine's devices.
        requires_keys: True to ask for API keys on this machine's own address too.
        allowed_hosts: names by which the server may be called, besides its address.
        fetch_hosts: hosts from which an `image_url` may be fetched; `*.example.org` takes in its subdomains.
        max_body: bytes of one HTTP request.
        keep_seconds: how long a finished video is kept; None for ever.
        disk_quota: bytes that videos and uploads may take together; None for no bound.
        webhook_url: where events are sent.
        visible_mark: a short text to be shown in a corner of every video; "" for none.
        lease_seconds: how long a worker may be silent until its job is given to another.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8000
    database: str | None = None
    models: tuple[str, ...] = ("",)
    devices: tuple[str, ...] = ("auto",)
    ray_address: str | None = None
    dtype: str = "auto"
    memory: str = "auto"
    requires_keys: bool = False
    allowed_hosts: tuple[str, ...] = ()
    fetch_hosts: tuple[str, ...] = ()
    max_body: int = 256 * MIB
    limits: Limits = field(default_factory=Limits)
    policy: Policy = field(default_factory=Policy)
    keep_seconds: float | None = None
    disk_quota: int | None = None
    webhook_url: str | None = None
    visible_mark: str = ""
    poll_after_ms: int = 1000
    lease_seconds: float = 30.0

    @property
    def is_open(self) -> bool:
        """True where no key is asked for: only this machine can reach the server."""
        return is_loopback(self.host) and not self.requires_keys

    @property
    def database_url(self) -> str:
        """Where jobs are kept."""
        return self.database or f"sqlite:///{self.data / 'khayal.db'}"


def is_loopback(host: str) -> bool:
    """True for addresses that only this machine can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
