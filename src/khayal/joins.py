"""Where known frames meet imagined ones: what the decoder lacks at the border fades out over a few frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

REACH = 6
"""Frames over which a residual fades."""


def pinned(
    frames: Iterator[Float[Tensor, "1 3 f h w"]], pins: Mapping[int, Float[Tensor, "3 h w"]]
) -> Iterator[Float[Tensor, "1 3 n h w"]]:
    """The same frames; those that are pinned are exactly what is known of them.

    What a known frame has more than its decode, its residual, is added to its neighbours as well, less with
    each frame, so that neither detail nor colour jumps at the border. The frames after a pin follow as they
    come; those before the next one wait for it, `REACH` at most.

    Args:
        frames: decoded, in [-1, 1], a few at a time.
        pins: the true pixels of some frames, by number.
    """
    if not pins:
        yield from frames
        return
    waiting: list[Tensor] = []
    residual: Tensor | None = None
    last, index = 0, 0
    for chunk in frames:
        ready: list[Tensor] = []
        for frame in chunk[0].unbind(1):
            if index in pins:
                residual, last = pins[index].to(frame) - frame, index
                ready += [_faded(one, residual, len(waiting) - place) for place, one in enumerate(waiting)]
                waiting = []
                ready.append(pins[index].to(frame))
            else:
                faded = frame if residual is None else _faded(frame, residual, index - last)
                is_near = any(index < pin <= index + REACH for pin in pins)
                (waiting if is_near else ready).append(faded)
            index += 1
        if ready:
            yield torch.stack(ready, dim=1)[None]
    assert not waiting, "a pin lies beyond the frames"


def _faded(frame: Tensor, residual: Tensor, distance: int) -> Tensor:
    weight = max(0.0, 1 - distance / (REACH + 1))
    return frame + weight * residual if weight else frame
