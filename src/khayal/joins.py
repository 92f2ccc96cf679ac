"""Where known frames meet imagined ones: what the decoder lacks at the border fades out over a few frames."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

REACH = 12
"""Frames over which a residual fades."""

_MOVED = 0.25
"""How much a place differs, in pixels of [-1, 1], where it shows something else than at the border."""
_AROUND = 5


@dataclass(frozen=True)
class _Border:
    """A pinned frame: its number, what the decoder made of it, and what that lacks."""

    index: int
    decoded: Float[Tensor, "3 h w"]
    residual: Float[Tensor, "3 h w"]


def pinned(
    frames: Iterator[Float[Tensor, "1 3 f h w"]], pins: Mapping[int, Float[Tensor, "3 h w"]]
) -> Iterator[Float[Tensor, "1 3 n h w"]]:
    """The same frames; those that are pinned are exactly what is known of them.

    What a known frame has more than its decode, its residual, is added to its neighbours as well, less with
    each frame, so that neither detail nor colour jumps at the border; and only where the picture stands
    still, so that nothing that moves leaves a ghost of itself. The frames after a pin follow as they come;
    those before the next one wait for it, `REACH` at most.

    Args:
        frames: decoded, in [-1, 1], a few at a time.
        pins: the true pixels of some frames, by number.
    """
    if not pins:
        yield from frames
        return
    waiting: list[Tensor] = []
    border: _Border | None = None
    index = 0
    for chunk in frames:
        ready: list[Tensor] = []
        for frame in chunk[0].unbind(1):
            if index in pins:
                truth = pins[index].to(frame)
                here = _Border(index, frame, truth - frame)
                ready += [
                    _mended(one, here, index - len(waiting) + place) for place, one in enumerate(waiting)
                ]
                waiting, border = [], here
                ready.append(truth)
            else:
                mended = frame if border is None else _mended(frame, border, index)
                is_near = any(index < pin <= index + REACH for pin in pins)
                (waiting if is_near else ready).append(mended)
            index += 1
        if ready:
            yield torch.stack(ready, dim=1)[None]
    assert not waiting, "a pin lies beyond the frames"


def _mended(frame: Float[Tensor, "3 h w"], border: _Border, index: int) -> Float[Tensor, "3 h w"]:
    """A frame with what it has of the residual of a border near it."""
    distance = abs(index - border.index)
    if distance > REACH:
        return frame
    weight = 0.5 + 0.5 * math.cos(math.pi * distance / (REACH + 1))
    change = (frame - border.decoded).abs().amax(dim=0, keepdim=True)
    change = F.avg_pool2d(change, _AROUND, stride=1, padding=_AROUND // 2, count_include_pad=False)
    return frame + weight * torch.exp(-(change / _MOVED).square()) * border.residual
