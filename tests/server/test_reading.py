"""What both APIs tell: jobs, lists, pictures, files, the document, the page. No worker runs."""

import base64
import io
import json
import time

import numpy as np
from calling import create, finish, png, upload
from PIL import Image

from khayal.server.answers import preview
from khayal.server.jobs import JobStore
from khayal.server.page import POLICY, WEB
from khayal.server.worker import show


def test_lists_have_ends_and_orders(client):
    assert client.get("/v1/videos").json() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }
    ids = [create(client)["id"] for _ in range(3)]
    page = client.get("/v1/videos", params={"limit": 2}).json()
    assert [video["id"] for video in page["data"]] == ids[:0:-1]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (ids[2], ids[1], True)
    rest = client.get("/v1/videos", params={"after": ids[1], "limit": 100}).json()
    assert ([video["id"] for video in rest["data"]], rest["has_more"]) == (ids[:1], False)
    assert client.get("/v1/videos", params={"limit": 0}).json()["has_more"]


def test_unknown_paths_and_methods_are_errors_of_the_same_shape(client):
    for method, path, status in (("GET", "/v1/nothing", 404), ("PUT", "/v1/videos", 405)):
        answer = client.request(method, path)
        assert answer.status_code == status
        assert answer.json()["error"]["message"]


def test_every_answer_has_an_id_and_guards_the_browser(client):
    for path in ("/v1/videos", "/health", "/docs", "/openapi.json", "/nothing"):
        headers = client.get(path).headers
        assert headers["x-request-id"].startswith("req_")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]


def test_the_document_names_every_call_with_examples(client):
    document = client.get("/openapi.json").json()
    assert {"/v1/videos", "/v1/videos/{video_id}/remix", "/v1/khayal/fill"} <= set(document["paths"])
    create = document["paths"]["/v1/videos"]["post"]
    assert set(create["requestBody"]["content"]) == {"application/json", "multipart/form-data"}
    assert create["requestBody"]["content"]["application/json"]["examples"]
    assert "A red ball" in client.get("/docs").text
    assert "<script" not in client.get("/docs").text
    json.dumps(document, allow_nan=False)


def test_what_forms_is_shown_while_it_is_made_and_gone_afterwards(client):
    video = create(client)
    path = f"/v1/khayal/jobs/{video['id']}"

    def told():
        return client.get(path).json()["has_preview"], client.get(f"{path}/preview")

    has_preview, answer = told()
    assert (has_preview, answer.status_code, answer.json()["error"]["code"]) == (
        False,
        404,
        "preview_not_ready",
    )
    store: JobStore = client.house.desk.store
    job, lease = store.claim("test")
    picture = store.folder.preview(job.id)
    show(picture, np.full((300, 600, 3), 90, np.uint8))
    assert list(picture.parent.iterdir()) == [picture], "whole by a rename"
    has_preview, answer = told()
    assert (has_preview, answer.status_code, answer.headers["content-type"]) == (True, 200, "image/webp")
    assert answer.headers["cache-control"] == "no-store"
    assert Image.open(io.BytesIO(answer.content)).size == (480, 240)
    assert client.get("/v1/khayal/jobs").json()["data"][0]["has_preview"]
    known = {"if-none-match": answer.headers["etag"]}
    assert client.get(f"{path}/preview", headers=known).status_code == 304
    store.fail(lease, "model_error", "broken")
    has_preview, answer = told()
    assert (has_preview, answer.status_code, answer.content) == (False, 204, b""), (
        "over: no error, no picture"
    )
    assert not picture.exists()


def test_a_preview_that_goes_while_it_is_asked_for_is_no_error(client):
    video = create(client)
    desk = client.house.desk
    stale, lease = desk.store.claim("test")
    desk.store.fail(lease, "model_error", "broken")
    assert preview(desk, stale).status_code == 204, "it was read as running, and had ended by then"
    assert client.get(f"/v1/khayal/jobs/{video['id']}").json()["status"] == "failed"


