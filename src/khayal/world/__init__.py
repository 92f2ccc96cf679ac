"""A captioned physics world that knows the truth of what it shows.

    from khayal.world import Request, stream
    for clip in stream(seed=0, count=4, request=Request(dial=2)):
        clip.frames, clip.captions, clip.truth

Captions and truth import without MuJoCo; what renders imports it on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from khayal.world.captions import Caption, caption, read, words
    from khayal.world.clips import Passage, WorldClip, render_clip
    from khayal.world.draw import Request
    from khayal.world.facts import Facts, facts_of
    from khayal.world.feed import Windows, stream
    from khayal.world.folder import render_folder
    from khayal.world.sheet import contact_sheet
    from khayal.world.truth import Truth

_HOMES = {
    "Caption": "captions",
    "Facts": "facts",
    "Passage": "clips",
    "Request": "draw",
    "Truth": "truth",
    "Windows": "feed",
    "WorldClip": "clips",
    "caption": "captions",
    "contact_sheet": "sheet",
    "facts_of": "facts",
    "read": "captions",
    "render_clip": "clips",
    "render_folder": "folder",
    "stream": "feed",
    "words": "captions",
}
__all__ = [
    "Caption",
    "Facts",
    "Passage",
    "Request",
    "Truth",
    "Windows",
    "WorldClip",
    "caption",
    "contact_sheet",
    "facts_of",
    "read",
    "render_clip",
    "render_folder",
    "stream",
    "words",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'khayal.world' has no attribute {name!r}")
    return getattr(import_module(f"khayal.world.{_HOMES[name]}"), name)
