"""Every task is a table of noise levels: a request becomes a plan in a few lines.

A plan holds no tensors. It says, column by column, what each latent frame starts from, whether it is
known, and which prompt it reads; the studio fetches what it refers to. So this room needs no torch, and
Python, the command line and the server share one definition of the requests.

`request.py` has what can be asked for, `plan.py` what a plan is made of, `draft.py` how stretches of time
are laid on canvases. This file has the eight tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

from khayal.errors import InputError
from khayal.tasks.draft import Draft, Stretch
from khayal.tasks.plan import Basis, Column, Made, Media, Pin, Plan, Sketch, Source
from khayal.tasks.request import (
    MAX_PROMPT,
    MAX_SECONDS,
    MAX_STEPS,
    SOLVERS,
    STRENGTHS,
    AnimateRequest,
    Character,
    ConnectRequest,
    ExtendRequest,
    FillRequest,
    GenerateRequest,
    LoopRequest,
    MediaRequest,
    Medium,
    RemixRequest,
    Request,
    Shot,
    StoryboardRequest,
)
from khayal.tasks.shots import names_in, shots_of, with_names

__all__ = [
    "MAX_PROMPT",
    "MAX_SECONDS",
    "MAX_STEPS",
    "PLANNERS",
    "SOLVERS",
    "STRENGTHS",
    "TASKS",
    "WHOLE_SAMPLE_TASKS",
    "AnimateRequest",
    "Basis",
    "Character",
    "Column",
    "ConnectRequest",
    "ExtendRequest",
    "FillRequest",
    "GenerateRequest",
    "LoopRequest",
    "Made",
    "Media",
    "MediaRequest",
    "Medium",
    "Pin",
    "Plan",
    "RemixRequest",
    "Request",
    "Shot",
    "Sketch",
    "Source",
    "StoryboardRequest",
    "animate",
    "connect",
    "extend",
    "fill",
    "generate",
    "length",
    "loop",
    "plan",
    "remix",
    "storyboard",
]

TASKS = ("generate", "animate", "extend", "fill", "connect", "loop", "remix", "storyboard")
"""The eight verbs: of Python, of the command line and of the page."""

WHOLE_SAMPLE_TASKS = ("generate", "remix")
"""What a model can do that takes one noise level for the whole sample."""


def generate(request: GenerateRequest, basis: Basis) -> Plan:
    """Every column falls from 1 to 0. A prompt that tells of cuts makes several shots."""
    prompts = shots_of(request.prompt)
    num_frames = length(request, basis)
    if len(prompts) > 1 and basis.window and num_frames > 1:
        each = float(basis.timeline.seconds(num_frames)) / len(prompts)
        return _in_shots(request, basis, [Shot(prompt=prompt, seconds=each) for prompt in prompts])
    draft = Draft(basis)
    draft.make(Stretch(num_frames=num_frames))
    return draft.plan(request, request.prompt)


def animate(request: AnimateRequest, basis: Basis) -> Plan:
    """Column 0, the image, is known throughout; the others fall from 1 to 0."""
    draft = Draft(basis)
    num_frames = length(request, basis, with_still=True)
    draft.make(Stretch(num_frames=num_frames - 1, before=Media(index=0), shows_before=True))
    return draft.plan(request, request.prompt)


def extend(request: ExtendRequest, basis: Basis) -> Plan:
    """The clip's columns are known; the new ones, after it or before it, fall."""
    draft, clip = Draft(basis), _clip(basis)
    added = _added(request, basis, basis.default_seconds, starts_strip=request.backward)
    if request.backward:
        draft.make(Stretch(num_frames=added, after=clip))
    draft.show(clip)
    if not request.backward:
        draft.make(Stretch(num_frames=added, before=clip))
    return draft.plan(request, request.prompt)


