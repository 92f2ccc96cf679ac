"""Where frames meet: known and imagined ones, and those of two latents. What jumps there is spread out.

Both are done only where the picture stands still, so that nothing that moves leaves a ghost of itself.
"""

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
_LEAST_CHUNK = 4


@dataclass(frozen=True)
class _Border:
    """A pinned frame: its number, what the decoder made of it, and what that lacks."""

    index: int
    decoded: Float[Tensor, "3 h w"]
    residual: Float[Tensor, "3 h w"]


def steadied(frames: Iterator[Float[Tensor, "b 3 f h w"]], per: int) -> Iterator[Float[Tensor, "b 3 n h w"]]:
    """The same frames without the flicker of chunks.

    A decoder that makes `per` frames from one latent errs in the next ones anew, so that a still picture
    twitches wherever `per` frames end. What such a step has more than those beside it is spread over as
    many steps, as video codecs smooth the edges of their blocks. Half a chunk waits for the next one.
    """
    if per < _LEAST_CHUNK:
        yield from frames
        return
    reach, start, border = per // 2, 0, per
    held: Tensor | None = None
    for piece in frames:
        held = piece.clone() if held is None else torch.cat((held, piece), dim=2)
        while start + held.shape[2] >= border + reach:
            _steady(held, border - start, per)
            border += per
        num_ready = border - reach - start
        if 0 < num_ready < held.shape[2]:
            yield held[:, :, :num_ready]
            held, start = held[:, :, num_ready:], start + num_ready
    if held is not None:
        yield held


def _steady(frames: Float[Tensor, "b 3 f h w"], border: int, per: int) -> None:
    """Spread the step at a border, in place."""
    before, after = frames[:, :, border - 1], frames[:, :, border]
    step = after - before
    beside = (before - frames[:, :, border - 2] + frames[:, :, border + 1] - after) / 2
    excess = (step - beside) * _stillness(step)
    for distance in range(per // 2):
        share = (per - 1 - 2 * distance) / (2 * per)
        frames[:, :, border - 1 - distance] += share * excess
        frames[:, :, border + distance] -= share * excess


def _stillness(change: Float[Tensor, "*b 3 h w"]) -> Float[Tensor, "*b 1 h w"]:
    """1 where nothing changes, 0 where something else is shown."""
    change = change.abs().amax(dim=-3, keepdim=True)
    change = F.avg_pool2d(change, _AROUND, stride=1, padding=_AROUND // 2, count_include_pad=False)
    return torch.exp(-(change / _MOVED).square())


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
    return frame + weight * _stillness(frame - border.decoded) * border.residual
