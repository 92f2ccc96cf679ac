"""Integers only: seconds ↔ frames ↔ latent frames.

One *latent frame* (a column of the noise table) stands for several pixel frames. A causal autoencoder
makes the first latent from one frame and every later one from `frames_per_latent` (clips have 4k+1
frames); a chunk autoencoder makes each from `frames_per_latent`, and a still, repeated into its chunk,
shows one.

Rounding is stated once, here: a length is rounded to the nearest one that the model can make, halves up,
and never below one latent frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """How a checkpoint counts time.

    Attributes:
        fps: pixel frames per second.
        frames_per_latent: pixel frames in one latent frame.
        is_causal: True where the first latent frame is a single pixel frame (Wan).
    """

    fps: Fraction
    frames_per_latent: int = 4
    is_causal: bool = False

    @property
    def lead(self) -> int:
        """Frames that the first latent does not share with the others: 1 when causal, else 0."""
        return 1 if self.is_causal else 0

    def nearest_num_frames(self, num_frames: int) -> int:
        """The nearest number of frames that whole latents can show; a single frame is always one."""
        if num_frames <= 1:
            return 1
        per = self.frames_per_latent
        num_chunks = (2 * (num_frames - self.lead) + per) // (2 * per)
        return max(num_chunks * per, 0 if self.is_causal else per) + self.lead

    def num_frames(self, seconds: Fraction | float) -> int:
        """The nearest length in frames to `seconds`; zero seconds is one frame.

        A causal clip's first frame stands at time zero, so 4 s at 24 fps are 97 frames.
        """
        wanted = Fraction(seconds).limit_denominator(1_000_000) * self.fps
        if wanted <= 0:
            return 1
        whole = int(wanted + Fraction(1, 2)) + self.lead
        return self.nearest_num_frames(max(whole, 2))

    def num_latents(self, num_frames: int) -> int:
        """Latent frames that hold `num_frames` pixel frames (a still is one)."""
        if num_frames == 1:
            return 1
        return self.lead + -(-(num_frames - self.lead) // self.frames_per_latent)

    def frames_per_column(self, num_frames: int) -> tuple[int, ...]:
        """Pixel frames that each latent frame shows; they sum to `num_frames`."""
        if num_frames == 1:
            return (1,)
        lead = (1,) * self.lead
        return lead + (self.frames_per_latent,) * ((num_frames - self.lead) // self.frames_per_latent)

    def seconds(self, num_frames: int) -> Fraction:
        """The playing time of `num_frames`."""
        return Fraction(num_frames) / self.fps


def nearest_size(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """The nearest (width, height) whose sides are multiples of `multiple`, halves up, never zero."""
    width, height = (max(1, (2 * side + multiple) // (2 * multiple)) * multiple for side in size)
    return width, height


def runs(flags: Sequence[bool]) -> tuple[tuple[int, int], ...]:
    """The half-open spans of consecutive True values, in order."""
    edges = [i for i in range(len(flags)) if flags[i] and (i == 0 or not flags[i - 1])]
    ends = [i + 1 for i in range(len(flags)) if flags[i] and (i == len(flags) - 1 or not flags[i + 1])]
    return tuple(zip(edges, ends, strict=True))
