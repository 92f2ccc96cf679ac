"""JSON schemas of the request types, from their annotations."""

from __future__ import annotations

import dataclasses
from typing import Any

from khayal.server.requests import fields_of, options, row_of

TEXT, INTEGER, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
FILE_SCHEMA = {"type": "string", "format": "binary"}


def schema_of(kind: type) -> dict[str, Any]:
    """The JSON schema of a request type, from its annotations."""
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    hints = fields_of(kind)
    required = [name for name in hints if defaults[name] is dataclasses.MISSING]
    properties = {name: _schema(hint) for name, hint in hints.items()}
    if hasattr(kind, "task"):
        properties["model"] = TEXT
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def _schema(hint: Any) -> dict[str, Any]:
    plain = {
        str: TEXT,
        int: INTEGER,
        float: NUMBER,
        bool: {"type": "boolean"},
        type(None): {"type": "null"},
    }
    found: list[dict[str, Any]] = []
    for option in options(hint):
        row = row_of(option)
        if option in plain:
            found.append(plain[option])
        elif dataclasses.is_dataclass(option) and isinstance(option, type):
            found.append(schema_of(option))
        elif row is not None and row[1]:
            found.append({"type": "array", "items": _schema(row[0][0])})
        elif row is not None:
            items = [_schema(one) for one in row[0]]
            count = len(items)
            found.append({"type": "array", "prefixItems": items, "minItems": count, "maxItems": count})
        else:
            found.append(MEDIA)
    return found[0] if len(found) == 1 else {"anyOf": found}


MEDIA = {
    "description": "A file of the form; or {id} of a video, a character, a file; or {url}, https: or data:.",
    "anyOf": [
        FILE_SCHEMA,
        {"type": "object", "required": ["id"], "properties": {"id": TEXT}},
        {"type": "object", "required": ["url"], "properties": {"url": TEXT}},
        {"type": "null"},
    ],
}
