"""`khayal serve`: the HTTP API."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import click

from khayal.errors import InputError, KhayalError, MissingExtraError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class Bytes(click.ParamType):
    """A number of bytes: 500MB, 20 GB."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)b?\s*", str(value).lower())
        if match is None:
            raise InputError(f"“{value}” is no size", fix="write it as 500MB or 20GB")
        return int(float(match[1]) * _UNITS[match[2]])


_WHERE = (
    click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS"),
    click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, metavar="N"),
    click.option(
        "--model",
        "-m",
        "models",
        multiple=True,
        metavar="M",
        envvar="KHAYAL_MODEL",
        help="A checkpoint folder or a hub id; several may be given, the first is the default.",
    ),
    click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("khayal-data"),
        show_default=True,
        metavar="DIR",
        help="Where videos and jobs are kept.",
    ),
    click.option(
        "--database",
        metavar="URL",
        envvar="KHAYAL_DATABASE",
        help="postgresql://user@host/name; by default SQLite in the data folder.",
    ),
)
_MACHINE = (
    click.option(
        "--device",
        "devices",
        multiple=True,
        metavar="D",
        help="A worker process for each: auto, cpu, cuda:0, cuda:1…",
    ),
    click.option(
        "--ray",
        metavar="ADDRESS",
        help="The workers are a Ray cluster's, auto or HOST:PORT; needs PostgreSQL and a shared --data.",
    ),
    click.option("--dtype", default="auto", show_default=True, metavar="T"),
    click.option("--memory", type=click.Choice(["auto", "high", "low"]), default="auto", show_default=True),
)
_SAFETY = (
    click.option("--require-keys", is_flag=True, help="Ask for API keys on this machine's address too."),
    click.option("--allow-host", multiple=True, metavar="NAME", help="Another name of this server."),
    click.option(
        "--allow-fetch",
        multiple=True,
        metavar="HOST",
        help="A host from which image_url may be fetched; *.example.org, or * for all public ones.",
    ),
    click.option("--blocklist", type=click.Path(path_type=Path), metavar="FILE", help="Words in no prompt."),
    click.option("--moderation", metavar="URL", help="Asked before and after, like /v1/moderations."),
    click.option("--visible-mark", default="", metavar="TEXT", help="Shown in a corner of every video."),
)
_BOUNDS = (
    click.option("--max-seconds", type=float, default=60.0, show_default=True, metavar="S"),
    click.option("--max-queued", type=click.IntRange(1), default=100, show_default=True, metavar="N"),
    click.option("--keep-days", type=float, metavar="N", help="Remove videos after N days."),
    click.option("--disk-quota", type=Bytes(), help="Such as 20GB; no more videos are begun beyond it."),
    click.option("--webhook", metavar="URL", help="Told of every video that is completed or failed."),
    click.option("--poll-ms", type=click.IntRange(50), default=1000, hidden=True),
    click.option("--lease-seconds", type=click.FloatRange(1), default=30.0, hidden=True),
)


def _all(command: Any) -> Any:
    for option in reversed((*_WHERE, *_MACHINE, *_SAFETY, *_BOUNDS)):
        command = option(command)
    return command


@click.command()
@_all
def serve(**options: Any) -> None:
    """Serve the Videos API, and khayal's own.

    \b
    khayal serve
    khayal serve --model Wan-AI/Wan2.2-TI2V-5B-Diffusers --device cuda:0 --device cuda:1
    khayal keys add laptop && khayal serve --host 0.0.0.0

    Programs that speak the Videos API need another base URL only: http://127.0.0.1:8000/v1. The calls
    are listed at /docs. On any address that others can reach, API keys are asked for: see khayal keys.
    Jobs survive the end of the server; Ctrl-C ends it.
    """
    check_extra()
    from khayal.server.running import run

    run(_config(options))


def check_extra() -> None:
    """Raises MissingExtraError where the server's libraries are not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("fastapi", "uvicorn", "sqlalchemy")):
        raise MissingExtraError("The server cannot run", extra="server")


def _config(options: dict[str, Any]) -> Any:
    from khayal.server.config import DAY_SECONDS, Limits, Policy, ServerConfig

    days = options["keep_days"]
    if days is not None and not days > 0:
        raise KhayalError(f"--keep-days cannot be {days:g}", fix="give a number above 0")
    limits = Limits(max_seconds=options["max_seconds"], max_queued=options["max_queued"])
    same = ("host", "port", "data", "database", "dtype", "memory", "visible_mark", "disk_quota")
    return ServerConfig(
        **{name: options[name] for name in same},
        models=options["models"] or ("",),
        devices=options["devices"] or ("auto",),
        ray_address=options["ray"],
        requires_keys=options["require_keys"],
        allowed_hosts=options["allow_host"],
        fetch_hosts=options["allow_fetch"],
        limits=limits,
        policy=Policy(blocklist=options["blocklist"], moderation_url=options["moderation"]),
        keep_seconds=None if days is None else days * DAY_SECONDS,
        webhook_url=options["webhook"],
        poll_after_ms=options["poll_ms"],
        lease_seconds=options["lease_seconds"],
    )
