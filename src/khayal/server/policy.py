"""What may not be asked for and not be shown: a list of words, and a moderation endpoint."""

from __future__ import annotations

import base64
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from khayal.errors import InputError

_SECONDS = 20.0
_MAX_ANSWER = 1 << 20


class Denied(Exception):  # noqa: N818 - it is an answer
    """The content policy of this server does not allow it."""

    def __init__(self) -> None:
        super().__init__("This server's content policy does not allow it.")


class Unreachable(Exception):  # noqa: N818 - it is an answer
    """The moderation endpoint gave no answer, so nothing can be allowed."""

    def __init__(self) -> None:
        super().__init__("The moderation endpoint gave no answer, so that nothing is allowed for now.")


class Blocklist:
    """Words, phrases and regular expressions that no prompt may have in it.

    Args:
        lines: one in each; `re:` begins a regular expression, `#` a remark. Case does not matter, and a word
            is only found as a whole.

    Raises:
        InputError: a regular expression is none.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._patterns = []
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            is_pattern = text.startswith("re:")
            words = r"\s+".join(map(re.escape, text.split()))
            try:
                pattern = text[3:].strip() if is_pattern else rf"(?<!\w){words}(?!\w)"
                self._patterns.append(re.compile(pattern, re.IGNORECASE))
            except re.error as error:
                raise InputError(f"Line {number} of the blocklist is no pattern", why=str(error)) from error

    @classmethod
    def read(cls, path: Path | None) -> Blocklist:
        """The list in a file; an empty one where there is none.

        Raises:
            InputError: it cannot be read.
        """
        if path is None:
            return cls([])
        try:
            return cls(path.read_text(encoding="utf-8").splitlines())
        except (OSError, UnicodeError) as error:
            raise InputError(f"The blocklist {path} cannot be read", why=str(error)) from error

    def check(self, *texts: str) -> None:
        """Raises Denied where one of the texts has in it what is on the list."""
        if any(pattern.search(text) for pattern in self._patterns for text in texts):
            raise Denied


class Moderation:
    """An endpoint that answers as `/v1/moderations` does: `{"results": [{"flagged": …}]}`.

    Args:
        url: of it; None for none, which allows everything.
    """

    def __init__(self, url: str | None) -> None:
        self._url = url

    def check_text(self, *texts: str) -> None:
        """Raises Denied where a text is flagged, Unreachable where no answer comes."""
        if self._url is not None:
            self._ask([text for text in texts if text])

    def check_picture(self, path: Path) -> None:
        """The same for a picture."""
        if self._url is not None:
            kind = "webp" if path.suffix == ".webp" else "jpeg"
            data = base64.b64encode(path.read_bytes()).decode()
            url = f"data:image/{kind};base64,{data}"
            self._ask([{"type": "image_url", "image_url": {"url": url}}])

    def _ask(self, given: list[Any]) -> None:
        assert self._url is not None
        body = json.dumps({"input": given}).encode()
        request = urllib.request.Request(
            self._url, data=body, headers={"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
                results = json.loads(answer.read(_MAX_ANSWER))["results"]
                is_flagged = any(result["flagged"] for result in results)
        except (urllib.error.URLError, OSError, ValueError, KeyError, TypeError) as error:
            raise Unreachable from error
        if is_flagged:
            raise Denied
