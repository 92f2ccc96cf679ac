"""Models of the hub: found in the cache without a network, and a clear word where they are not."""

import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from khayal.checkpoint import hub
from khayal.checkpoint.catalogue import Broken, Entry, local_models
from khayal.checkpoint.folder import open_checkpoint
from khayal.errors import CheckpointError

Kind = Callable[[str], Path]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def beside_our_own(*folders: Any, **where: Any) -> list[Entry | Broken]:
    """What is listed after the model that khayal comes with."""
    own, *others = local_models(*folders, **where)
    assert own.name == "khayal"
    return others


@pytest.fixture
def cache(tmp_path: Path, tiny_checkpoint: Kind, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache with one model in it, which is where the hub's library looks."""
    repository = tmp_path / "models--somebody--tiny-Diffusers"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    shutil.copytree(tiny_checkpoint("ti2v"), repository / "snapshots" / COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_what_looks_like_a_hub_id() -> None:
    assert hub.is_hub_id("Wan-AI/Wan2.1-T2V-1.3B-Diffusers")
    for name in (
        "model",
        "./org/model",
        "../model",
        "/org/model",
        "org/model/part",
        "org/",
        "~/model",
        "a b/c",
    ):
        assert not hub.is_hub_id(name)


def test_a_cached_model_opens_without_a_network(cache: Path) -> None:
    checkpoint = open_checkpoint("somebody/tiny-Diffusers")
    assert checkpoint.name == "somebody/tiny-Diffusers"
    assert checkpoint.expand_timesteps


def test_a_local_folder_comes_before_the_hub(
    cache: Path, tiny_checkpoint: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_checkpoint("wan2.1"), cache / "somebody" / "tiny-Diffusers")
    monkeypatch.chdir(cache)
    assert not open_checkpoint("somebody/tiny-Diffusers").expand_timesteps


def test_cached_models_are_listed(cache: Path) -> None:
    snapshot = cache / "models--somebody--tiny-Diffusers" / "snapshots" / COMMIT
    (found,) = beside_our_own(cache=cache)
    assert isinstance(found, Entry)
    assert (found.name, found.path) == ("somebody/tiny-Diffusers", snapshot)
    (snapshot / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    (found,) = beside_our_own(cache=cache)
    assert isinstance(found, Broken)
    index = snapshot / "model_index.json"
    index.write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    assert beside_our_own(cache=cache) == []


def test_offline(cache: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no folder somebody/else here.*HF_HUB_OFFLINE is set"):
        open_checkpoint("somebody/else")


def test_a_broken_off_download_offline(cache: Path) -> None:
    snapshot = cache / "models--somebody--tiny-Diffusers" / "snapshots" / COMMIT
    (snapshot / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    checkpoint = open_checkpoint("somebody/tiny-Diffusers")
    with pytest.raises(CheckpointError, match="Connect to the hub and try again"):
        checkpoint.load_autoencoder("cpu")


class Hub(http.server.BaseHTTPRequestHandler):
    """The two answers of the hub that a download needs; `root` is the repository."""

    root: Path
    unreachable: str = ""

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        _, _, file = self.path.partition(f"/resolve/{COMMIT}/")
        body, kind = b"", "application/octet-stream"
        if self.path.startswith("/api/models/somebody/tiny-Diffusers/revision/"):
            files = [{"rfilename": name} for name in self.names()]
            body = json.dumps({"id": "somebody/tiny-Diffusers", "sha": COMMIT, "siblings": files}).encode()
            kind = "application/json"
        elif self.path.startswith(f"/api/models/somebody/tiny-Diffusers/tree/{COMMIT}"):
            files = [
                {
                    "type": "file",
                    "path": name,
                    "size": (self.root / name).stat().st_size,
                    "oid": self.tag(name),
                }
                for name in self.names()
            ]
            body, kind = json.dumps(files).encode(), "application/json"
        elif file and file != self.unreachable:
            body = (self.root / file).read_bytes()
        else:
            self.send_response(403 if file else 404)
            if not file:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{self.tag(file)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def names(self) -> list[str]:
        return [str(path.relative_to(self.root)) for path in sorted(self.root.rglob("*")) if path.is_file()]

    def tag(self, name: str) -> str:
        """git's own name for the file's contents, or something like it."""
        return hashlib.sha1(name.encode()).hexdigest()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, tiny_checkpoint: Kind) -> Iterator[tuple[type[Hub], dict[str, str]]]:
    """A hub of our own with one model, and the environment in which khayal finds it."""
    root = Path(shutil.copytree(tiny_checkpoint("ti2v"), tmp_path / "repository"))
    (root / "README.md").write_text("not needed")
    (root / "assets").mkdir()
    (root / "assets" / "logo.json").write_text("{}")
    handler = type("Served", (Hub,), {"root": root})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    environment = os.environ | {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    yield handler, environment
    server.shutdown()
    thread.join()
    server.server_close()


OPEN = """
import sys
from khayal.checkpoint.folder import open_checkpoint
from khayal.errors import KhayalError
try: print("opened", open_checkpoint(sys.argv[1]).path)
except KhayalError as error: print("refused", error)
"""
LOAD = """
import sys
from khayal.checkpoint.folder import open_checkpoint
from khayal.errors import KhayalError
checkpoint = open_checkpoint(sys.argv[1])
print("opened", checkpoint.name, checkpoint.size_multiple, checkpoint.num_parameters > 0)
try: print("loaded", type(checkpoint.load_autoencoder("cpu")).__name__)
except KhayalError as error: print("refused", error)
"""
DOWNLOAD = """
import sys
from khayal.checkpoint.hub import CONFIGS, download
from khayal.errors import KhayalError
try: download(sys.argv[1], CONFIGS)
except KhayalError as error: print("refused", error)
"""


def answer_of(script: str, name: str, environment: dict[str, str]) -> str:
    """What it prints in a process of its own: the hub's library reads its settings once."""
    command = [sys.executable, "-W", "ignore", "-c", script, name]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_opening_fetches_no_weights(served: tuple[type[Hub], dict[str, str]], tmp_path: Path) -> None:
    answer = answer_of(OPEN, "somebody/tiny-Diffusers", served[1])
    assert answer.startswith("opened ")
    folder = Path(answer.removeprefix("opened ").strip())
    assert (folder / "tokenizer" / "tokenizer.json").exists()
    assert not (folder / "README.md").exists()
    assert not (folder / "assets").exists()
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_the_first_load_fetches_the_weights_and_a_broken_download_goes_on(
    served: tuple[type[Hub], dict[str, str]], tmp_path: Path
) -> None:
    handler, environment = served
    handler.unreachable = "vae/diffusion_pytorch_model.safetensors"
    opened, answer = answer_of(LOAD, "somebody/tiny-Diffusers", environment).splitlines()
    assert opened == "opened somebody/tiny-Diffusers 32 True"
    assert answer.startswith("refused The weights of somebody/tiny-Diffusers could not be downloaded: ")
    kept = {path.name: path.stat().st_ino for path in (tmp_path / "cache").rglob("blobs/*")}
    assert kept
    handler.unreachable = ""
    _, answer = answer_of(LOAD, "somebody/tiny-Diffusers", environment).splitlines()
    assert answer == "loaded WanAutoencoder"
    now = {path.name: path.stat().st_ino for path in (tmp_path / "cache").rglob("blobs/*")}
    assert kept.items() < now.items()


def test_weights_that_do_not_fit_the_configs_are_refused_on_the_first_load(
    served: tuple[type[Hub], dict[str, str]],
) -> None:
    handler, environment = served
    path = handler.root / "vae" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_res_blocks": 3}))
    _, answer = answer_of(LOAD, "somebody/tiny-Diffusers", environment).splitlines()
    assert "do not fit its config.json: missing " in answer


def test_a_cache_with_another_programs_part_is_completed(
    served: tuple[type[Hub], dict[str, str]], tmp_path: Path
) -> None:
    """Whoever took subfolder="vae" has a snapshot without model_index.json."""
    handler, environment = served
    repository = tmp_path / "cache" / "models--somebody--tiny-Diffusers"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    shutil.copytree(handler.root / "vae", repository / "snapshots" / COMMIT / "vae")
    _, answer = answer_of(LOAD, "somebody/tiny-Diffusers", environment).splitlines()
    assert answer == "loaded WanAutoencoder"


def test_a_model_in_another_layout_is_named(served: tuple[type[Hub], dict[str, str]]) -> None:
    handler, environment = served
    (handler.root / "model_index.json").unlink()
    answer = answer_of(OPEN, "somebody/tiny-Diffusers", environment)
    assert answer.startswith(
        "refused somebody/tiny-Diffusers is not a checkpoint: it has no model_index.json"
    )


def test_a_model_that_khayal_cannot_open_is_refused_before_its_weights_come(
    served: tuple[type[Hub], dict[str, str]], tmp_path: Path
) -> None:
    handler, environment = served
    path = handler.root / "transformer" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"in_channels": 36}))
    assert "needs image-concatenation I2V" in answer_of(OPEN, "somebody/tiny-Diffusers", environment)
    assert list((tmp_path / "cache").rglob("*.json"))
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_no_such_model(served: tuple[type[Hub], dict[str, str]]) -> None:
    answer = answer_of(DOWNLOAD, "somebody/else", served[1])
    assert answer.startswith(
        "refused There is no folder somebody/else here and no model somebody/else on the hub"
    )


def test_no_connection(served: tuple[type[Hub], dict[str, str]]) -> None:
    environment = served[1] | {"HF_ENDPOINT": "http://127.0.0.1:1"}
    assert "Check the connection and try again" in answer_of(DOWNLOAD, "somebody/tiny-Diffusers", environment)
