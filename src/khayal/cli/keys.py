"""`khayal keys`: who may use a server."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from khayal.cli.serve import check_extra


def _place(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option(
            "--data",
            type=click.Path(path_type=Path, file_okay=False),
            default=Path("khayal-data"),
            show_default=True,
            metavar="DIR",
            help="The data folder of the server.",
        ),
        click.option("--database", metavar="URL", envvar="KHAYAL_DATABASE", help="As given to khayal serve."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def keys() -> None:
    """API keys of a server: needed wherever others can reach it."""


@keys.command("add")
@click.argument("name")
@_place
@click.option("--max-queued", type=click.IntRange(1), metavar="N", help="Videos that wait or are being made.")
@click.option("--max-seconds", type=click.FloatRange(0.1), metavar="S", help="Length of a video.")
@click.option("--max-pixels", type=click.IntRange(256), metavar="N", help="Width × height.")
@click.option("--max-frames", type=click.IntRange(1), metavar="N", help="Frames of a given video.")
@click.option("--requests-per-minute", type=click.IntRange(1), metavar="N")
def add(name: str, data: Path, database: str | None, as_json: bool, **limits: Any) -> None:
    """Make a key; it is shown this once.

    \b
    khayal keys add laptop
    khayal keys add guest --max-queued 2 --max-seconds 8
    """
    from khayal.server.keys import add_key

    secret, key = add_key(_database(data, database), name, {k: v for k, v in limits.items() if v is not None})
    if as_json:
        click.echo(json.dumps({"id": key.id, "name": key.name, "key": secret}))
        return
    click.echo(secret)
    click.echo("Keep it: only its hash is stored.", err=True)


@keys.command("list")
@_place
def list_(data: Path, database: str | None, as_json: bool) -> None:
    """List the keys."""
    from khayal.server.keys import list_keys

    found = list_keys(_database(data, database))
    rows: list[dict[str, Any]] = [
        {
            "id": key.id,
            "name": key.name,
            "hint": f"{key.hint}…",
            "created_at": datetime.datetime.fromtimestamp(key.created_at, datetime.UTC).isoformat(
                timespec="seconds"
            ),
            "is_revoked": key.revoked_at is not None,
            "limits": key.limits,
        }
        for key in found
    ]
    if as_json:
        click.echo(json.dumps({"keys": rows}, ensure_ascii=False))
        return
    for row in rows:
        limits = ", ".join(f"{name} {value:g}" for name, value in row["limits"].items())
        state = "revoked" if row["is_revoked"] else limits
        click.echo(f"{row['name']}  {row['hint']}  {row['created_at']}  {state}".rstrip())


@keys.command()
@click.argument("name")
@_place
def revoke(name: str, data: Path, database: str | None, as_json: bool) -> None:
    """End a key, by its name or its id; a running server heeds it within two seconds."""
    from khayal.server.keys import revoke_key

    revoke_key(_database(data, database), name)
    click.echo(json.dumps({"revoked": name}) if as_json else f"The key {name} is revoked.")


def _database(data: Path, url: str | None) -> Any:
    check_extra()
    from khayal.server.config import ServerConfig
    from khayal.server.database import Database
    from khayal.server.folders import DataFolder

    DataFolder(data)
    return Database(ServerConfig(data=data, database=url).database_url)