def fill(request: FillRequest, basis: Basis) -> Plan:
    """What is there is known; what is missing between falls."""
    if request.clip is None:
        return _between_keyframes(request, basis)
    draft, clip = Draft(basis), _clip(basis)
    spans = _spans(request, basis)
    starts = [start for start, _ in spans[1:]] + [clip.num_frames]
    shown = 0
    for (start, end), following in zip(spans, starts, strict=True):
        draft.show(clip.part(shown, start - shown))
        before = clip.part(shown, start - shown) if start > shown else None
        after = clip.part(end, following - end) if following > end else None
        draft.make(Stretch(num_frames=end - start, before=before, after=after))
        shown = end
    draft.show(clip.part(shown, clip.num_frames - shown))
    return draft.plan(request, request.prompt)


def connect(request: ConnectRequest, basis: Basis) -> Plan:
    """The end of one clip and the beginning of another are known; the middle falls."""
    draft, first, second = Draft(basis), _clip(basis, 0), _clip(basis, 1)
    draft.show(first)
    added = _added(request, basis, basis.default_seconds / 2)
    draft.make(Stretch(num_frames=added, before=first, after=second))
    draft.show(second)
    return draft.plan(request, request.prompt)


def loop(request: LoopRequest, basis: Basis) -> Plan:
    """The clip's end and its beginning are known; what leads from one to the other falls."""
    draft, clip = Draft(basis), _clip(basis)
    draft.show(clip)
    added = _added(request, basis, basis.default_seconds / 2)
    draft.make(Stretch(num_frames=added, before=clip, after=clip))
    return draft.plan(request, request.prompt)


def remix(request: RemixRequest, basis: Basis) -> Plan:
    """Every column starts at the strength, from the clip, and falls to 0."""
    draft, clip = Draft(basis), Media(index=0, num_frames=basis.lengths[0])
    seconds = float(basis.timeline.seconds(clip.num_frames))
    if seconds > MAX_SECONDS:
        raise InputError(f"A clip of {seconds:.0f} s is too long to be remixed", fix="cut an hour out of it")
    draft.make(Stretch(num_frames=clip.num_frames, likeness=clip, level=request.level))
    return draft.plan(request, request.prompt)


def storyboard(request: StoryboardRequest, basis: Basis) -> Plan:
    """Each shot reads its own prompt; columns of earlier shots and of the cast are known, and not shown."""
    return _in_shots(request, basis, request.shots, request.cast)


PLANNERS: dict[type[Request], Callable[..., Plan]] = {
    GenerateRequest: generate,
    AnimateRequest: animate,
    ExtendRequest: extend,
    FillRequest: fill,
    ConnectRequest: connect,
    LoopRequest: loop,
    RemixRequest: remix,
    StoryboardRequest: storyboard,
}


def plan(request: Request, basis: Basis) -> Plan:
    """What has to be made for a request."""
    return PLANNERS[type(request)](request, basis)


def _clip(basis: Basis, index: int = 0) -> Media:
    """A clip that is known, which must be long enough to show how it moves."""
    num_frames, least = basis.lengths[index], basis.timeline.frames_per_latent
    if num_frames == 1:
        raise InputError("The clip has a single frame", fix="bring a still to life with khayal animate")
    if num_frames < least:
        raise InputError(
            f"The clip is too short: it has {num_frames} frames",
            why=f"at the model's {float(basis.timeline.fps):g} fps it takes {least} to see how it moves",
            fix="give a longer one",
        )
    return Media(index=index, num_frames=num_frames)


