"""The body of a request as one nested dictionary, whether it came as JSON or as a form."""

from __future__ import annotations

import json
import re
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from khayal.server.faults import ApiError, bad
from khayal.server.requests import Text

MAX_FIELDS, MAX_FILES, MAX_TEXT = 200, 16, 48 << 20
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}(?:\[[A-Za-z0-9_]{0,64}\]){0,4}")


async def read_body(request: Request) -> dict[str, Any]:
    """The fields of a request; files are `UploadFile`s, texts of a form are `Text`.

    Nested fields of a form are written `video[id]`, lists `characters[][id]`.

    Raises:
        ApiError: it is neither, or not well formed.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        return await _read_form(request)
    if kind in ("application/json", ""):
        return _read_json(await request.body())
    raise ApiError(
        415, "The body has to be JSON or multipart/form-data.", code="unsupported_media_type", param=None
    )


def _read_json(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body or b"{}", parse_constant=_no_number)
    except (ValueError, RecursionError) as error:  # bytes that are no text are a ValueError too
        raise bad(f"The body is not JSON: {error}"[:200], code="invalid_json") from error
    if not isinstance(data, dict):
        raise bad("The body has to be a JSON object.", code="invalid_json")
    return data


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


async def _read_form(request: Request) -> dict[str, Any]:
    try:
        form = await request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=MAX_TEXT)
    except HTTPException as error:
        raise bad(f"The form cannot be read: {error.detail}", code="invalid_form") from error
    fields: dict[str, Any] = {}
    for key, value in form.multi_items():
        if not _KEY.fullmatch(key):
            raise bad(f"“{key[:80]}” is no name of a field.", code="invalid_form")
        names = re.findall(r"[^\[\]]+|(?<=\[)(?=\])", key)
        _put(fields, names, value if isinstance(value, UploadFile) else Text(value), key)
    return fields


def _put(fields: dict[str, Any], names: list[str], value: Any, key: str) -> None:
    """Set `a[b][][c]`: a list begins its next item where the last one has that field already."""
    place: Any = fields
    for name, following in zip(names, [*names[1:], None], strict=True):
        fresh: Any = value if following is None else [] if following == "" else {}
        if isinstance(place, list):
            is_new = following is None or not place or following in place[-1]
            if is_new:
                place.append(fresh)
            place = place[-1]
        elif not isinstance(place, dict):
            raise bad(f"The field “{key}” is given in two ways.", key, "invalid_form")
        elif following is None:
            if name in place:
                raise bad(f"The field “{key}” is given twice.", key, "invalid_form")
            place[name] = value
        else:
            place = place.setdefault(name, fresh)
