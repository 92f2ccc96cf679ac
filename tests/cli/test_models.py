"""`khayal models` lists the known and the local ones, and says what is wrong with a broken one."""

import json
import shutil

import pytest

from khayal.checkpoint import catalogue
from khayal.checkpoint.folder import open_checkpoint
from khayal.cli import main
from khayal.tasks import TASKS


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    return tmp_path_factory.mktemp("caches")


@pytest.fixture
def listed(capsys, monkeypatch, caches):
    monkeypatch.setenv("XDG_CACHE_HOME", str(caches))
    # the estimates of all would take a while; tests of the catalogue go through the others
    monkeypatch.setattr(catalogue, "_KNOWN", catalogue._KNOWN[:1])

    def call(*args):
        with pytest.raises(SystemExit) as end:
            main(["models", *args])
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return call


def test_known_and_local_models_are_listed(listed, tmp_path, tiny_checkpoint):
    shutil.copytree(tiny_checkpoint("ti2v"), tmp_path / "tiny")
    shutil.copytree(tiny_checkpoint("wan2.1"), tmp_path / "whole")
    shutil.copytree(tiny_checkpoint("wan2.1"), tmp_path / "broken")
    next((tmp_path / "broken" / "vae").glob("*.safetensors")).unlink()
    code, out, _ = listed(str(tmp_path), "--json")
    assert code == 0
    models = {model["name"]: model for model in json.loads(out)["models"]}
    tiny = models[str(tmp_path / "tiny")]
    assert tiny["path"] == tiny["name"]
    assert tiny["num_bytes"] > 10_000
    assert tiny["fps"] == 24
    assert tiny["tasks"] == list(TASKS)
    assert next(iter(models)) == open_checkpoint().name
    assert "vae" in models[str(tmp_path / "broken")]["problem"]
    large = models["Wan-AI/Wan2.2-TI2V-5B-Diffusers"]
    assert large["size"] == [1280, 704]
    assert 5e9 < large["memory_bytes"]["low"] < 22e9 < large["memory_bytes"]["high"]
    assert models[str(tmp_path / "whole")]["tasks"] == ["generate", "remix"]


def test_the_table_is_not_cut_in_a_pipe(listed, tmp_path, tiny_checkpoint):
    shutil.copytree(tiny_checkpoint("ti2v"), tmp_path / "tiny")
    code, out, err = listed(str(tmp_path))
    assert code == 0
    head, *rows = out.splitlines()
    assert head.split()[:2] == ["Model", "Here"]
    (tiny,) = (row for row in rows if row.startswith(str(tmp_path / "tiny")))
    assert "24 fps" in tiny
    assert tiny.rstrip().endswith(", ".join(TASKS))
    (known,) = (row for row in rows if row.startswith("Wan-AI/Wan2.2-TI2V-5B-Diffusers"))
    assert known.split()[1] == "no"
    assert err == ""


def test_a_folder_that_is_not_there(listed):
    assert listed("nowhere") == (1, "", "Error: There is no folder nowhere.\n")