def _added(request: Request, basis: Basis, default: float, *, starts_strip: bool = False) -> int:
    """Frames to add: whole latent frames, at least one."""
    if request.seconds == 0:
        raise InputError("0 seconds add nothing", fix="give more")
    timeline, asked = basis.timeline, request.num_frames
    if asked is None:
        asked = round((default if request.seconds is None else request.seconds) * timeline.fps)
    short = timeline.held(1, starts_strip=starts_strip) % timeline.frames_per_latent
    per = timeline.frames_per_latent
    nearest = max(1, (2 * (asked - short) + per) // (2 * per)) * per + short
    if request.num_frames not in (None, nearest):
        raise InputError(
            f"This model cannot add {request.num_frames} frames",
            why=f"it makes them {per} at a time",
            fix=f"ask for {nearest}",
        )
    return nearest


def _spans(request: FillRequest, basis: Basis) -> list[tuple[int, int]]:
    """The missing spans in frames; what is left between them must show how it moves."""
    fps, num_frames = basis.timeline.fps, basis.lengths[0]
    least, seconds = basis.timeline.frames_per_latent, float(basis.timeline.seconds(num_frames))
    spans = [(round(start * fps), min(num_frames, round(end * fps))) for start, end in request.missing]
    shown = 0
    for (start, end), (first, last) in zip(spans, request.missing, strict=True):
        if last > seconds + 1 / fps or start >= num_frames:
            raise InputError(
                f"The span {first:g}-{last:g} s leaves the clip",
                why=f"it lasts {seconds:.3g} s",
                fix="to go on after the end: khayal extend",
            )
        if start >= end:
            raise InputError(f"The span {first:g}-{last:g} s is shorter than a frame", fix="make it longer")
        if 0 < start - shown < least:
            raise InputError(
                f"Only {_frames(start - shown)} left before the span {first:g}-{last:g} s",
                why=f"the model needs {least} to see how they move",
                fix="let it begin where they begin, or later",
            )
        shown = end
    if 0 < num_frames - shown < least:
        raise InputError(
            f"Only {_frames(num_frames - shown)} left after the last span",
            why=f"the model needs {least} to see how they move",
            fix="let it end at the end of the clip, or earlier",
        )
    if spans[0][0] == 0 and spans[0][1] == num_frames:
        raise InputError("The whole clip is missing", fix="generate one from a prompt: khayal generate")
    return spans


def _frames(count: int) -> str:
    """The subject of a sentence."""
    return "1 frame is" if count == 1 else f"{count} frames are"


def _between_keyframes(request: FillRequest, basis: Basis) -> Plan:
    """Stills stand at the ends of latent frames; one at the very beginning comes alive."""
    timeline, draft = basis.timeline, Draft(basis)
    stills = sorted((float(second), index) for index, (second, _) in enumerate(request.keyframes))
    starts = round(Fraction(stills[0][0]) * timeline.fps) < timeline.frames_per_latent / 2
    single = timeline.starts_single(with_still=starts)
    places: dict[int, int] = {}  # latent frame → which of the media
    notes = []
    for second, index in stills:
        column = timeline.nearest_column(second, single=single)
        stands = float(timeline.seconds(timeline.last_frame(column, single=single)))
        if column in places:
            raise InputError(
                f"Two keyframes fall on {stands:.3g} s",
                why=f"they must be {float(timeline.frames_per_latent / timeline.fps):.3g} s apart",
            )
        if abs(stands - second) * timeline.fps >= 0.5:
            notes.append(f"The keyframe at {second:g} s stands at {stands:.3g} s.")
        places[column] = index
    least = timeline.last_frame(max(places), single=single) + 1
    num_frames = least
    if request.seconds is not None or request.num_frames is not None:
        num_frames = length(request, basis, with_still=starts)
    if num_frames < least:
        raise InputError(
            f"A keyframe stands after the end, at {stands:.3g} s", fix="make the video longer, or move it"
        )
    before = Media(index=places.pop(0)) if starts else None
    draft.make(
        Stretch(
            num_frames=num_frames - starts,
            before=before,
            keyframes=tuple((column - starts, Media(index=index)) for column, index in places.items()),
            shows_before=starts,
        )
    )
    return draft.plan(request, request.prompt, notes=tuple(notes))


def _in_shots(request: Request, basis: Basis, shots: Sequence[Shot], cast: Sequence[Character] = ()) -> Plan:
    """Shot after shot; each sees columns of those before it, and of the cast that it names."""
    draft, timeline = Draft(basis), basis.timeline
    descriptions = {one.name: one.description for one in cast}
    prompts = [with_names(shot.prompt, descriptions) for shot in shots]
    style = request.prompt if isinstance(request, StoryboardRequest) else ""
    prompts = [f"{prompt.rstrip()} {style}".strip() for prompt in prompts]
    seconds = _seconds_of_shots(request, basis, shots)
    given = iter(range(len(request.media)))
    starts = [next(given) if shot.image is not None or shot.clip is not None else None for shot in shots]
    seen = _cast(draft, cast, given, len(prompts))
    end: Source | None = None
    for number, shot in enumerate(shots):
        draft.begin_shot([column for name, column in seen if name in names_in(shot.prompt)])
        start, wanted = starts[number], max(1, round(seconds[number] * timeline.fps))
        if start is not None and shot.clip is not None:
            clip = _clip(basis, start)
            end = clip.part(0, min(clip.num_frames, wanted))
            draft.show(end)
            wanted -= end.num_frames
        elif start is not None:
            end = Media(index=start)
        elif shot.is_cut:
            end = None
        is_alive = shot.image is not None
        columns = round(Fraction(wanted - (end is None and timeline.is_causal), timeline.frames_per_latent))
        columns = max(columns, 0 if shot.clip is not None or is_alive else 1)
        columns += end is None and timeline.is_causal
        if columns or is_alive:
            num_frames = timeline.held(columns, starts_strip=end is None)
            stretch = Stretch(num_frames=num_frames, before=end, shot=number, shows_before=is_alive)
            end = draft.frames_of(draft.make(stretch)[-1])
    if not draft.sketches:
        raise InputError(
            "There is nothing to imagine: clips fill all the shots", fix="make one of them longer"
        )
    return draft.plan(request, *prompts, *(one.description for one in cast))


def _seconds_of_shots(request: Request, basis: Basis, shots: Sequence[Shot]) -> list[float]:
    """Of each shot; those that name none share evenly what the whole has left."""
    open_shots = sum(shot.seconds is None for shot in shots)
    each = basis.default_seconds
    if isinstance(request, StoryboardRequest) and request.seconds is not None:
        left = request.seconds - sum(shot.seconds or 0 for shot in shots)
        if (left <= 0) == bool(open_shots) or (not open_shots and left > 0):
            raise InputError(
                f"The shots cannot last {request.seconds:g} s together",
                why="those that have their own seconds take another length",
                fix="leave the seconds of the whole out, or of a shot",
            )
        each = left / max(1, open_shots)
    return [each if shot.seconds is None else shot.seconds for shot in shots]


def _cast(
    draft: Draft, cast: Sequence[Character], given: Iterator[int], first_prompt: int
) -> list[tuple[str, Column]]:
    """Columns that show the cast, each reading its own description."""
    seen = []
    for number, one in enumerate(cast):
        if one.image is None and one.clip is None:
            continue
        index = next(given)
        num_frames = 1 if one.image is not None else draft.basis.lengths[index]
        source = Media(index=index, num_frames=num_frames)
        seen.append((one.name, draft.aside(source, shot=first_prompt + number)))
    return seen


def length(request: Request, basis: Basis, *, with_still: bool = False) -> int:
    """The number of frames asked for. Seconds are rounded to what the model can make; frames must fit.

    Raises:
        InputError: for a number of frames that whole latent frames cannot show.
    """
    timeline = basis.timeline
    if request.num_frames is None:
        seconds = basis.default_seconds if request.seconds is None else request.seconds
        return timeline.num_frames(seconds, with_still=with_still)
    nearest = timeline.nearest_num_frames(request.num_frames, with_still=with_still)
    if nearest != request.num_frames:
        per = timeline.frames_per_latent
        form = f"{per}k+1" if timeline.starts_single(with_still=with_still) else f"{per}k, or 1"
        raise InputError(
            f"This model cannot make {request.num_frames} frames",
            why=f"its clips have {form}",
            fix=f"ask for {nearest}",
        )
    return nearest
