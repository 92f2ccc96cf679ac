"""What people write about their clips, in the forms in which they write it."""

import json
import math
from pathlib import Path

import pytest

from khayal.data.captions import Passage, Told, decoded, from_json, from_text, merged, parsed, passages_of
from khayal.data.manifest import is_manifest, rows
from khayal.errors import InputError, MissingExtraError
from khayal.world.clips import SIDECAR


def texts(data: object) -> list[dict[str, str]]:
    return [dict(told.texts) for told in from_json(data)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"caption": " a  red\nball "}, {"caption": "a red ball"}),
        ({"text": "a ball", "id": 7}, {"caption": "a ball"}),
        ({"prompt": "asked", "caption": "described"}, {"caption": "described"}),
        ({"captions": ["a ball", "a toy"]}, {"caption": "a ball", "caption/2": "a toy"}),
        ({"caption_en": "a ball", "caption_ar": "كرة"}, {"en": "a ball", "ar": "كرة"}),
        ({"captions": {"en": {"short": "ball"}, "ar": "كرة"}}, {"en/short": "ball", "ar": "كرة"}),
        ("a ball", {"caption": "a ball"}),
        (["a ball", "a toy"], {"caption": "a ball", "caption/2": "a toy"}),
    ],
)
def test_captions_in_json(data: object, expected: dict[str, str]) -> None:
    assert texts(data) == [expected]


def test_the_sidecars_of_the_world_are_read() -> None:
    captions = [
        {
            "kind": "clip",
            "start_seconds": 0.0,
            "end_seconds": 4.0,
            "en": {"short": "s"},
            "ar": {"short": "ق"},
        },
        {"kind": "shot", "start_seconds": 1.5, "end_seconds": 4.0, "en": {"short": "t"}},
    ]
    told = from_json({"schema": SIDECAR, "fps": 12, "captions": captions, "truth": {"seed": 1}})
    assert told[0] == Told(kind="clip", start=0.0, end=4.0, texts={"en/short": "s", "ar/short": "ق"})
    assert (told[1].kind, told[1].start) == ("shot", 1.5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"title": "a ball"}, "no caption"),
        ({"caption": ""}, "no caption"),
        ({"caption": "  "}, "empty"),
        ({"caption": {"en": 7}}, "not text"),
        ({"caption": "x" * 30_000}, "too long"),
        ({"caption": "x", "start": 3, "end": 2}, "no length"),
        ({"caption": "x", "start": "soon"}, "no time"),
        ([], "empty"),
    ],
)
def test_what_is_no_caption_is_refused(data: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_json(data)


def test_encodings() -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert decoded("كرة حمراء".encode(encoding)) == "كرة حمراء"
    assert decoded("كرة".encode("cp1256"), "cp1256") == "كرة"
    for data in ("كرة".encode("cp1256"), b"\x00\x01\x02", "a".encode("utf-32")):
        with pytest.raises(InputError, match="--encoding"):
            decoded(data)
    with pytest.raises(InputError, match="not JSON"):
        parsed('{"caption": ')
    assert from_text("one\r\ntwo\n")[0].texts == {"caption": "one two"}


def test_a_window_gets_the_caption_that_fits_best() -> None:
    told = (
        Told(texts={"caption": "all"}, kind="clip"),
        Told(texts={"caption": "first"}, kind="shot", start=0, end=2),
        Told(texts={"caption": "second"}, kind="shot", start=2, end=8),
        Told(texts={"caption": "a moment"}, kind="span", start=4, end=6),
    )

    def at(start: float, num_frames: int) -> tuple[Passage, ...]:
        return passages_of(told, start=start, num_frames=num_frames, fps=10.0, seconds=8.0)

    def words(start: float, num_frames: int) -> list[str]:
        return [passage.texts["caption"] for passage in at(start, num_frames)]

    assert words(0, 80) == ["all", "first", "second"]
    assert [(p.kind, p.start, p.end) for p in at(1, 30)] == [
        ("clip", 0, 30),
        ("shot", 0, 10),
        ("shot", 10, 30),
    ]
    assert words(4, 20) == ["a moment"]
    assert words(0, 20) == ["first"]
    only = (Told(texts={"caption": "late"}, kind="span", start=5, end=6),)
    assert passages_of(only, start=0, num_frames=20, fps=10.0, seconds=8.0) == ()


def test_lines_about_one_stretch_are_alternatives() -> None:
    told = merged([Told(texts={"caption": text}) for text in ("a", "b", "a")])
    assert told == (Told(texts={"caption": "a", "caption/2": "b"}),)
    assert told[0].end == math.inf


def write(path: Path, kind: str) -> Path:
    found = [
        {
            "file_name": "a.mp4",
            "caption": 'a "red" ball, bouncing',
            "caption_ar": "كرة",
            "start": 1.0,
            "end": 2.5,
        },
        {"file_name": "b/c.png", "caption": "two\nlines", "caption_ar": None, "start": None, "end": None},
    ]
    path = path / f"captions.{kind}"
    if kind == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(found), path)
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in found) + "\n\n[1]\nnothing\n")
    elif kind == "json":
        path.write_text(json.dumps(found))
    else:
        sign = {"csv": ",", "tsv": "\t"}[kind]
        cells = [
            ["video", "text", "text_ar", "start", "end"],
            ["a.mp4", '"a ""red"" ball, bouncing"', "كرة", "1", "2.5"],
        ]
        cells += [["b/c.png", '"two\nlines"', "", "", ""], ["d.mp4", "too", "many", "", "", "fields"], [""]]
        path.write_text("\n".join(sign.join(line) for line in cells))
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_tables_of_captions(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path, kind)
    assert is_manifest(path)
    found = list(rows(path))
    told = {"caption": 'a "red" ball, bouncing', "ar": "كرة"}
    assert found[0][1:] == ("a.mp4", (Told(texts=told, kind="span", start=1.0, end=2.5),))
    assert found[1][1:] == ("b/c.png", (Told(texts={"caption": "two lines"}),))
    rest = [row[2] for row in found[2:]]
    assert all(isinstance(said, str) for said in rest)
    if kind == "csv":
        assert "quotation marks" in rest[0]
    if kind == "jsonl":
        assert rest == ["the line is no JSON object", "the line is not JSON"]


def test_a_json_table_may_go_by_names(tmp_path: Path) -> None:
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps({"a.mp4": "a ball", "b.mp4": {"caption": "a cube"}}))
    assert [
        (file, said[0].texts["caption"]) for _, file, said in rows(path) if not isinstance(said, str)
    ] == [
        ("a.mp4", "a ball"),
        ("b.mp4", "a cube"),
    ]


def test_what_is_no_table_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="There is no file"):
        list(rows(tmp_path / "captions.csv"))
    (tmp_path / "captions.csv").write_text("caption,length\na ball,3\n")
    with pytest.raises(InputError, match="names no files"):
        list(rows(tmp_path / "captions.csv"))
    (tmp_path / "captions.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match="cannot be read"):
        list(rows(tmp_path / "captions.parquet"))
    monkeypatch.setattr("khayal.data.manifest.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'khayal\[data\]'"):
        list(rows(tmp_path / "captions.parquet"))
