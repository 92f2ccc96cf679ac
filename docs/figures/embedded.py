"""Draws what the embedded model makes of six prompts, seeds 0 to 5: moving (.webp) and as a sheet (.jpg).

And a sheet of six prompts that name two actors, which it fails at more often: two_actors.jpg.

python docs/figures/embedded.py [MODEL]
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import khayal

PROMPTS = (
    "a red ball bounces on the grass",
    "a blue cube slides to the left on the snow",
    "a yellow ball rolls to the right in a room",
    "a green cube slides on the grass, by day",
    "كرة حمراء تتدحرج على الثلج",
    "a blue ball bounces in a room with a wooden floor",
)
TWO_ACTORS = (
    "a red cube spins in place while a blue ball rolls to the right on the grass",
    "a yellow cone stands still and a green cylinder slides to the left on the snow",
    "a white ring rolls to the left, a black cube stands still, in a room",
    "an orange ball bounces while a purple cone spins in place on the beach",
    "مكعب أحمر ينزلق على الأرض، وكرة زرقاء تقف في مكانها، فوق مرج أخضر",
    "a grey cube falls to the ground while a pink ring spins in a stone courtyard",
)
COLUMNS, FRAMES_IN_SHEET = 3, 6
HERE = Path(__file__).parent


def main() -> None:
    """Make all of them, in the order of their seeds."""
    studio = khayal.open(sys.argv[1] if len(sys.argv) > 1 else None)
    clips = [made(studio, prompts) for prompts in (PROMPTS, TWO_ACTORS)]
    rows = [np.concatenate(clips[0][i : i + COLUMNS], axis=2) for i in range(0, len(PROMPTS), COLUMNS)]
    frames = [Image.fromarray(frame) for frame in np.concatenate(rows, axis=1)]
    fps = float(studio.timeline.fps)
    frames[0].save(
        HERE / "embedded.webp",
        save_all=True,
        append_images=frames[1:],
        duration=round(1000 / fps),
        loop=0,
        quality=70,
    )
    for name, shown in zip(("embedded", "two_actors"), clips, strict=True):
        sheet(shown).save(HERE / f"{name}.jpg", quality=85)


def made(studio: khayal.Studio, prompts: tuple[str, ...]) -> list[np.ndarray]:
    """A clip of each prompt, f h w 3, with seeds 0, 1, …"""
    return [studio.generate(prompt, seed=seed).frames for seed, prompt in enumerate(prompts)]


def sheet(clips: list[np.ndarray]) -> Image.Image:
    """A row for each clip, of frames evenly spread over it."""
    rows = []
    for clip in clips:
        chosen = np.linspace(0, len(clip) - 1, FRAMES_IN_SHEET).round().astype(int)
        rows.append(np.concatenate(list(clip[chosen]), axis=1))
    return Image.fromarray(np.concatenate(rows))


if __name__ == "__main__":
    main()
