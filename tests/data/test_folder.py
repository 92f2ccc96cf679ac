"""Which captions belong to which files, in folders as they come."""

import json
import os
import unicodedata
from pathlib import Path

import pytest
import user_files

from khayal.data.folder import Skipped, find
from khayal.errors import InputError


def captions(folder: Path, **given: object) -> dict[str, str]:
    media, _ = find(folder, **given)  # type: ignore[arg-type]
    return {one.name: next(iter(one.told[0].texts.values())) for one in media}


def reasons(folder: Path, **given: object) -> dict[str, str]:
    return {one.name: one.why for one in find(folder, **given)[1]}  # type: ignore[arg-type]


def test_names_match_whatever_their_spelling(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    user_files.image(tmp_path / f"{apart}.PNG")
    (tmp_path / f"{composed}.TXT").write_text("a café")
    user_files.image(tmp_path / "a.jpg")
    user_files.image(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("of both")
    (tmp_path / "a.png.txt").write_text("of one")
    named = os.fsdecode(b"caf\xe9.png")
    user_files.image(tmp_path / "b.png").rename(tmp_path / named)
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("in Latin-1")
    found = captions(tmp_path)
    assert found == {
        "a.jpg": "of both",
        "a.png": "of one",
        f"{apart}.PNG": "a café",
        "caf\\xe9.png": "in Latin-1",
    }
    assert not reasons(tmp_path)


def test_tables_come_before_files_beside_and_json_before_text(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "sub/d", "sub/e"):
        user_files.told(user_files.image(tmp_path / f"{name}.png"), "from txt")
    (tmp_path / "b.json").write_text('{"caption": "from json"}')
    (tmp_path / "c.json").write_text('{"width": 7}')  # no caption in it
    (tmp_path / "captions.jsonl").write_text('{"file_name": "a.png", "text": "from the table"}')
    rows = [{"path": name, "text": "from its own table"} for name in ("d", ".\\d.PNG", "d.png")]
    (tmp_path / "sub" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert captions(tmp_path) == {
        "a.png": "from the table",
        "b.png": "from json",
        "c.png": "from txt",
        "sub/d.png": "from its own table",
        "sub/e.png": "from txt",
    }
    (tmp_path / "list.csv").write_text("video,caption\ne,by its name\nsub/d.png,by its path\npng,none\n")
    assert captions(tmp_path, manifest=tmp_path / "list.csv") | {
        "sub/e.png": "by its name",
        "sub/d.png": "by its path",
    }
    why = reasons(tmp_path, manifest=tmp_path / "list.csv")
    assert why == {
        "captions.jsonl": "another table was named",
        "sub/metadata.jsonl": "another table was named",
        "list.csv, line 4": "there is no such file",
    }


def test_odd_places_are_passed_over(tmp_path: Path) -> None:
    user_files.told(user_files.image(tmp_path / "clips" / "a.png"))
    os.symlink("loop", tmp_path / "clips" / "loop")
    os.mkfifo(tmp_path / "clips" / "pipe.mp4")
    os.symlink(tmp_path / "clips", tmp_path / "clips" / "again")
    (tmp_path / "clips" / ".git").mkdir()
    user_files.told(user_files.image(tmp_path / "clips" / "shards" / "b.png"))
    (tmp_path / "clips" / "captions.csv").write_bytes(b"\xff\x00\xfe")
    (tmp_path / "clips" / "world.json").write_text("{}")
    folder = tmp_path / "clips"
    assert captions(folder, left_out=folder / "shards") == {"a.png": "a white square moves to the right"}
    assert reasons(folder, left_out=folder / "shards") == {
        "loop": "it is a link to nothing",
        "pipe.mp4": "it is no ordinary file",
        ".git": "it is hidden",
        "captions.csv": "the table cannot be read",
    }
    with pytest.raises(InputError, match="no folder"):
        find(folder / "a.png")
    assert str(Skipped(name="a", why="it is b", detail="c")) == "a: it is b (c)"


def test_what_the_world_renders_is_taken_as_it_is(tmp_path: Path) -> None:
    """The sidecar that `khayal world render` writes, from a true scene."""
    from khayal.world.clips import WorldClip, tell
    from khayal.world.draw import Request
    from khayal.world.record import record
    from khayal.world.theatre import take

    truth = record(take(Request(size=(64, 64), seconds=1.0, fps=12, dial=1), 3, 0))
    frames = user_files.np.zeros((truth.num_frames, 64, 64, 3), dtype="uint8")
    clip = WorldClip(frames=frames, captions=tell(truth), truth=truth)
    user_files.video(tmp_path / "000000.mp4", size=(64, 64), fps=12, num_frames=12)
    (tmp_path / "000000.json").write_text(json.dumps(clip.to_json(), ensure_ascii=False))
    ((media,), skipped) = find(tmp_path)
    assert not skipped
    assert media.told[0].texts["en/short"] == clip.captions[0].texts["en"]["short"]
    assert media.told[0].texts["ar/detailed"] == clip.captions[0].texts["ar"]["detailed"]
    assert (media.told[0].kind, media.told[0].end) == ("clip", 1.0)
