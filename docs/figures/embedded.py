"""Draws what the embedded model makes of six prompts, seeds 0 to 5: moving (.webp) and as a sheet (.jpg).

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
COLUMNS, FRAMES_IN_SHEET = 3, 6
HERE = Path(__file__).parent


def main() -> None:
    """Make all six, in the order of their seeds."""
    studio = khayal.open(sys.argv[1] if len(sys.argv) > 1 else None)
    clips = [studio.generate(prompt, seed=seed).frames for seed, prompt in enumerate(PROMPTS)]
    rows = [np.concatenate(clips[i : i + COLUMNS], axis=2) for i in range(0, len(clips), COLUMNS)]
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
    sheet = []
    for clip in clips:
        chosen = np.linspace(0, len(clip) - 1, FRAMES_IN_SHEET).round().astype(int)
        sheet.append(np.concatenate(list(clip[chosen]), axis=1))
    Image.fromarray(np.concatenate(sheet)).save(HERE / "embedded.jpg", quality=85)


if __name__ == "__main__":
    main()
