"""What the API says when something cannot be done."""

from __future__ import annotations

from typing import Any

from khayal.errors import InputError

INVALID = "invalid_request_error"


class ApiError(Exception):
    """An answer that is an error.

    Args:
        status: of HTTP.
        message: a sentence for people.
        code: a word for programs.
        param: the field that is meant.
        kind: the class of error.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = INVALID,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param, self.kind = status, message, code, param, kind
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """As JSON."""
        told = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": told}


def bad(message: str, param: str | None = None, code: str = "invalid_value") -> ApiError:
    """A 400 for a field that cannot be used."""
    return ApiError(400, message, code=code, param=param)


def missing(param: str) -> ApiError:
    """A 400 for a field that has to be there."""
    return bad(f"Missing required parameter: “{param}”.", param, "missing_required_parameter")


def unknown(param: str, known: str) -> ApiError:
    """A 400 for a field that nobody reads: it must not seem to have been heeded."""
    return bad(f"Unknown parameter: “{param}”. Known: {known}.", param, "unknown_parameter")


def not_found(kind: str, name: str) -> ApiError:
    """A 404."""
    return ApiError(404, f"There is no {kind} “{name[:80]}”.", code="not_found", param=f"{kind}_id")


def denied() -> ApiError:
    """A 400 for what the content policy does not allow."""
    message = "This server's content policy does not allow it."
    return ApiError(400, message, code="content_policy_violation", param="prompt")


def of_input(error: InputError, names: dict[str, str]) -> ApiError:
    """What khayal says about a request, with the field that it is about.

    Args:
        error: khayal's.
        names: khayal's name of each field → the client's.
    """
    words = error.what.replace("“", " ").replace("”", " ").replace("negative prompt", "negative").split()
    found = next((names[word] for word in words[:4] if word in names), None)
    return bad(str(error), found)
