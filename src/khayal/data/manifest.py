"""Tables of captions: CSV, TSV, JSON, JSON lines or Parquet, a row for each file or each stretch of one."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from khayal.data.captions import Told, decoded, parsed, told_by
from khayal.errors import InputError, MissingExtraError

NAMES = ("captions", "metadata")
SUFFIXES = ("csv", "tsv", "json", "jsonl", "parquet")
_FILES = ("file_name", "filename", "file", "path", "video", "image", "video_path", "image_path", "media")

Row = tuple[int, str, tuple[Told, ...] | str]
"""The line, the file that it names, and what it says of it: or, as a string, why it cannot be used."""


def is_manifest(path: Path) -> bool:
    """True for a file that is taken as a table of captions without being named."""
    return path.stem.lower() in NAMES and path.suffix.lower().removeprefix(".") in SUFFIXES


def rows(path: Path, encoding: str = "utf-8") -> Iterator[Row]:
    """What a table says of each file; a row that cannot be used does not stop the others.

    A column names the file (“file_name”, “path”, “video”…), others have captions (“caption”, “text”,
    “caption_ar”…), and may have “start_seconds” and “end_seconds”.

    Raises:
        InputError: it is no such table.
        MissingExtraError: it is Parquet, and what reads that is not installed.
    """
    if not path.is_file():
        raise InputError(f"There is no file “{path}”", fix="name a table of captions, or leave it out")
    read = {"parquet": _parquet, "jsonl": _json_lines, "json": _json}.get(_suffix(path))
    is_found = False
    for line, fields in _csv(path, encoding) if read is None else read(path, encoding):
        row = _row(line, fields)
        is_found = is_found or bool(row[1])
        yield row
    if not is_found:
        raise InputError(
            f"“{path}” names no files", why=f"it has none of the columns {', '.join(_FILES)}", fix="add one"
        )


def _row(line: int, fields: Mapping[Any, Any] | str) -> Row:
    if isinstance(fields, str):
        return line, "", fields
    known = {str(key).strip().lower(): value for key, value in fields.items()}
    file = next((known[key] for key in _FILES if isinstance(known.get(key), str)), "")
    if not file:
        return line, "", "the line names no file"
    if "://" in file:
        return line, file, "it is an address, not a file"
    if None in fields:
        return line, file, "the line has too many fields: captions with commas need quotation marks"
    try:
        return line, file, told_by({key: value for key, value in known.items() if key not in _FILES})
    except InputError as error:
        return line, file, error.what[:1].lower() + error.what[1:]


def _csv(path: Path, encoding: str) -> Iterator[tuple[int, Mapping[Any, Any] | str]]:
    text = decoded(_bytes(path), encoding)
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, f"the line cannot be read: {error}"
            continue
        yield reader.line_num, fields


def _json_lines(path: Path, encoding: str) -> Iterator[tuple[int, Mapping[Any, Any] | str]]:
    for number, line in enumerate(decoded(_bytes(path), encoding).split("\n"), 1):
        if line.strip():
            yield number, _object(line)


def _object(line: str) -> Mapping[Any, Any] | str:
    try:
        fields = parsed(line)
    except InputError:
        return "the line is not JSON"
    return fields if isinstance(fields, Mapping) else "the line is no JSON object"


def _json(path: Path, encoding: str) -> Iterator[tuple[int, Mapping[Any, Any] | str]]:
    """A list of objects, or one object with what is said of each file by its name."""
    data = parsed(decoded(_bytes(path), encoding))
    if isinstance(data, Mapping):
        data = [
            {"file_name": name, **(said if isinstance(said, Mapping) else {"caption": said})}
            for name, said in data.items()
        ]
    if not isinstance(data, list):
        raise InputError(f"“{path}” is no table", fix="give a list of objects")
    for number, fields in enumerate(data, 1):
        yield number, fields if isinstance(fields, Mapping) else "it is no JSON object"


def _parquet(path: Path, encoding: str) -> Iterator[tuple[int, Mapping[Any, Any] | str]]:
    if not find_spec("pyarrow"):
        raise MissingExtraError(f"“{path}” cannot be read", extra="data")
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=1024):
                for fields in batch.to_pylist():
                    number += 1
                    yield number, fields
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"“{path}” cannot be read", why=str(error).splitlines()[0]) from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"“{path}” cannot be opened", why=error.strerror or str(error)) from error


def _suffix(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")
