"""The report as one page that needs nothing beside it."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from khayal.errors import OutputError
from khayal.evaluate.abilities import abilities
from khayal.evaluate.claims import ATTRIBUTES
from khayal.evaluate.tally import share

STYLE = """
:root { color-scheme: light dark; --ink: #1c1b1a; --paper: #fbfaf8; --line: #d9d5cf; --quiet: #6d6862 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #eceae6; --paper: #171615; --line: #3a3734; --quiet: #a09a92 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem }
h1, h2, h3 { line-height: 1.2; margin: 2rem 0 .6rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6rem 0 }
.wide { overflow-x: auto }
th, td { text-align: right; padding: .25rem .7rem; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child { text-align: left }
small, .quiet { color: var(--quiet) }
figure { margin: 1.2rem 0 } img { max-width: 100%; display: block; margin: .2rem 0; border-radius: 3px }
"""


Pictures = Mapping[str, Sequence[tuple[str, Mapping[str, Path]]]]
"""By heading: for each prompt its pictures by their titles."""


def page(told: Mapping[str, Any], pictures: Pictures) -> str:
    """HTML of an evaluation."""
    size, seconds = "×".join(map(str, told["size"])), told["num_frames"] / told["fps"]
    parts = [
        f"<h1>{_safe(told['model'])}</h1>",
        f"<p class=quiet>{told['date']} · weights {told['weights']} · dials {_listed(told['dials'])} · "
        f"{size}, {seconds:g} s at {told['fps']} frames per second · {told['steps']} steps, guidance "
        f"{_listed(told['guidance'])} · probe {told['probe']} · khayal {told['khayal']}</p>",
    ]
    if "fidelity" in told:
        parts.append(f"<h2>{CEILING}</h2>{_rows(ceiling(told))}<h2>Prompt fidelity</h2>")
        parts.append(
            "<p>How often what the prompt says is seen in the clip, with 95% intervals; the ceiling is how"
            " often the probe sees it in rendered clips of the same scenes, chance how often it is seen in"
            " clips of other prompts. Prompts that name few different casts say little of others.</p>"
        )
        for split, groups in told["fidelity"].items():
            parts.append(f"<h3>Combinations that are {_title(split)}</h3>{_fidelity(groups)}")
    parts += [f"<h2>{title}</h2>{_rows(rows)}" for title, rows in figures(told)]
    for heading, entries in pictures.items():
        parts.append(f"<h2>{_safe(heading)}</h2>")
        for prompt, named in entries:
            images = "".join(f"<small>{_safe(title)}</small>{_image(path)}" for title, path in named.items())
            parts.append(f"<figure><figcaption dir=auto>{_safe(prompt)}</figcaption>{images}</figure>")
    body = "\n".join(parts)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>{_safe(told['model'])}: evaluation</title><style>{STYLE}</style>\n{body}\n</html>\n"
    )


CEILING = "The probe on real held-out clips: the ceiling"


def ceiling(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How often the probe sees in rendered held-out clips what their captions say."""
    entry = told["fidelity"]["heldout"]["all"]
    return [(name, share(entry[name]["ceiling"])) for name in ATTRIBUTES if name in entry]


def figures(told: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The tables beside that of fidelity: titles, and rows of a name and a value."""
    found: list[tuple[str, list[tuple[str, str]]]] = []
    whose = [(split, groups["all"].get("whose_kind")) for split, groups in told.get("fidelity", {}).items()]
    rows = [
        (_title(split), f"{_whose(entry['made'])}; real {_whose(entry['real'])}")
        for split, entry in whose
        if entry
    ]
    if rows:
        found.append(("Whose kind the actors have that are named beside others of other kinds", rows))
    if "reconstruction" in told:
        part = told["reconstruction"]
        rows = [
            (
                f"PSNR on {part['clips']} held-out renders",
                f"{part['psnr']:.2f} dB{_span(part['psnr_95'], 2)}",
            ),
            ("SSIM", f"{part['ssim']:.4f}{_span(part['ssim_95'], 4)}"),
        ]
        found.append(("Reconstruction by the autoencoder", rows))
    if "distribution" in told:
        found.append(("Fréchet distance in the probe's features", _distribution(told["distribution"])))
    if "physics" in told:
        found.append(("Physics", _physics(told["physics"])))
    if "consistency" in told:
        part = told["consistency"]
        rows = []
        for split in ("seen", "heldout"):
            made, real = part[split]["made"], part[split]["real"]
            rows.append((f"kept, {_title(split)}", f"{share(made)}; real {share(real)}"))
        found.append(("Consistency of kind and colour across a camera move", rows))
    return found + abilities(told)


def _distribution(part: Mapping[str, Any]) -> list[tuple[str, str]]:
    measured, beyond = part["measured"], part["extrapolated"]
    rows = [(f"clips in each set (n); {part['features']} features", f"{part['clips']:,}")]
    names = {"made": "the model's clips", "returned": "reconstructions of real clips", "real": "real clips"}
    for key, name in names.items():
        more = "" if beyond[key] is None else f" (extrapolated to infinite n: {beyond[key]:.3f})"
        rows.append((f"{name}, from other real clips", f"{measured[key]:.3f}{more}"))
    return [*rows, ("the model's, as a multiple of the reconstructions'", f"{part['multiple']}")]


def _physics(part: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = {
        "made": "continued by the model",
        "returned": "reconstructed",
        "real": "real",
        "stands_still": "if all stood still",
    }
    rows = [("clips, continued after frames", f"{part['clips']} after {part['known_frames']}")]
    for key, name in names.items():
        track = part["tracks"][key]
        if track["distance"] is not None:
            lost = f"; not found in {track['lost']:.1%} of the frames" if key != "stands_still" else ""
            rows.append(
                (f"distance to the true track, {name}", f"{track['distance']:.1%} of the width{lost}")
            )
    if part["permanence"] is None:
        return [*rows, ("actors that appear or vanish", part["permanence_note"])]
    for key, name in (("appears", "appears"), ("vanishes", "vanishes"), ("changes_colour", "changes colour")):
        made, real = part["permanence"]["made"][key], part["permanence"]["real"][key]
        rows.append((f"clips in which an actor {name}", f"{share(made)}; real {share(real)}"))
    return rows


def _fidelity(groups: Mapping[str, Any]) -> str:
    names = [name for name in ATTRIBUTES if any(name in entry for entry in groups.values())]
    head = "".join(f"<th>{name}</th>" for name in names)
    lines = []
    for group, entry in groups.items():
        cells = "".join(f"<td>{_cell(entry[name])}</td>" if name in entry else "<td>–</td>" for name in names)
        size = f"{entry['prompts']} prompts, {entry['casts']} casts"
        lines.append(f"<tr><td>{group} <small>({size})</small></td>{cells}</tr>")
    return f"<div class=wide><table><tr><th>prompts</th>{head}</tr>{''.join(lines)}</table></div>"


def _cell(entry: Mapping[str, Any]) -> str:
    ceiling = entry["ceiling"]["share"]
    chance = "" if entry["chance"] is None else f"<br>chance {entry['chance']:.0%}"
    return (
        f"{entry['share']:.1%}<br><small>{entry['low']:.0%}–{entry['high']:.0%}"
        f"<br>of {ceiling:.1%}: {entry['ratio']:.0%}{chance}</small>"
    )


def _rows(rows: list[tuple[str, str]]) -> str:
    lines = "".join(f"<tr><td>{_safe(name)}</td><td>{_safe(value)}</td></tr>" for name, value in rows)
    return f"<div class=wide><table>{lines}</table></div>"


def _whose(counts: Mapping[str, int]) -> str:
    names = {"own": "own", "other": "another's", "third": "a third", "missing": "nobody there"}
    told = ", ".join(f"{name} {counts[key] / sum(counts.values()):.0%}" for key, name in names.items())
    return f"{told} (n = {sum(counts.values())})"


def _span(interval: list[float], digits: int) -> str:
    return f" ({interval[0]:.{digits}f}–{interval[1]:.{digits}f})"


def _title(split: str) -> str:
    return {"seen": "seen in training", "heldout": "held out"}[split]


def _listed(values: list[Any]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _image(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="frames of a clip" src="data:image/png;base64,{data}">'


def _safe(text: object) -> str:
    return html.escape(str(text))


def check_folder(folder: Path) -> None:
    """Whether a report can be written there; before the work starts.

    Raises:
        OutputError: it cannot.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(
            f"The report cannot be written to “{folder}”", why="it is a file", fix="name a folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The report cannot be written to “{folder}”",
            why=error.strerror or str(error),
            fix="name another",
        ) from error


def write_report(folder: Path, told: Mapping[str, Any], pictures: Pictures) -> None:
    """index.html and report.json."""
    text = json.dumps(told, indent=1, ensure_ascii=False) + "\n"
    (folder / "report.json").write_text(text, encoding="utf-8")
    (folder / "index.html").write_text(page(told, pictures), encoding="utf-8")
