"""A folder of user files becomes shards: what is in them, what is not, and what a kill costs."""

import gc
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import click.testing
import numpy as np
import pytest
import torch
import user_files
import webdataset

from khayal.checkpoint.folder import open_checkpoint
from khayal.cli.data import data
from khayal.clip import Clip
from khayal.data import pack as packing
from khayal.data import shards
from khayal.data.pack import Report
from khayal.data.shards import entries
from khayal.data.texts import TextStore
from khayal.errors import InputError, OutputError
from khayal.images import fit_image

PackWith = Callable[..., Report]


def stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    found = {path: path.lstat() for path in sorted(folder.rglob("*"))}
    return {path: (status.st_mtime_ns, status.st_size) for path, status in found.items()}


@pytest.fixture(scope="module")
def packed(media: Path, pack_with: PackWith, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """All user files, decoded by two processes."""
    before = stamps(media)
    out = tmp_path_factory.mktemp("packed") / "shards"
    report = pack_with(media, out, num_workers=2)
    assert stamps(media) == before
    return out, report


def told(folder: Path) -> dict[tuple[str, int], dict[str, object]]:
    found = [entry for bucket in entries(folder).values() for entry in bucket]
    return {(entry.source, entry.window): entry.told() for entry in found}


def test_everything_is_taken_or_has_a_reason(packed: tuple[Path, Report]) -> None:
    out, report = packed
    assert {one.name: one.why for one in report.skipped} == user_files.LEFT_OUT
    assert {source for source, _ in told(out)} == user_files.TAKEN
    assert report.num_files == len(user_files.TAKEN)
    lines = (out / packing.REPORT).read_text().splitlines()
    assert len(lines) == len(report.skipped) + len(report.notes)
    assert "same.mp4: the file is there twice (plain.mp4)" in lines
    assert any("variable frame rate" in note for note in report.notes)
    assert report.reasons["it cannot be read"] == 3


def test_windows_are_in_buckets(packed: tuple[Path, Report]) -> None:
    out, report = packed
    for (_, t, h, w), bucket in entries(out).items():
        for entry in bucket:
            made = entry.told()
            assert entry.array("latents").shape[1:] == (t, h, w)
            assert (made["size"], len(made["frames_per_column"])) == ([w * 16, h * 16], t)
    assert report.clips.keys() >= {(96, 64, 1), (96, 64, 4), (64, 96, 1), (64, 96, 4), (96, 64, 3)}
    sizes = {source: tuple(made["size"]) for (source, _), made in told(out).items()}  # type: ignore[arg-type]
    assert sizes["phone/plain.mp4"] == sizes["tall.mov"] == sizes["phone/upright.jpg"] == (64, 96)


def test_captions_are_those_of_the_window(packed: tuple[Path, Report]) -> None:
    found = told(packed[0])

    def captions(source: str, window: int = 0) -> list[object]:
        return [passage["texts"] for passage in found[source, window]["passages"]]  # type: ignore[attr-defined]

    assert captions("long.mp4", 2) == [{"en/short": "the third window"}]
    second = {"en/short": "second", "ar": "ثان"}
    assert captions("long.mp4") == [{"en/short": "first"}, {"en/short": "first"}, second]
    assert captions("web.webm") == [{"caption": "slow and steady"}]
    assert captions("phone/كرة حمراء.mkv") == [{"caption": "كرة"}]
    assert captions("table/one.mp4") == [{"caption": "the beginning, told", "ar": "البداية"}]
    assert captions("table/one.mp4", 1) == [{"caption": "the end"}]
    assert captions("table/two.jpg") == [{"caption": "two; in quotes"}]
    assert captions("still.png") == [{"caption": "a still"}]


def test_latents_are_those_of_the_frames(
    few: Path, packed_few: Path, tiny_checkpoint: Callable[[str], Path]
) -> None:
    autoencoder = open_checkpoint(tiny_checkpoint("ti2v")).load_autoencoder("cpu")
    found = {(e.source, e.window): e for bucket in entries(packed_few).values() for e in bucket}
    entry = found["wide 2.mp4", 1]
    frames = np.stack(
        [fit_image(frame, (96, 64))[0] for frame in Clip.open(few / "wide 2.mp4").frames[13:26]]
    )
    pixels = torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    with torch.inference_mode():
        latents, still = autoencoder.encode(pixels)[0], autoencoder.encode(pixels[:, :, -1:])[0]
    torch.testing.assert_close(
        torch.from_numpy(entry.array("latents")).float(), latents, atol=4e-3, rtol=4e-3
    )
    torch.testing.assert_close(torch.from_numpy(entry.array("stills")).float(), still, atol=4e-3, rtol=4e-3)
    made = entry.told()
    assert (made["still_columns"], made["frames_per_column"], made["start_seconds"]) == (
        [3],
        [1, 4, 4, 4],
        13 / 24,
    )


def test_captions_are_encoded_once(packed_few: Path, tiny_checkpoint: Callable[[str], Path]) -> None:
    checkpoint = open_checkpoint(tiny_checkpoint("ti2v"))
    store = TextStore(folder=packed_few / "text")
    wanted = ["", "a still", *(f"wide number {k}" for k in range(3))]
    assert store.missing([*wanted, "another"]) == ["another"]
    tokens = checkpoint.tokenizer().encode(["a still"])
    dtype = store.read("a still").dtype
    with torch.inference_mode():
        text = checkpoint.load_text_encoder("cpu", dtype)(tokens.token_ids, tokens.is_token)[0]
    length = int(tokens.is_token.sum())
    torch.testing.assert_close(store.read("a still"), text[:length], atol=0.1, rtol=0.1)
    assert len(store.read("")) == 1
    with pytest.raises(InputError, match="not encoded"):
        store.read("another")


@pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_webdataset_reads_the_shards(packed_few: Path) -> None:
    paths = sorted(str(path) for path in packed_few.glob("*.tar"))
    samples = list(webdataset.WebDataset(paths, shardshuffle=False).decode())
    gc.collect()  # it leaves files open
    assert len(samples) == sum(map(len, entries(packed_few).values())) == 6
    for sample in samples:
        latents = sample["latents.npy"]
        assert (latents.dtype, latents.ndim, latents.shape[0]) == (np.float16, 4, 12)
        assert sample["json"]["passages"][0]["kind"] == "clip"
        assert ("stills.npy" in sample) == (latents.shape[1] > 1)


def test_an_index_can_be_made_again(packed_few: Path, tmp_path: Path) -> None:
    (tar,) = [path for path in packed_few.glob("*.tar") if path.stem.endswith("0")]
    (tmp_path / tar.name).write_bytes(tar.read_bytes())
    ((_, found),) = entries(tmp_path).items()
    there = {(e.source, e.window): e.members for bucket in entries(packed_few).values() for e in bucket}
    assert all(there[entry.source, entry.window] == entry.members for entry in found)
    broken = tmp_path / "shard-000007.tar"
    broken.write_bytes(tar.read_bytes()[:700])
    with pytest.raises(InputError, match="Delete it"):
        entries(tmp_path)


def test_a_killed_pack_goes_on(
    few: Path,
    pack_with: PackWith,
    tiny_checkpoint: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shards, "SHARD_SAMPLES", 2)
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    pack_with(few, unbroken)
    script = f"""
import os, signal
from pathlib import Path
from khayal.data import pack, shards
shards.SHARD_SAMPLES = 2
add, added = shards.ShardWriter.add, []
def add_or_die(self, sample):
    if len(added) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    added.append(add(self, sample))
shards.ShardWriter.add = add_or_die
model, out, few = {str(tiny_checkpoint("ti2v"))!r}, {str(killed)!r}, {str(few)!r}
chosen = dict(model=model, seconds=0.5, pixels=64 * 96, device="cpu")
pack.pack(pack.PackConfig(folder=Path(few), out=Path(out), **chosen))
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    died = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    num_shards = len(list(killed.glob("*.tar")))
    assert 0 < num_shards < len(list(unbroken.glob("*.tar")))
    assert list(killed.glob(".*.part"))
    pack_with(few, killed)
    names = [path.name for path in sorted(unbroken.glob("*.tar"))]
    assert [path.name for path in sorted(killed.glob("*.tar"))] == names
    assert all((killed / name).read_bytes() == (unbroken / name).read_bytes() for name in names)
    assert not list(killed.glob(".*.part"))
    with tarfile.open(killed / names[0]) as tar:
        assert len({name.split(".")[0] for name in tar.getnames()}) == 2


def test_what_is_packed_is_not_packed_again(
    few: Path, packed_few: Path, pack_with: PackWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("nothing is to be encoded")

    monkeypatch.setattr(packing, "_Encoder", never)
    before = sorted(path.name for path in packed_few.iterdir())
    report = pack_with(few, packed_few)
    assert (report.num_files, report.skipped) == (5, ())
    assert sorted(path.name for path in packed_few.iterdir()) == before
    caption = few / "tall.txt"
    was = caption.read_text()
    caption.write_text("another caption")
    assert "changed since it was packed" in pack_with(few, packed_few).notes[0]
    caption.write_text(was)
    with pytest.raises(InputError, match="cannot be continued"):
        pack_with(few, packed_few, pixels=96 * 96)


def test_only_bad_arguments_stop_a_pack(
    few: Path, tmp_path: Path, pack_with: PackWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    for changes, message in (
        ({"folder": tmp_path / "nowhere"}, "no folder"),
        ({"out": few}, "among the media"),
        ({"size": (64, 64), "pixels": 4096}, "Both"),
        ({"seconds": -1.0}, "positive"),
        ({"manifest": tmp_path / "captions.csv"}, "no file"),
        ({"encoding": "klingon"}, "no encoding"),
    ):
        with pytest.raises(InputError, match=message):
            pack_with(**({"folder": few, "out": tmp_path / "out"} | changes))
    empty = tmp_path / "media"
    user_files.image(empty / "a.png")
    with pytest.raises(InputError, match="1 × it has no caption"):
        pack_with(empty, tmp_path / "out")
    user_files.told(user_files.image(empty / "b.png", (8, 8)))
    with pytest.raises(InputError, match="1 × it is too small"):
        pack_with(empty, tmp_path / "out")
    user_files.told(user_files.image(empty / "a.png", (96, 64)))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shards, "_add", full)
    with pytest.raises(OutputError, match="No space left"):
        pack_with(empty, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.tar*"))


def test_the_command(few: Path, tmp_path: Path, tiny_checkpoint: Callable[[str], Path]) -> None:
    model, media, out = str(tiny_checkpoint("wan2.1")), tmp_path / "media", tmp_path / "shards"
    user_files.told(user_files.image(media / "a.png", (96, 64)), "كرة", encoding="cp1256")
    user_files.image(media / "b.png")
    given = ["pack", str(media), "--out", str(out), "--model", model, "--size", "96x64", "--device", "cpu"]
    given += ["--workers", "0", "--no-text", "--encoding", "windows-1256", "--seconds", "1"]
    shown = click.testing.CliRunner().invoke(data, given, catch_exceptions=False)
    assert "1 clip from 1 file, in 1 shard of" in shown.output
    assert "1 × it has no caption" in shown.output
    shown = click.testing.CliRunner().invoke(data, [*given, "--json"], catch_exceptions=False)
    result = json.loads(shown.output)
    assert (result["clips"], result["buckets"]) == (1, [{"size": [96, 64], "latent_frames": 1, "clips": 1}])
    assert result["skipped"] == [{"name": "b.png", "why": "it has no caption", "detail": ""}]
    assert not (out / "text").exists()
