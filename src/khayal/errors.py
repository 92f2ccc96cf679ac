"""What khayal says when something cannot be done: what happened, why, and what to do next."""

from __future__ import annotations


class KhayalError(Exception):
    """An error made for the person who reads it.

    Args:
        what: what could not be done, as a clause without a full stop.
        why: the cause, where it is known.
        fix: the next thing to do, in the imperative.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        self.what, self.why, self.fix = what, why, fix
        sentence = what + (f": {why}" if why else "")
        super().__init__(f"{sentence}. {fix[:1].upper()}{fix[1:]}." if fix else f"{sentence}.")


class InputError(KhayalError):
    """Something that the user gave cannot be used: a value, an image, a clip."""

    exit_code = 2


class CheckpointError(KhayalError):
    """A checkpoint folder is missing, broken, or of a kind that khayal cannot open."""


class OutputError(KhayalError):
    """The result has nowhere to go. Raised before the work starts."""


class CapacityError(KhayalError):
    """The device has too little memory for what was asked. Raised before anything is loaded."""


class MissingExtraError(KhayalError):
    """A part of khayal that is installed separately is not there."""

    def __init__(self, what: str, *, extra: str) -> None:
        super().__init__(
            what,
            why=f"the extra “{extra}” is not installed",
            fix=f"run: pip install 'khayal[{extra}]'",
        )


class Cancelled(KhayalError):  # noqa: N818 - it is not a failure
    """The work was stopped by the one who asked for it."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("Stopped on request")
