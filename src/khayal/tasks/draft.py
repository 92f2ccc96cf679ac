"""From stretches of time to canvases: windows with known tails, anchors, and what is known on both sides.

A *window* is as many columns as a model makes at once. A longer stretch is made window after window: the
last columns of one are known in the next, and so are *anchors* from the first, against drift. In a
stretch that has only an end (backward), windows are made from the last to the first.

Where a canvas begins with known frames of the one before, two kinds of autoencoder differ. Chunks stand
alone: latents are taken as they are, and the last column of a window is shown from the next one, where its
decoder sees both neighbours. A causal one has to decode the tail and encode it again as 4k+1 frames; what
that changes is faded out (`Pin`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from khayal.tasks.plan import Basis, Column, Made, Media, Pin, Plan, Sketch, Source
from khayal.tasks.request import Request
from khayal.timeline import shares

NUM_ANCHORS = 4
"""Columns of the first window that later ones see, evenly from its beginning to its end. With its first half
alone (two of them) an actor that has moved on is imagined again where it stood."""
NUM_KEYS, NUM_SHOTS = 2, 3
"""Columns of an earlier shot that a later one sees, and of how many shots before it."""
SHOT_GAP = 24
"""Latent frames from there to the new shot: so far away that it does not go on with what they show."""
MADE_LEVEL = 0.0
"""Noise level of known columns that were imagined; up to 0.15 is trained, and can be better against drift."""
FARTHEST_ANCHOR = 180
"""Latent frames back, the most that khayal's own models are trained on; farther ones are drawn up to it."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Frames to be made in a row.

    Attributes:
        num_frames: how many.
        before, after: known frames at either side, or None.
        likeness: what they start from, noised to `level`, or None for pure noise.
        shot: the prompt that they read.
        keyframes: stills that stand at the last frame of a new column, by its number.
        shows_before: True where the frame before is part of this canvas's result: a still that comes alive.
    """

    num_frames: int
    before: Source | None = None
    after: Source | None = None
    likeness: Source | None = None
    level: float = 1.0
    shot: int = 0
    keyframes: tuple[tuple[int, Media], ...] = ()
    shows_before: bool = False


class Draft:
    """A plan that is being made."""

    def __init__(self, basis: Basis) -> None:
        self.basis = basis
        self.timeline = basis.timeline
        self.sketches: list[Sketch] = []
        self.passages: list[Media | int] = []
        self.seen: list[Column] = []
        self._keys: list[list[Column]] = []
        window = basis.window or 10**9
        self.window = max(4, window)
        self.tail = max(2, self.window // 4)  # a shown chunk needs both neighbours
        self.context = max(2, self.window // 3)

    def plan(self, request: Request, *prompts: str, notes: tuple[str, ...] = ()) -> Plan:
        """The finished plan."""
        return Plan(
            request=request,
            canvases=tuple(self.sketches),
            passages=tuple(self.passages),
            prompts=prompts,
            notes=notes,
        )

    def show(self, frames: Media) -> None:
        """Frames of a medium, as they are."""
        if not frames.num_frames:
            return
        self.passages.append(frames)
        if self._keys and not self._keys[-1]:
            self._keys[-1] = [self.aside(frames, shot=len(self._keys) - 1)]

    def make(self, stretch: Stretch) -> list[int]:
        """Lay a stretch on one canvas or several; returns their numbers, in the order of time."""
        if stretch.before is None and stretch.after is not None:
            made = self._backward(stretch)
        else:
            made = self._forward(stretch)
        self.passages += made
        if self._keys and not self._keys[-1]:
            self._keys[-1] = self._keys_of(made[0])
        return made

    def begin_shot(self, cast: list[Column]) -> None:
        """From now on canvases see the shots so far, and some of the cast."""
        columns = [*cast, *(column for shot in self._keys[-NUM_SHOTS:] for column in shot)]
        first = -SHOT_GAP - len(columns)
        self.seen = [replace(c, position=float(p)) for p, c in enumerate(columns, start=first)]
        self._keys.append([])

    def aside(self, source: Source, *, shot: int) -> Column:
        """A column that the model sees besides: the beginning of known frames."""
        size = 1 if self.timeline.is_causal or source.num_frames == 1 else self.timeline.frames_per_latent
        return replace(_known(source.part(0, size), shot=shot), is_aside=True)

    def _keys_of(self, number: int) -> list[Column]:
        """Columns from the middle of a canvas, for later shots to look at."""
        strip = self.sketches[number].strip
        first = max(0, len(strip) // 2 - NUM_KEYS // 2)
        places = range(first, min(first + NUM_KEYS, len(strip)))
        return [replace(self._made(number, place), is_aside=True) for place in places]

    def _made(self, number: int, place: int) -> Column:
        """A column of a canvas as a known one of another; of a causal one its last frame, as an image."""
        held = self.held(len(self.sketches[number].strip))
        size = 1 if self.timeline.is_causal else held[place]
        source = Made(index=number, first_frame=sum(held[: place + 1]) - size, num_frames=size)
        return _known(source, shot=self.sketches[number].strip[place].shot)

    def frames_of(self, number: int) -> Made:
        """All frames that a canvas holds."""
        return Made(index=number, num_frames=sum(self.held(len(self.sketches[number].strip))))

    def held(self, num_columns: int) -> list[int]:
        """Pixel frames that each column of a strip holds."""
        per = self.timeline.frames_per_latent
        return [1 if self.timeline.is_causal and place == 0 else per for place in range(num_columns)]

    def _forward(self, stretch: Stretch) -> list[int]:
        timeline = self.timeline
        num_before, num_after = self._contexts(stretch)
        total = timeline.num_columns(stretch.num_frames, starts_strip=num_before == 0)
        hidden = timeline.held(total, starts_strip=num_before == 0) - stretch.num_frames
        before = stretch.before
        if before is not None and hidden:  # these frames are known, and imagined all the same
            before = before.part(0, before.num_frames - hidden)
        firsts = self._known_before(before, num_before, stretch.shot)
        counts = shares(  # only the last window sees what comes after
            total,
            only=self.window - len(firsts) - num_after,
            first=self.window - len(firsts),
            later=self.window - self.tail,
            last=self.window - self.tail - num_after,
        )
        made: list[int] = []
        start, done = 0, 0
        for number, share in enumerate(counts):
            strip = _Strip(self, firsts)
            if number:
                before = self.frames_of(made[-1])
                strip = _Strip(self, self._known_before(before, self.tail, stretch.shot))
                start += len(self.sketches[made[-1]].strip) - len(strip.columns)
            if strip.columns and isinstance(before, Made):
                self._hand_over(strip, before.index)
            strip.add_new(share, stretch, first=done, hidden=0 if number else hidden)
            strip.pin_before(before, 0 if number else hidden, is_shown=stretch.shows_before and number == 0)
            if number == len(counts) - 1:
                strip.add_after(stretch.after, num_after)
            asides = list(self.seen)
            if number:
                asides += self._anchors(made[0], start, len(strip.columns))
            asides += strip.keyframes(stretch, first=done, share=share, reach=self.window)
            done += share
            made.append(self._add(strip, asides))
        return made

    def _backward(self, stretch: Stretch) -> list[int]:
        timeline = self.timeline
        counts = timeline.shares_backward(
            stretch.num_frames, last=self.window - self.context, earlier=self.window - self.tail
        )
        made: list[int] = []
        left, behind = stretch.num_frames, 0
        for number, share in enumerate(counts):
            after = stretch.after if number == 0 else self.frames_of(made[-1])
            strip = _Strip(self, [])
            num_frames = timeline.held(share, starts_strip=True)
            strip.add_new(share, stretch, first=0, hidden=max(0, num_frames - left))
            left -= num_frames
            strip.add_after(after, self.context if number == 0 else self.tail)
            if isinstance(after, Made) and not timeline.is_causal:
                shown = self._hide(after.index, last=False)
                strip.columns[share] = replace(strip.columns[share], is_shown=True, num_frames=shown)
            asides = list(self.seen)
            if number:
                behind += share
                asides += self._anchors(made[0], -behind, len(strip.columns))
            made.append(self._add(strip, asides))
        return made[::-1]

    def _contexts(self, stretch: Stretch) -> tuple[int, int]:
        """Known columns before and after; fewer of them where everything then fits in one window."""
        per, causal = self.timeline.frames_per_latent, self.timeline.is_causal
        before, after = stretch.before, stretch.after
        most_before = 0 if before is None else max(1, (before.num_frames - causal) // per + causal)
        most_after = 0 if after is None else after.num_frames // per
        new = self.timeline.num_columns(stretch.num_frames, starts_strip=before is None)
        room = (self.window - new) // 2 if before is not None and after is not None else self.context
        context = min(self.context, room) if room >= 2 else self.context
        return min(most_before, context), min(most_after, context)

    def _known_before(self, before: Source | None, most: int, shot: int) -> list[Column]:
        """The last frames of what comes before, as known columns; positions and places are set later."""
        if before is None or most == 0:
            return []
        per, num_frames = self.timeline.frames_per_latent, before.num_frames
        if self.timeline.is_causal:
            count = min(most, 1 + (num_frames - 1) // per)
            sizes = [1, *[per] * (count - 1)]
        else:
            sizes = [per] * min(most, num_frames // per)
            sizes = sizes or [1]  # less than a chunk: its last frame, as a still
        if isinstance(before, Made):
            shot = self.sketches[before.index].strip[-1].shot
        first, columns = num_frames - sum(sizes), []
        for size in sizes:
            columns.append(_known(before.part(first, size), shot=shot))
            first += size
        return columns

    def _hand_over(self, strip: _Strip, before: int) -> None:
        """A chunk at a border is shown from the canvas in which its decoder sees both neighbours."""
        if self.timeline.is_causal:
            return
        shown = self._hide(before, last=True)
        strip.columns[-1] = replace(strip.columns[-1], is_shown=True, num_frames=shown)

    def _hide(self, number: int, *, last: bool) -> int:
        """Show the last or the first shown column of a canvas no more; returns the frames that it showed."""
        columns = list(self.sketches[number].columns)
        places = [place for place, column in enumerate(columns) if column.is_shown]
        place = places[-1 if last else 0]
        columns[place] = replace(columns[place], is_shown=False)
        self.sketches[number] = replace(self.sketches[number], columns=tuple(columns))
        return columns[place].num_frames

    def _anchors(self, first: int, distance: int, num_columns: int) -> list[Column]:
        """Columns of the first window, `distance` columns before a strip (behind it: below 0), not in it."""
        num_first = len(self.sketches[first].strip)
        anchors: list[Column] = []
        for place in sorted({index * num_first // NUM_ANCHORS for index in range(NUM_ANCHORS)}):
            position = place - distance
            if 0 <= position < num_columns:
                continue
            order = len(anchors)
            position = min(max(position, order - FARTHEST_ANCHOR), order + FARTHEST_ANCHOR)
            anchors.append(replace(self._made(first, place), position=float(position), is_aside=True))
        return anchors

    def _add(self, strip: _Strip, asides: list[Column]) -> int:
        columns = [*asides, *(replace(c, position=float(p)) for p, c in enumerate(strip.columns))]
        earliest = min(column.position for column in columns)
        columns = [replace(column, position=column.position - earliest) for column in columns]
        self.sketches.append(Sketch(columns=tuple(columns), pins=tuple(strip.pins)))
        return len(self.sketches) - 1


class _Strip:
    """The columns of a canvas that are decoded, as they are laid."""

    def __init__(self, draft: Draft, known: list[Column]) -> None:
        self.draft = draft
        self.known = known
        self.columns = list(known)
        self.pins: list[Pin] = []

    def add_new(self, share: int, stretch: Stretch, *, first: int, hidden: int) -> None:
        """Columns `first` to `first + share` of a stretch, without the frames that nobody asked for."""
        timeline = self.draft.timeline
        start = timeline.held(first, starts_strip=not stretch.before) - hidden
        for _ in range(share):
            held = self.draft.held(len(self.columns) + 1)[-1]
            shown = max(0, held - hidden)
            source = None if stretch.likeness is None else stretch.likeness.part(start, held)
            self.columns.append(
                Column(
                    num_frames=shown,
                    position=0,
                    source=source,
                    level=stretch.level,
                    is_shown=shown > 0,
                    shot=stretch.shot,
                )
            )
            hidden -= held - shown
            start += held

    def pin_before(self, before: Source | None, hidden: int, *, is_shown: bool) -> None:
        """The last known frame before the new ones."""
        if before is None or not self.known:
            return
        end = sum(self.draft.held(len(self.known))) + hidden
        if is_shown:
            self.columns[0] = replace(self.columns[0], num_frames=1, is_shown=True)
        if isinstance(before, Media) or self.draft.timeline.is_causal:
            self.pins.append(
                Pin(frame=end - 1, source=before.part(before.num_frames - 1 + hidden, 1), is_shown=is_shown)
            )

    def add_after(self, after: Source | None, count: int) -> None:
        """Known columns behind the new ones."""
        per, start = self.draft.timeline.frames_per_latent, sum(self.draft.held(len(self.columns)))
        if after is None or count == 0:
            return
        if isinstance(after, Media) or self.draft.timeline.is_causal:
            self.pins.append(Pin(frame=start, source=after.part(0, 1)))
        shot = self.columns[-1].shot
        for index in range(min(count, after.num_frames // per)):
            self.columns.append(_known(after.part(index * per, per), shot=shot))

    def keyframes(self, stretch: Stretch, *, first: int, share: int, reach: int) -> list[Column]:
        """The stills of these new columns, and the next one to come; they stand where their columns stand."""
        asides, upcoming = [], False
        per = self.draft.timeline.frames_per_latent
        for column, source in stretch.keyframes:
            place = len(self.known) + column - first
            if column < first or upcoming or place >= len(self.known) + share + reach:
                continue
            upcoming = column >= first + share
            size = per if self.draft.timeline.is_causal and place > 0 else 1
            known = _known(replace(source, num_frames=size), shot=stretch.shot)
            asides.append(replace(known, position=float(place), is_aside=True))
            if not upcoming:
                last = sum(self.draft.held(place + 1)) - 1
                self.pins.append(Pin(frame=last, source=replace(source, num_frames=1), is_shown=True))
        return asides


def _known(source: Source, *, shot: int) -> Column:
    return Column(
        num_frames=source.num_frames,
        position=0,
        source=source,
        level=MADE_LEVEL if isinstance(source, Made) else 0.0,
        is_known=True,
        is_shown=False,
        shot=shot,
    )
