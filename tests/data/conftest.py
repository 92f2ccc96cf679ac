"""Folders of user files and what was packed from them, made once; tests only read them."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can say `import user_files`
sys.path.insert(0, str(Path(__file__).parents[1] / "train"))  # and `import tiny`, `import stages`

SECONDS, PIXELS = 0.5, 64 * 96


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that people have, and what cannot be used."""
    import user_files

    return user_files.make(tmp_path_factory.mktemp("media") / "مقاطع")


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few files that are all good: two shapes, two lengths, a still."""
    import user_files

    folder = tmp_path_factory.mktemp("few") / "media"
    for number in range(3):
        name = folder / f"wide {number}.mp4"
        user_files.told(user_files.video(name, num_frames=13 + 13 * (number == 2)), f"wide number {number}")
    user_files.told(user_files.video(folder / "tall.mp4", size=(64, 96), num_frames=9), "a tall one")
    user_files.told(user_files.image(folder / "still.png", (96, 64)), "a still")
    return folder


@pytest.fixture(scope="session")
def pack_with(tiny_checkpoint: Callable[[str], Path]) -> Callable[..., object]:
    """A function that packs a folder with the tiny TI2V checkpoint, and gives the report."""
    from khayal.data.pack import PackConfig, pack

    def run(folder: Path, out: Path, **changes: object) -> object:
        settings = {"model": tiny_checkpoint("ti2v"), "seconds": SECONDS, "pixels": PIXELS, "device": "cpu"}
        return pack(PackConfig(folder=folder, out=out, **(settings | changes)))

    return run


@pytest.fixture(scope="session")
def packed_few(few: Path, pack_with: Callable[..., object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shards of `few`."""
    folder = tmp_path_factory.mktemp("packed") / "shards"
    pack_with(few, folder)
    return folder
