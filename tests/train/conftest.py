"""A run whose first stages are done once for all tests: frames, tokenizer, autoencoder, latents."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can say `import stages`


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run, up to its latents. Tests copy it or only read it."""
    from stages import run

    folder = tmp_path_factory.mktemp("prepared") / "run"
    for stage in ("frames", "tokenizer", "autoencoder", "encode"):
        run(stage, folder)
    return folder


@pytest.fixture
def new_run(prepared: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Makes a run folder of its own with the first stages done."""

    def make(name: str = "run") -> Path:
        from stages import copy_prepared

        return copy_prepared(prepared, tmp_path / name)

    return make
