"""The choices of one run: a request with the checkpoint's defaults filled in, checked against it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from khayal.checkpoint.folder import Checkpoint
from khayal.errors import InputError
from khayal.tasks import Request
from khayal.timeline import nearest_size


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run is made with; recorded with its clip.

    Attributes:
        seed: of the noise; None where the noise was given.
        guidance: one scale for each expert.
        window_guidance: the same where a window only goes on from another one (`Sketch.goes_on`). Guidance
            or a negative prompt that the user gives act everywhere.
    """

    size: tuple[int, int]
    seed: int | None
    steps: int
    guidance: tuple[float, ...]
    window_guidance: tuple[float, ...]
    guidance_interval: tuple[float, float]
    solver: str

    @property
    def is_guided(self) -> bool:
        """True where some step asks for a second prompt."""
        return any(scale != 1 for scale in self.guidance + self.window_guidance)

    @classmethod
    def of(cls, request: Request, checkpoint: Checkpoint, *, has_noise: bool) -> Settings:
        """Fill in the checkpoint's defaults.

        Raises:
            InputError: for what this checkpoint cannot do, naming what it can.
        """
        checkpoint.check_task(request.task)
        defaults = checkpoint.defaults
        guidance = _for_each_expert(request.guidance, defaults.guidance)
        if request.negative is not None and all(scale == 1 for scale in guidance):
            raise InputError(
                "A negative prompt does nothing at guidance 1", fix="raise the guidance, or leave it out"
            )
        is_asked = request.guidance is not None or request.negative is not None
        in_windows = None if is_asked else defaults.window_guidance
        seed = request.seed
        if seed is not None and has_noise:
            raise InputError("Both a seed and the noise were given", fix="give one of them")
        if seed is None and not has_noise:
            seed = secrets.randbelow(2**32)
        return cls(
            size=_possible_size(request.size or defaults.size, checkpoint.size_multiple),
            seed=seed,
            steps=request.steps or defaults.steps,
            guidance=guidance,
            window_guidance=guidance if in_windows is None else (in_windows,) * len(guidance),
            guidance_interval=request.guidance_interval or (0.0, 1.0),
            solver=request.solver or checkpoint.scheduler.solver,
        )


def _possible_size(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    nearest = nearest_size(size, multiple)
    if size != nearest:
        raise InputError(
            f"This model cannot make {size[0]}×{size[1]}",
            why=f"its sides are multiples of {multiple}",
            fix=f"take {nearest[0]}x{nearest[1]}, the nearest that it can",
        )
    return size


def _for_each_expert(
    asked: float | tuple[float, ...] | None, default: tuple[float, ...]
) -> tuple[float, ...]:
    """One scale of guidance for each expert; a single number is for all."""
    if asked is None:
        return default
    scales = asked if isinstance(asked, tuple) else (float(asked),) * len(default)
    if len(scales) != len(default):
        raise InputError(
            f"{len(scales)} guidance scales were given",
            why=f"this model has {len(default)} expert{'s' * (len(default) > 1)}",
            fix="give one number, or one for each expert",
        )
    return scales
