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

    def held(self, num_columns: int, *, starts_strip: bool) -> int:
        """Pixel frames in that many columns; `starts_strip` where no others are decoded before them."""
        return self.frames_per_latent * num_columns - self._short(num_columns, starts_strip)

    def num_columns(self, num_frames: int, *, starts_strip: bool) -> int:
        """The fewest columns that hold `num_frames`."""
        return -(-(num_frames + self._short(num_frames, starts_strip)) // self.frames_per_latent)

    def last_frame(self, column: int, *, single: bool) -> int:
        """The last pixel frame of a column, where the first one shows `single` frames or all."""
        return self.frames_per_latent * column + (0 if single else self.frames_per_latent - 1)

    def nearest_column(self, seconds: Fraction | float, *, single: bool) -> int:
        """The column whose last frame is nearest to a moment."""
        frame = Fraction(seconds).limit_denominator(1_000_000) * self.fps
        return max(0, round((frame - self.last_frame(0, single=single)) / self.frames_per_latent))

    def shares_backward(self, num_frames: int, *, last: int, earlier: int) -> list[int]:
        """New columns of each window of a stretch that ends before known frames, from the last to the first.

        Args:
            num_frames: to be made; every window decodes by itself.
            last: room for new columns in the last window, which is made first.
            earlier: room in those before it.
        """
        rooms = [max(1, last)]
        while sum(self.held(room, starts_strip=True) for room in rooms) < num_frames:
            rooms.append(max(1, earlier))
        counts: list[int] = []
        left = num_frames
        for index, room in enumerate(rooms):
            even = -(-left // (len(rooms) - index))
            beyond = sum(self.held(other, starts_strip=True) for other in rooms[index + 1 :])
            counts.append(min(room, self.num_columns(max(even, left - beyond), starts_strip=True)))
            left -= self.held(counts[-1], starts_strip=True)
        return [count for count in counts if count]

    def _short(self, count: int, starts_strip: bool) -> int:
        """Frames that a strip lacks, because its first column holds a single one."""
        return self.frames_per_latent - 1 if self.is_causal and starts_strip and count else 0

    def seconds(self, num_frames: int) -> Fraction:
        """The playing time of `num_frames`."""
        return Fraction(num_frames) / self.fps


def shares(total: int, *, only: int, first: int, later: int, last: int) -> list[int]:
    """New columns of each window, as even as their rooms allow; a single empty one for none.

    Args:
        total: columns to be made.
        only: room in a window that is the only one.
        first, later, last: room in each where there are several.
    """
    if total <= only:
        return [total]
    rooms = [max(1, first), max(1, last)]
    while sum(rooms) < total:
        rooms.insert(1, max(1, later))
    counts: list[int] = []
    for index, room in enumerate(rooms):
        left = total - sum(counts)
        even = -(-left // (len(rooms) - index))
        counts.append(min(room, max(even, left - sum(rooms[index + 1 :]))))
    return counts


def nearest_size(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """The nearest (width, height) whose sides are multiples of `multiple`, halves up, never zero."""
    width, height = (max(1, (2 * side + multiple) // (2 * multiple)) * multiple for side in size)
    return width, height
