"""khayal (خيال, “imagination”): a description becomes a video, on your own machine."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from khayal import tasks
    from khayal.clip import Clip
    from khayal.errors import KhayalError
    from khayal.studio import Studio, open

__all__ = ["Clip", "KhayalError", "Studio", "__version__", "open", "tasks"]
__version__ = "0.1.0"

_HOMES = {
    "Clip": "khayal.clip",
    "KhayalError": "khayal.errors",
    "Studio": "khayal.studio",
    "open": "khayal.studio",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import khayal` costs nothing."""
    if name == "tasks":
        return import_module("khayal.tasks")
    if name not in _HOMES:
        raise AttributeError(f"module 'khayal' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
