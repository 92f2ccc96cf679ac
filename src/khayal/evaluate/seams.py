"""Where the frames of a result change hands: seams, and the other borders of chunks, from its plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from khayal.tasks import Made, Media, Plan, Source


@dataclass(frozen=True, kw_only=True)
class Borders:
    """Frames that differ in kind from the one before.

    Attributes:
        seams: the user's own frames begin here, or end.
        windows: what was made by another window begins here.
        chunks: another latent frame of the same window begins here.
        shots: first frame of each run of frames that read one prompt.
        given: the frames that are the user's own.
    """

    seams: tuple[int, ...]
    windows: tuple[int, ...]
    chunks: tuple[int, ...]
    shots: tuple[int, ...]
    given: tuple[int, ...] = ()

    @property
    def pins(self) -> tuple[int, ...]:
        """The user's own frames beside a seam."""
        return tuple(seam if seam in self.given else seam - 1 for seam in self.seams)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One latent frame of a result, or the user's own frames in a row.

    Attributes:
        source: what is known of it, or None where it is imagined.
        canvas: from which it is shown; −1 for frames that are as they were given.
        num_frames: how many it shows.
        shot: the prompt that it reads, or None.
    """

    source: Source | None
    canvas: int
    num_frames: int
    shot: int | None

    @property
    def maker(self) -> tuple[str, int]:
        """Which of the media it is from, or the canvas on which it was made."""
        if isinstance(self.source, Media):
            return "media", self.source.index
        return "canvas", self.source.index if isinstance(self.source, Made) else self.canvas


def shown(plan: Plan) -> Iterator[Shown]:
    """What a plan shows, from its first frame to its last."""
    for passage in plan.passages:
        if isinstance(passage, Media):
            yield Shown(source=passage, canvas=-1, num_frames=passage.num_frames, shot=None)
            continue
        for column in plan.canvases[passage].strip:
            if column.is_shown:
                yield Shown(
                    source=column.source if column.is_known else None,
                    canvas=passage,
                    num_frames=column.num_frames,
                    shot=column.shot,
                )


def borders_of(plan: Plan) -> Borders:
    """Where a result changes hands.

    A chunk that is shown from the window after it was made belongs to the window that made it.
    """
    seams: list[int] = []
    windows: list[int] = []
    chunks: list[int] = []
    shots: list[int] = []
    at, shot = 0, None
    before: tuple[str, int] | None = None
    for one in shown(plan):
        if before is not None:
            is_given = "media" in (one.maker[0], before[0])
            (chunks if one.maker == before else seams if is_given else windows).append(at)
        if one.shot is not None and one.shot != shot:
            shots.append(at)
            shot = one.shot
        at, before = at + one.num_frames, one.maker
    return Borders(
        seams=tuple(seams),
        windows=tuple(windows),
        chunks=tuple(chunks),
        shots=tuple(shots),
        given=tuple(at for at, _, _ in given_frames(plan)),
    )


def given_frames(plan: Plan) -> Iterator[tuple[int, int, int]]:
    """Frames of a result that are the user's: their place, which of the media, and which frame of it."""
    at = 0
    for one in shown(plan):
        if isinstance(one.source, Media):
            first = one.source.first_frame + one.source.num_frames - one.num_frames
            for step in range(one.num_frames):
                yield at + step, one.source.index, first + step
        at += one.num_frames
