"""Requests carried out by the checkpoint that is evaluated; all that happens on the way is in sight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from khayal.evaluate.making import Maker
from khayal.evaluate.seams import Borders, borders_of, given_frames
from khayal.rollout import Choices, Rollout, Text
from khayal.settings import Settings
from khayal.studio import Studio, to_pixels
from khayal.tasks import Request

Frames = UInt8[np.ndarray, "_ h w 3"]


@dataclass(frozen=True, kw_only=True)
class Known:
    """What was given, and how much of it did not come back as it was.

    Attributes:
        columns, changed_columns: latent frames of all canvases.
        frames, changed_frames: the user's own, where they are shown.
    """

    columns: int = 0
    changed_columns: int = 0
    frames: int = 0
    changed_frames: int = 0

    def to_row(self) -> Tensor:
        """Its fields as one row."""
        return torch.tensor([self.columns, self.changed_columns, self.frames, self.changed_frames])


class Performer:
    """Does what `Studio.run` does, on the parts that a `Maker` holds; its canvases can be looked into."""

    def __init__(self, maker: Maker) -> None:
        self.maker = maker
        self.studio = Studio(maker.checkpoint, device=str(maker.device))

    def begin(self, request: Request) -> Rollout:
        """Plan a request; nothing is made yet."""
        settings = Settings.of(request, self.maker.checkpoint, has_noise=False)
        media = self.studio.footage(request)
        plan = self.studio.plan(request, media)
        prompts = torch.cat([self.maker.text([prompt]) for prompt in plan.prompts])[None]
        negative = self.maker.text([request.negative or ""]) if settings.is_guided else None
        return Rollout(
            plan=plan,
            checkpoint=self.maker.checkpoint,
            components=self.maker.components,
            media=media,
            text=Text(prompts=prompts, negative=negative),
            choices=Choices(settings=settings),
        )

    def perform(self, request: Request, given: Sequence[Frames] = ()) -> tuple[Frames, Borders, Known]:
        """All frames of a request, where they change hands, and whether what was given came back.

        Args:
            given: the frames of each of the request's media, as they were given.
        """
        rollout = self.begin(request)
        frames = np.concatenate(list(frames_of(rollout)))
        return frames, borders_of(rollout.plan), known_in(rollout, frames, given)


def frames_of(rollout: Rollout) -> Iterator[Frames]:
    """The frames of a result as they would be written to a file, a few at a time."""
    for piece in rollout:
        yield to_pixels(piece) if isinstance(piece, Tensor) else piece


def known_in(rollout: Rollout, frames: Frames | None = None, given: Sequence[Frames] = ()) -> Known:
    """Compare what was known with what is there after sampling, column by column and frame by frame.

    Args:
        rollout: of which everything is made.
        frames: the result; None leaves the frames out.
        given: the frames of each of the media.
    """
    columns = changed = 0
    for number in range(len(rollout.plan.canvases)):
        canvas, latents = rollout.canvas(number), rollout.latents(number)
        for place in canvas.is_known.nonzero()[:, 0].tolist():
            columns += 1
            changed += not torch.equal(latents[:, :, place], canvas.latents[:, :, place])
    places = [] if frames is None else [*given_frames(rollout.plan)]
    odd = sum(
        not np.array_equal(frames[at], given[index][frame])  # type: ignore[index]
        for at, index, frame in places
    )
    return Known(columns=columns, changed_columns=changed, frames=len(places), changed_frames=odd)
