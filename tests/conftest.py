"""Every shape annotation of khayal is checked at run time while the tests run; and tiny checkpoints."""

import os
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tensors are tiny here; threads would wait for one another

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can say `import checkpoints`

install_import_hook("khayal", "runtime_types.check")


@pytest.fixture(scope="session", autouse=True)
def _own_certificate(tmp_path_factory: pytest.TempPathFactory) -> Generator[None, None, None]:
    """Files are signed with a certificate of the tests' own, not with the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function from a kind ("wan2.1", "ti2v", "a14b") to a tiny random checkpoint folder.

    Folders are made once and shared: a test that changes one copies it first.
    """
    import checkpoints

    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = checkpoints.make_checkpoint(tmp_path_factory.mktemp("checkpoints") / kind, kind)
        return made[kind]

    return folder


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of a GPU are left out where there is none: that is no skip, since no package would help."""
    import torch

    if torch.cuda.is_available():
        return
    left_out = [item for item in items if item.get_closest_marker("gpu")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI everything is installed, so a skipped test there is a failed one."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
    return report


@pytest.fixture(scope="session")
def gl() -> None:
    """Skips what renders where no OpenGL driver is installed; in CI that is a failure."""
    from khayal.errors import KhayalError
    from khayal.world.render import renderer

    try:
        renderer()
    except KhayalError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no OpenGL driver: run `make system` ({error})")
