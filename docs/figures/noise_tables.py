"""Draws noise_tables.svg: the eight tasks as tables of noise levels.

python docs/figures/noise_tables.py
"""

from pathlib import Path

ROWS, COLUMNS, CELL = 6, 12, 13
NOISE, CLEAN, KNOWN = (38, 36, 66), (244, 236, 216), (214, 122, 52)


def falling(start: float = 1.0) -> list[float]:
    """From `start` to 0."""
    return [start * (1 - row / (ROWS - 1)) for row in range(ROWS)]


def known(level: float = 0.0) -> list[float]:
    """The same level in every row."""
    return [level] * ROWS


def table(known_columns: set[int], *, level: float = 0.0, start: float = 1.0) -> list[list[float]]:
    """Columns of levels."""
    return [known(level) if c in known_columns else falling(start) for c in range(COLUMNS)]


FIRST, LAST = set(range(4)), set(range(COLUMNS - 4, COLUMNS))
TASKS: dict[str, tuple[list[list[float]], set[int]]] = {
    "generate": (table(set()), set()),
    "animate": (table({0}), {0}),
    "extend": (table(FIRST), FIRST),
    "fill": (table({0, 1, 2, 8, 9, 10, 11}), {0, 1, 2, 8, 9, 10, 11}),
    "connect": (table(FIRST | LAST), FIRST | LAST),
    "loop": (table({0, 1, 10, 11}), {0, 1, 10, 11}),
    "remix": (table(set(), start=0.6), set()),
    "storyboard": (table({0, 1, 2}, level=0.05), {0, 1, 2}),
}
NOTES = {
    "generate": "every frame falls from 1 to 0",
    "animate": "the still is known",
    "extend": "the clip is known",
    "fill": "both sides are known",
    "connect": "two clips, the middle falls",
    "loop": "its two ends are known",
    "remix": "every frame starts below 1",
    "storyboard": "earlier shots are known",
}


def colour(sigma: float) -> str:
    """Clean is light, noise is dark."""
    return "#" + "".join(f"{round(c + (n - c) * sigma):02x}" for n, c in zip(NOISE, CLEAN, strict=True))


def draw(name: str, x: int, y: int) -> list[str]:
    """One task: its name, its table, and what it does."""
    levels, marked = TASKS[name]
    parts = [f'<text x="{x}" y="{y - 8}" class="name">{name}</text>']
    for column, values in enumerate(levels):
        for row, sigma in enumerate(values):
            parts.append(
                f'<rect x="{x + column * CELL}" y="{y + row * CELL}" width="{CELL - 1}" height="{CELL - 1}"'
                f' fill="{colour(sigma)}"/>'
            )
        if column in marked:
            parts.append(
                f'<rect x="{x + column * CELL}" y="{y + ROWS * CELL + 1}" width="{CELL - 1}" height="3"'
                f' fill="rgb{KNOWN}"/>'
            )
    parts.append(f'<text x="{x}" y="{y + ROWS * CELL + 20}" class="note">{NOTES[name]}</text>')
    return parts


def main() -> None:
    """Four tasks in each of two rows."""
    step_x, step_y = COLUMNS * CELL + 40, ROWS * CELL + 66
    width, height = 4 * step_x + 20, 2 * step_y + 52
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" role="img" aria-label="Eight tasks as tables of noise levels">',
        "<style>text{font-family:system-ui,sans-serif;fill:#333}.name{font-size:14px;font-weight:600}"
        ".note{font-size:11px;fill:#666}</style>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>',
    ]
    for index, name in enumerate(TASKS):
        parts += draw(name, 30 + index % 4 * step_x, 36 + index // 4 * step_y)
    parts.append(
        f'<text x="30" y="{height - 22}" class="note">Across: latent frames. Down: denoising steps. '
        "Dark is noise (1), light is clean (0). Underlined columns are known.</text></svg>"
    )
    Path(__file__).with_suffix(".svg").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
