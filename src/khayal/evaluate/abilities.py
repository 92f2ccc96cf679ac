"""The tables of what the tasks make, each figure beside what is wanted of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from khayal.evaluate.minute import DRIFT
from khayal.evaluate.motion import QUALITIES
from khayal.evaluate.storyboard import GOAL, SHIP
from khayal.evaluate.tally import share
from khayal.evaluate.tasks import MOST
from khayal.tasks import STRENGTHS

Rows = list[tuple[str, str]]

_SEAMS = {
    "animate": "the image and what follows (frame 0 to 1)",
    "extend": "a clip and what goes on",
    "backward": "what begins earlier and a clip",
    "fill": "both sides of a span that was filled",
    "connect": "both sides of what connects two clips",
    "loop": "a clip and what closes its loop",
}


def abilities(told: Mapping[str, Any]) -> list[tuple[str, Rows]]:
    """Titles, and rows of a name and a value, of the parts that were measured."""
    found: list[tuple[str, Rows]] = []
    if told.get("tasks"):
        part = told["tasks"]
        found.append(("Seams: the change there against the change inside", _seams(part)))
        found.append(("A still that comes alive: what the prompt says, as the probe reads it", _asked(part)))
    if told.get("minute"):
        part = told["minute"]
        found.append((f"{part['seconds']:g} seconds: the last 15% against the first", _minute(part)))
    if told.get("storyboard"):
        found.append(("Storyboards: consistency across shots", _storyboard(told["storyboard"])))
    if told.get("remix"):
        found.append(
            ("Remix: what is kept and what is followed, as the probe reads it", _remix(told["remix"]))
        )
    rows = _known(told)
    if rows:
        found.append(("What was known, after sampling (wanted: all of it unchanged, exactly)", rows))
    for name in ("tasks", "minute", "storyboard", "remix"):
        if f"{name}_note" in told:
            found.append((f"Part “{name}”", [("", told[f"{name}_note"])]))
    return found


def times(ratio: Mapping[str, Any]) -> str:
    """A ratio with its interval and count."""
    if ratio["value"] is None:
        return "nothing to compare with"
    return f"{ratio['value']:.2f}× ({ratio['low']:.2f}–{ratio['high']:.2f}, n = {ratio['clips']})"


def judged(value: float | None, told: str, *, most: float | None = None, least: float | None = None) -> str:
    """A figure, what is wanted, and whether it is so."""
    bound, sign = (most, "≤") if most is not None else (least, "≥")
    assert bound is not None, "something is wanted"
    is_met = value is not None and (value <= bound if most is not None else value >= bound)
    wanted = f"{bound:g}×" if bound >= 1 else f"{bound:.0%}"
    return f"{told}; wanted {sign} {wanted}: {'met' if is_met else 'not met'}"


def _seam(entry: Mapping[str, Any]) -> str:
    text = judged(entry["ratio"]["value"], times(entry["ratio"]), most=MOST)
    text += f"; so in {entry['even']['share']:.0%} of the clips"
    if entry["borders"]["value"] is not None:
        text += f"; at other borders of chunks {entry['borders']['value']:.2f}×"
    for key, name in (("returned", "if the right thing were imagined"), ("real", "in the real clips")):
        if entry.get(key, {}).get("value") is not None:
            text += f"; {name} {entry[key]['value']:.2f}×"
    return text


def _seams(part: Mapping[str, Any]) -> Rows:
    rows = [(_SEAMS[name], _seam(entry)) for name, entry in part["seams"].items()]
    rows.append(("the last frame of a loop and its first", _seam(part["loop"])))
    for key, name in (("returned", "reconstructions of real clips"), ("real", "real clips")):
        rows.append((f"borders of chunks in {name}", times(part["flicker"][key])))
    return rows


def _asked(part: Mapping[str, Any]) -> Rows:
    names = {"motion": "motion", "direction": "direction", "pair": "kind and colour of an actor"}
    return [
        (name, f"{share(entry['made'])}; real {share(entry['real'])}")
        for key, name in names.items()
        if (entry := part["animate"][key])["made"]["asked"]
    ]


def _percent(ratio: Mapping[str, Any], *, is_signed: bool = False) -> str:
    if ratio["value"] is None:
        return "–"
    sign = "+" if is_signed else ""
    value, low, high = (ratio[name] for name in ("value", "low", "high"))
    return f"{value:{sign}.1%} ({low:{sign}.1%} to {high:{sign}.1%})"


def _minute(part: Mapping[str, Any]) -> Rows:
    rows = [("videos, of frames", f"{part['clips']} of {part['num_frames']}")]
    for name in QUALITIES:
        made, real = part["drift"]["made"][name], part["drift"]["real"][name]
        told = judged(made["size"]["value"], _percent(made["size"]), most=DRIFT)
        told += f"; in which direction, {_percent(made['mean'], is_signed=True)}"
        told += f"; real scenes {_percent(real['size'])}"
        rows.append((f"change of {name}", told))
    if part["windows"] is not None:
        rows.append(("seams of windows, against inside", _seam(part["windows"])))
    if "flicker" in part:
        rows.append(("borders of chunks in the whole", times(part["flicker"])))
    kept = part["kept"]
    told = f"{share(kept['made'])}; real {share(kept['real'])}"
    return [*rows, ("actors that are there at the end with the kind and colour of the beginning", told)]


def _storyboard(part: Mapping[str, Any]) -> Rows:
    same = part["identity"]
    rows = [
        ("storyboards, of shots", f"{part['storyboards']} of {part['shots']}"),
        (
            "actors that keep kind and colour in all shots",
            judged(same.get("share"), share(same), least=SHIP) + f" (goal {GOAL:.0%})",
        ),
        ("… and have those that the prompts say", share(part["as_told"])),
        ("actors of a later shot that are those of the first", share(part["next"])),
        ("later shots at the place of the first", share(part["setting"])),
    ]
    return rows + [
        (f"in each shot as its prompt says: {name}", share(x)) for name, x in part["asked"].items()
    ]


def _remix(part: Mapping[str, Any]) -> Rows:
    rows = [("clips", str(part["clips"]))]
    for name, entry in part["strengths"].items():
        title = f"{name} ({STRENGTHS[name]:g})" if name in STRENGTHS else "the clip itself"
        told = [f"actors {_apart(entry['layout'])} from where they were"]
        if entry["by_chance"] is not None:
            told.append(f"{_apart(entry['by_chance'])} from where those of another clip were")
        if entry["layout"]["lost"] is not None:
            told.append(f"not found in {entry['layout']['lost']:.0%} of the frames")
        rows.append((f"{title}: layout", "; ".join(told)))
        rows.append((f"{title}: setting of the clip kept", share(entry["setting_kept"])))
        keys = ("kind", "colour", "motion", "setting")
        asked = "; ".join(f"{key} {entry[key]['share']:.0%}" for key in keys if entry[key]["asked"])
        rows.append((f"{title}: as the prompt says", asked))
    return rows


def _apart(layout: Mapping[str, Any]) -> str:
    distance = layout["distance"]
    if distance["value"] is None:
        return "–"
    return f"{distance['value']:.1%} of the width ({distance['low']:.1%}–{distance['high']:.1%})"


def _known(told: Mapping[str, Any]) -> Rows:
    entries: dict[str, Mapping[str, int]] = {}
    if told.get("tasks"):
        entries |= told["tasks"]["known"]
    for name in ("minute", "storyboard"):
        if told.get(name):
            entries[name] = told[name]["known"]
    return [
        (
            name,
            f"{entry['changed_columns']} of {entry['columns']:,} latent frames changed; "
            f"{entry['changed_frames']} of {entry['frames']:,} frames of the user's",
        )
        for name, entry in entries.items()
    ]
