"""Prompts that speak of several shots, and of characters by name."""

from __future__ import annotations

import re
from collections.abc import Mapping

from khayal.errors import InputError

# A new sentence that begins so begins a new shot; “cuts to” inside a sentence tells of one clip.
_CUT = re.compile(
    r"(?:^|(?<=[.!?;,،؛])\s+|\s*\n\s*)"
    r"(?:(?:and )?then[, ]+(?:we )?cut to|cut to|(?:and )?(?:finally|next)[, ]+(?:we )?cut to"
    r"|ثم (?:ننتقل|نقطع|ينتقل المشهد) إلى)\s*:?\s+",
    re.IGNORECASE,
)
_FIRST = re.compile(r"^\s*(?:first|أولا|أولاً)\s*[,:،]?\s+", re.IGNORECASE)
_NAME = re.compile(r"\{(\w*)\}")


def shots_of(prompt: str) -> tuple[str, ...]:
    """The shots of “First … Then cut to …”; a prompt without cuts is a single one, as it is."""
    parts = [part.strip(" \n,;،؛") for part in _CUT.split(prompt)]
    parts = [part for part in parts if part]
    if len(parts) < 2:
        return (prompt,)
    parts[0] = _FIRST.sub("", parts[0])
    return tuple(part[:1].upper() + part[1:] for part in parts)


def with_names(prompt: str, descriptions: Mapping[str, str]) -> str:
    """The prompt with every {name} described.

    Raises:
        InputError: a name that is not in the cast.
    """

    def describe(found: re.Match[str]) -> str:
        if found[1] not in descriptions:
            known = ", ".join(descriptions) or "empty"
            raise InputError(f"“{found[0]}” is not in the cast", why=f"the cast is {known}")
        return descriptions[found[1]]

    return _NAME.sub(describe, prompt)


def names_in(prompt: str) -> frozenset[str]:
    """The names that a prompt uses."""
    return frozenset(_NAME.findall(prompt))
