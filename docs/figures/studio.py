"""The guide's picture of the studio: ten prompts, seeds 0 to 9, not chosen for looks, in the page itself.

    python docs/figures/studio.py

Needs what the tests of the page need: `pip install -e '.[server,test]'` and Chromium (`make system`).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import httpx2
from PIL import Image

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "server"))

import browsing  # noqa: E402
from serving import JOB_SECONDS, Served, wait_for  # noqa: E402

WIDE = [1280, 720]
PROMPTS = (
    ("a green cube slides on the grass, by day", None),
    ("a yellow ball rolls to the right on the snow", WIDE),
    ("a blue ball bounces in a meadow, by day", None),
    ("a red cube slides to the left on the snow", WIDE),
    ("كرة صفراء ترتد على العشب", None),
    ("a blue cube slides on the grass", WIDE),
    ("a green ball bounces on a wooden floor", None),
    ("a yellow cube slides on the snow", None),
    ("a red ball bounces on the grass", WIDE),
    ("كرة زرقاء تتدحرج على الثلج", None),
)
BALL = 8  # is kept as a character


def main() -> None:
    """Writes studio.webp."""
    with tempfile.TemporaryDirectory() as folder:
        served = Served(ROOT / "src" / "khayal" / "embedded", Path(folder) / "data")
        try:
            fill(served)
            shown = photograph(served, Path(folder) / "studio.png")
            Image.open(shown).convert("RGB").save(HERE / "studio.webp", quality=80, method=6)
        finally:
            served.stop()


def fill(served: Served) -> None:
    """The library."""
    is_ready = lambda: browsing.get(served, "/health")["status"] == "ready"  # noqa: E731
    wait_for(is_ready, JOB_SECONDS, "the model was not opened")
    asked = [
        browsing.ask(served, "generate", prompt=prompt, seed=seed, **({"size": size} if size else {}))
        for seed, (prompt, size) in enumerate(PROMPTS)
    ]
    made = [browsing.finished(served, job_id) for job_id in asked]
    character = {"name": "red ball", "video": {"id": made[BALL]["id"]}}
    httpx2.post(f"{served.url}/v1/videos/characters", json=character, trust_env=False).raise_for_status()


def photograph(served: Served, out: Path) -> Path:
    """The library in the dark, with a character chosen."""
    with browsing.browser() as opened:
        visit = browsing.Visit(opened, served.url, color_scheme="dark", reduced_motion="reduce")
        page = visit.go()
        page.get_by_role("button", name="Show a character").click()
        page.get_by_role("dialog").get_by_role("button", name="red ball", exact=True).click()
        browsing.write(page, "the red ball rolls to the right on the snow")
        page.wait_for_load_state("networkidle")
        page.screenshot(path=out)
        visit.close()
    return out


if __name__ == "__main__":
    main()
