"""Integers only: seconds ↔ frames ↔ latent frames.

One *latent frame* (a column of the noise table) stands for several pixel frames. A causal autoencoder
makes the first latent from one frame and every later one from `frames_per_latent`, so its clips have 4k+1
frames. A chunk autoencoder makes each from `frames_per_latent`; where a clip starts with a still, which is
repeated into its chunk, that column shows one frame, and the clip has 1+4k too.

Rounding is stated once, here: a length is rounded to the nearest one that the model can make, halves up,
and is never shorter than one latent frame.
"""

from __future__ import annotations

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

    def starts_single(self, *, with_still: bool = False) -> bool:
        """True where the first column shows one frame."""
        return self.is_causal or with_still

    def nearest_num_frames(self, num_frames: int, *, with_still: bool = False) -> int:
        """The nearest number of frames that whole columns can show; one frame is always possible."""
        if num_frames <= 1:
            return 1
        single = self.starts_single(with_still=with_still)
        per = self.frames_per_latent
        num_chunks = (2 * (num_frames - single) + per) // (2 * per)
        return max(num_chunks, 0 if single else 1) * per + single

    def num_frames(self, seconds: Fraction | float, *, with_still: bool = False) -> int:
        """The nearest length in frames to `seconds`; zero seconds is one frame.

        A single first frame stands at time zero, so that 4 s at 24 fps are 97 frames.
        """
        wanted = Fraction(seconds).limit_denominator(1_000_000) * self.fps
        if wanted <= 0:
            return 1
        whole = int(wanted + Fraction(1, 2)) + self.starts_single(with_still=with_still)
        return self.nearest_num_frames(max(whole, 2), with_still=with_still)

    def frames_per_column(self, num_frames: int, *, with_still: bool = False) -> tuple[int, ...]:
        """Pixel frames that each column shows; they sum to `num_frames`, which must be a possible length."""
        if num_frames == 1:
            return (1,)
        single = self.starts_single(with_still=with_still)
        return (1,) * single + (self.frames_per_latent,) * ((num_frames - single) // self.frames_per_latent)

    def seconds(self, num_frames: int) -> Fraction:
        """The playing time of `num_frames`."""
        return Fraction(num_frames) / self.fps


def nearest_size(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """The nearest (width, height) whose sides are multiples of `multiple`, halves up, never zero."""
    width, height = (max(1, (2 * side + multiple) // (2 * multiple)) * multiple for side in size)
    return width, height
