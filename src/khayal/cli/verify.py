"""`khayal verify`: what a file says of itself."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from khayal.errors import InputError

_SAYS = {
    "unsigned": "has no manifest: it does not say where it comes from",
    "invalid": "was CHANGED after it was signed, or its signature is broken",
    "valid": "is unchanged since it was signed; nobody here vouches for its signer",
    "trusted": "is unchanged since it was signed, by a signer that is trusted here",
}


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--trust",
    type=click.Path(path_type=Path),
    metavar="PEM",
    help="Certificates to trust, besides one's own.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(file: Path, trust: Path | None, as_json: bool) -> None:
    """Tell what a video or an image says of itself (C2PA).

    \b
    khayal verify ball.mp4
    khayal verify clip.mp4 --trust studio.pem

    Exit code 1 where the file was changed after it was signed.
    """
    from khayal.provenance import verify as verify_file

    try:
        trusted = b"" if trust is None else trust.read_bytes()
    except OSError as error:
        raise InputError(
            f"The certificates {trust} cannot be read", why=error.strerror or str(error)
        ) from error
    report = verify_file(file, trusted=trusted)
    if as_json:
        click.echo(json.dumps({"path": str(file), **asdict(report)}, ensure_ascii=False))
    else:
        click.echo(f"{file} {_SAYS[report.state]}.")
        if report.generator:
            made = "Made by a trained model" if report.is_generated else "Made"
            click.echo(f"{made}, with {report.generator}; signed by {report.signer}.")
        for name, value in (report.details or {}).items():
            click.echo(f"  {name}: {value}")
        for title in report.ingredients:
            click.echo(f"  made from: {title}")
        for problem in report.problems:
            click.echo(f"  problem: {problem}")
    if report.state == "invalid":
        raise SystemExit(1)