def test_all_that_a_video_was_asked_for_with_can_be_used_again(client):
    video = create(client)
    finish(client, video["id"])
    kept = {"id": upload(client, png()).json()["id"]}
    image = {"url": "data:image/png;base64," + base64.b64encode(png()).decode()}
    shots = [{"prompt": "{mo} wakes", "seconds": 2}, {"prompt": "{mo} runs", "image": image}]
    shots += [{"prompt": "it rolls", "clip": {"id": video["id"]}}, {"prompt": "it sleeps", "image": kept}]
    cast = [{"name": "mo", "description": "a small fox"}]
    body = {"shots": shots, "cast": cast, "seed": 5, "size": [64, 48]}
    job = client.post("/v1/khayal/storyboard", json=body).json()
    assert job["settings"] == {
        "shots": [shots[0], {"prompt": "{mo} runs"}, *shots[2:]],
        "cast": cast,
        "seed": 5,
        "size": [64, 48],
    }, "a picture that came along is the only thing that is lost"
    assert job["sources"] == {"shots[2].clip": video["id"], "shots[3].image": kept["id"]}
    fill = {"clip": {"id": video["id"]}, "missing": [[1.0, 2.0]]}
    job = client.post("/v1/khayal/fill", json=fill).json()
    assert (job["settings"], job["sources"]) == (fill, {"clip": video["id"]})
    keyframes = {"keyframes": [[0, image], [1, image]], "prompt": "sunrise"}
    assert client.post("/v1/khayal/fill", json=keyframes).json()["settings"]["keyframes"] == []
    keyframes = {"keyframes": [[0, image], [1, kept]], "prompt": "sunrise"}
    job = client.post("/v1/khayal/fill", json=keyframes).json()
    assert job["settings"] == {"keyframes": [[1, kept]], "prompt": "sunrise"}
    again = client.post("/v1/khayal/fill", json=job["settings"])
    assert again.json()["settings"] == job["settings"]


def test_a_character_is_kept_seen_and_named(client):
    video = create(client)
    finish(client, video["id"])
    asked = {"name": "Mo", "video": {"id": video["id"]}}
    mo = client.post("/v1/videos/characters", json=asked).json()
    assert [one["name"] for one in client.get("/v1/khayal/characters").json()["data"]] == ["Mo"]
    seen = client.get(f"/v1/khayal/characters/{mo['id']}/content")
    assert (seen.headers["content-type"], seen.content) == ("video/mp4", b"video")
    made = create(client, prompt="mo rolls away", characters=[{"id": mo["id"]}])
    job = client.get(f"/v1/khayal/jobs/{made['id']}").json()
    assert job["sources"] == {"cast[0].clip": mo["id"]}
    assert job["settings"]["cast"] == [{"name": "c0", "description": "Mo", "clip": {"id": mo["id"]}}]
    assert client.delete(f"/v1/khayal/characters/{mo['id']}").json()["deleted"]
    assert client.get(f"/v1/khayal/characters/{mo['id']}/content").status_code == 404


def test_the_page_is_served_from_its_folder_and_from_nowhere_else(client):
    answer = client.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["cache-control"] == "no-cache"
    policy = dict(one.split(" ", 1) for one in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    known = {"if-none-match": f'W/{answer.headers["etag"]}, "x"'}
    assert client.get("/", headers=known).status_code == 304
    assert client.head("/").status_code == 200
    for path in sorted(WEB.iterdir()):
        told = client.get(f"/web/{path.name}")
        assert (told.status_code, told.content) == (200, path.read_bytes())
        assert told.headers["content-security-policy"] == POLICY
    for path in (
        "",
        "../app.py",
        "%2e%2e/app.py",
        "..%2fapp.py",
        "%2e%2e%2fapp.py",
        "/etc/passwd",
        "none.js",
    ):
        refused = client.get(f"/web/{path}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found"), path
    assert client.get("/health").json()["requires_key"] is False


def test_files_are_listed_and_end_with_their_time(client):
    ids = [upload(client, png()).json()["id"] for _ in range(2)]
    fleeting = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    ids.append(upload(client, png(), **fleeting).json()["id"])
    page = client.get("/v1/files", params={"limit": 2}).json()
    assert [file["id"] for file in page["data"]] == ids[:0:-1]
    assert (page["has_more"], page["last_id"]) == (True, ids[1])
    rest = client.get("/v1/files", params={"after": ids[1], "purpose": "vision"}).json()
    assert ([file["id"] for file in rest["data"]], rest["has_more"]) == (ids[:1], False)
    assert client.get("/v1/files", params={"purpose": "batch"}).json()["data"] == []
    uploads = client.house.desk.uploads
    uploads._now = lambda: time.time() + 3601
    assert client.get(f"/v1/files/{ids[2]}").status_code == 404
    upload(client, png())
    assert len(list(client.house.folder.path.glob("files/*"))) == 3, "what is over leaves the disk"


def test_a_video_whose_time_is_over_is_told_apart_from_one_that_never_was(start):
    client = start(keep_seconds=0.0)
    video = create(client)
    assert video["expires_at"] is None
    finish(client, video["id"])
    assert client.get(f"/v1/videos/{video['id']}").json()["expires_at"] is not None
    assert client.house.desk.store.expire() == 1
    answer = client.get(f"/v1/videos/{video['id']}/content")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "video_expired")
    answer = client.post(f"/v1/videos/{video['id']}/remix", json={"prompt": "of glass"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "video_not_ready")
    assert client.get(f"/v1/videos/{video['id']}").json()["status"] == "completed"
