"""Both APIs in this process, without workers: what is accepted, what is refused, who may call."""

import base64
import io
import json
import logging
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from khayal.errors import KhayalError
from khayal.server.answers import preview
from khayal.server.app import House, make_app
from khayal.server.config import Limits, Policy, ServerConfig
from khayal.server.folders import VIDEO
from khayal.server.jobs import JobStore
from khayal.server.keys import add_key, revoke_key
from khayal.server.page import POLICY, WEB
from khayal.server.worker import show


@pytest.fixture
def start(tmp_path):
    """Starts a server without workers, with changes to its configuration."""
    opened = []

    def start(**changes):
        config = ServerConfig(data=tmp_path / f"data-{len(opened)}")
        house = House(replace(config, **changes), has_workers=False)
        client = TestClient(make_app(house), base_url="http://localhost", raise_server_exceptions=False)
        client.__enter__()
        client.house = house
        opened.append(client)
        return client

    yield start
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(start):
    return start()


def png(size=(64, 48)):
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def finish(client, job_id):
    """What a worker would do."""
    store: JobStore = client.house.desk.store
    job, lease = store.claim("test")
    assert job.id == job_id
    work = store.folder.work(job.id, lease.fence)
    work.mkdir()
    (work / VIDEO).write_bytes(b"video")
    made = {"size": [64, 48], "seconds": 4.0, "fps": 24.0, "num_frames": 96}
    assert store.publish(lease, work, made)


def create(client, **body):
    answer = client.post("/v1/videos", json={"prompt": "a red ball", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_video_has_the_standard_s_shape_and_defaults(client):
    video = create(client)
    assert video["id"].startswith("video_")
    assert set(video) == {
        *("id", "object", "model", "status", "progress", "created_at", "completed_at", "expires_at"),
        *("size", "seconds", "prompt", "remixed_from_video_id", "error"),
    }
    assert (video["status"], video["seconds"], video["size"]) == ("queued", "4", "720x1280")
    answer = client.get(f"/v1/videos/{video['id']}")
    assert answer.headers["openai-poll-after-ms"] == "1000"
    assert answer.json() == video


@pytest.mark.parametrize("size", ["720x1280", "1280x720", "1024x1792", "1792x1024", "1920x1080", "1080x1920"])
def test_every_size_of_the_standard_is_taken(client, size):
    assert create(client, size=size, seconds="12")["size"] == size


def test_a_form_says_the_same_as_json(client):
    body = {"prompt": "a", "seconds": "8", "seed": "7", "guidance_scale": "5.0", "num_inference_steps": "3"}
    made = client.post("/v1/videos", files={k: (None, v) for k, v in body.items()})
    assert made.status_code == 200, made.text
    job = client.house.desk.store.find(made.json()["id"])
    assert job.request["fields"] == {"prompt": "a", "seed": 7, "guidance": 5.0, "steps": 3}
    assert job.request["delivery"]["seconds"] == 8.0


def test_nested_fields_of_a_form_are_read(client):
    video = create(client)
    finish(client, video["id"])
    form = {"prompt": (None, "more"), "seconds": (None, "4"), "video[id]": (None, video["id"])}
    made = client.post("/v1/videos/extensions", files=form)
    assert made.status_code == 200, made.text
    assert (made.json()["seconds"], made.json()["remixed_from_video_id"]) == ("8", video["id"])


def test_what_a_job_needs_stays_when_its_source_is_deleted(client):
    video = create(client)
    finish(client, video["id"])
    remix = client.post(f"/v1/videos/{video['id']}/remix", json={"prompt": "of glass"}).json()
    assert client.delete(f"/v1/videos/{video['id']}").json()["deleted"]
    inputs = client.house.folder.inputs(remix["id"])
    assert [path.read_bytes() for path in inputs.glob("*/*")] == [b"video"]
    again = client.post(f"/v1/videos/{video['id']}/remix", json={"prompt": "of glass"})
    assert again.status_code == 404


def test_a_source_that_is_not_finished_is_refused(client):
    video = create(client)
    for path, body in (("edits", {}), ("extensions", {"seconds": "4"})):
        answer = client.post(f"/v1/videos/{path}", json={"prompt": "a", "video": {"id": video["id"]}, **body})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "video_not_ready")
    assert list(client.house.folder.path.glob("inputs/*")) == [client.house.folder.inputs(video["id"])]


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


def test_khayals_own_tasks_are_asked_for_in_its_own_words(client):
    known = {task["task"] for task in client.get("/v1/khayal/tasks").json()["data"]}
    assert {"generate", "animate", "extend", "fill", "connect", "loop", "remix", "storyboard"} == known
    video = create(client)
    finish(client, video["id"])
    clip = {"id": video["id"]}
    bodies = {
        "generate": {"prompt": "a", "seconds": 2, "size": [64, 48], "negative": "blur", "guidance": [4.0]},
        "extend": {"clip": clip, "backward": True, "seconds": 1},
        "connect": {"first": clip, "second": clip},
        "loop": {"clip": clip},
        "remix": {"clip": clip, "prompt": "of glass", "strength": 0.4},
        "fill": {"clip": clip, "missing": [[1.0, 2.0]]},
        "storyboard": {
            "shots": [{"prompt": "{mo} sleeps", "seconds": 1}, {"prompt": "{mo} runs"}],
            "cast": [{"name": "mo", "description": "a fox", "clip": clip}],
        },
    }
    for task, body in bodies.items():
        answer = client.post(f"/v1/khayal/{task}", json=body)
        assert answer.status_code == 200, (task, answer.text)
        told = answer.json()
        assert (told["task"], told["status"]) == (task, "queued")
        assert told["parent"] == (None if task == "generate" else video["id"])
    places = [client.get(f"/v1/khayal/jobs/{told['id']}").json()["place"]]
    assert places == [len(bodies) - 1]


def test_keyframes_and_files_come_in_forms(client):
    form = {
        "prompt": (None, "the sun rises"),
        "seconds": (None, "2.5"),
        "image": ("a.png", png()),
    }
    answer = client.post("/v1/khayal/animate", files=form)
    assert answer.status_code == 200, answer.text
    job = client.house.desk.store.find(answer.json()["id"])
    assert job.request["fields"]["image"] == {"$file": "media-0/a.png"}
    assert job.request["delivery"] == {"seconds": 2.5}
    url = "data:image/png;base64," + base64.b64encode(png((16, 16))).decode()
    frames = {"keyframes": [[0, {"url": url}], [1.5, {"url": url}]], "prompt": "a"}
    answer = client.post("/v1/khayal/fill", json=frames)
    assert answer.status_code == 200, answer.text
    job = client.house.desk.store.find(answer.json()["id"])
    assert [second for second, _ in job.request["fields"]["keyframes"]] == [0, 1.5]


@pytest.mark.parametrize(
    ("task", "body", "param"),
    [
        ("generate", {}, "prompt"),
        ("generate", {"prompt": "a", "steps": "many"}, "steps"),
        ("generate", {"prompt": "a", "size": [1, 2, 3]}, "size"),
        ("generate", {"prompt": "a", "size": [63, 48]}, "size"),
        ("generate", {"prompt": "a", "image": "x"}, "image"),
        ("animate", {"prompt": "a"}, "image"),
        ("storyboard", {"shots": "none"}, "shots"),
        ("storyboard", {"shots": [{"prompt": "a"}], "cast": [{"name": 3, "description": "x"}]}, None),
        ("remix", {"prompt": "a", "clip": {"id": "video_none"}}, "video_id"),
    ],
)
def test_own_errors_name_the_field(client, task, body, param):
    answer = client.post(f"/v1/khayal/{task}", json=body)
    assert answer.status_code in (400, 404), answer.text
    assert answer.json()["error"]["param"] == param


def test_a_path_is_never_taken_from_a_client(client):
    """Media are files that were sent, never names of files here."""
    for given in ("/etc/passwd", {"$file": "/etc/passwd"}, ["/etc/passwd"], 3):
        answer = client.post("/v1/khayal/animate", json={"image": given})
        assert answer.status_code == 400, (given, answer.text)


def test_a_request_with_a_name_of_its_own_is_one_job(client):
    headers = {"Idempotency-Key": "abc"}
    ids = {client.post("/v1/videos", json={"prompt": "a"}, headers=headers).json()["id"] for _ in range(2)}
    assert len(ids) == 1


def test_bodies_that_are_no_requests(client):
    answers = [
        client.post("/v1/videos", content=b"{", headers={"content-type": "application/json"}),
        client.post("/v1/videos", content=b"[1]", headers={"content-type": "application/json"}),
        client.post("/v1/videos", content=b'{"prompt": NaN}', headers={"content-type": "application/json"}),
        client.post("/v1/videos", content=b"\xff\xfe", headers={"content-type": "application/json"}),
        client.post("/v1/videos", content=b"x", headers={"content-type": "multipart/form-data; boundary=y"}),
        client.post("/v1/videos", content=b"x", headers={"content-type": "multipart/form-data"}),
        client.post(
            "/v1/videos", content=b'{"prompt": "\\ud800"}', headers={"content-type": "application/json"}
        ),
        client.post("/v1/videos", json={"prompt": "a\0b"}),
        client.post("/v1/videos", json={"prompt": ["a"]}),
        client.post("/v1/videos", json={"prompt": "a", "seed": 10**400}),
        client.post("/v1/videos", json={"prompt": "a", "model": 7}),
    ]
    assert [answer.status_code for answer in answers] == [400] * len(answers)
    for answer in answers:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    answer = client.post("/v1/videos", content=b"x", headers={"content-type": "text/plain"})
    assert answer.status_code == 415


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


def test_other_sites_and_other_names_are_turned_away(client):
    answer = client.post("/v1/videos", json={"prompt": "a"}, headers={"origin": "https://evil.example"})
    assert answer.status_code == 403
    assert client.get("/v1/videos", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/v1/videos", headers={"host": "127.0.0.1:8000"}).status_code == 200
    same = {"origin": "http://localhost", "host": "localhost"}
    assert client.post("/v1/videos", json={"prompt": "a"}, headers=same).status_code == 200


def test_bodies_have_a_bound_however_they_are_sent(start):
    client = start(max_body=1 << 20)
    assert client.post("/v1/videos", content=b"x" * (2 << 20)).status_code == 413
    chunks = (b"x" * 65536 for _ in range(32))
    assert client.post("/v1/videos", content=chunks).status_code == 413


def test_limits_are_kept(start):
    limits = Limits(max_queued=2, max_seconds=5, max_pixels=1280 * 720)
    client = start(limits=limits)
    for body, param in (({"seconds": "6"}, "seconds"), ({"size": "1920x1080"}, "size")):
        answer = client.post("/v1/videos", json={"prompt": "a", **body})
        assert answer.json()["error"]["param"] == param
    form = {"prompt": (None, "a"), "input_reference": ("a.png", png((1300, 720)))}
    answer = client.post("/v1/videos", files=form)
    assert answer.json()["error"]["code"] == "invalid_media"
    for _ in range(2):
        create(client, seconds="4")
    answer = client.post("/v1/videos", json={"prompt": "a"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_full")


def test_a_key_that_calls_too_often_waits(start):
    client = start(limits=Limits(requests_per_minute=6))
    answers = [client.get("/v1/videos") for _ in range(2)]
    assert answers[0].status_code == 200
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after-ms"]) > 0


def test_the_disk_has_a_quota(start):
    client = start(disk_quota=4)
    finish(client, create(client)["id"])
    answer = client.post("/v1/videos", json={"prompt": "a"})
    assert answer.json()["error"]["code"] == "disk_quota_exceeded"


def test_keys_open_the_door_and_part_what_they_own(start):
    client = start(requires_keys=True)
    database = client.house.database
    mine, _ = add_key(database, "mine", {})
    yours, _ = add_key(database, "yours", {"max_seconds": 2.0})
    as_me, as_you = ({"authorization": f"Bearer {secret}"} for secret in (mine, yours))
    assert client.get("/v1/videos").status_code == 401
    assert client.get("/v1/videos", headers={"authorization": "Bearer kh-none"}).status_code == 401
    video = client.post("/v1/videos", json={"prompt": "a"}, headers=as_me).json()
    assert client.get(f"/v1/videos/{video['id']}", headers=as_me).status_code == 200
    for path in (f"/v1/videos/{video['id']}", f"/v1/khayal/jobs/{video['id']}"):
        assert client.get(path, headers=as_you).status_code == 404
        assert client.delete(path, headers=as_you).status_code == 404
    assert client.get("/v1/videos", headers=as_you).json()["data"] == []
    answer = client.post("/v1/videos", json={"prompt": "a"}, headers=as_you)
    assert answer.json()["error"]["param"] == "seconds", "a key has limits of its own"
    with database.reading() as tx:
        kept = str(tx.exec_driver_sql("SELECT * FROM keys").all())
    assert mine not in kept
    revoke_key(database, "mine")
    client.house.desk._ring._read_at = float("-inf")  # instead of waiting for two seconds
    assert client.get("/v1/videos", headers=as_me).status_code == 401


def test_no_secret_is_logged(start, caplog):
    client = start(requires_keys=True)
    secret, _ = add_key(client.house.database, "mine", {})
    with caplog.at_level(logging.DEBUG, logger="khayal"):
        headers = {"authorization": f"Bearer {secret}"}
        client.get(f"/v1/videos?token={secret}", headers=headers)
        client.post("/v1/videos", json={"prompt": "a private matter"}, headers=headers)
    assert "/v1/videos" in caplog.text
    assert secret not in caplog.text
    assert "private" not in caplog.text


def test_what_is_on_the_blocklist_is_refused_wherever_it_stands(start, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("# remarks\nbad thing\nre: w[o0]rse\n")
    client = start(policy=Policy(blocklist=words))
    bodies = [
        ("videos", {"prompt": "a BAD  thing happens"}),
        ("videos", {"prompt": "a w0rse one"}),
        ("videos", {"prompt": "fine", "negative_prompt": "bad thing"}),
        ("khayal/storyboard", {"shots": [{"prompt": "fine"}, {"prompt": "bad thing"}]}),
    ]
    for path, body in bodies:
        answer = client.post(f"/v1/{path}", json=body)
        assert answer.json()["error"]["code"] == "content_policy_violation", body
    create(client, prompt="a bad thingamajig")


def test_without_an_answer_of_the_moderation_nothing_is_allowed(start):
    client = start(policy=Policy(moderation_url="http://127.0.0.1:9/none"))
    answer = client.post("/v1/videos", json={"prompt": "a"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "moderation_unavailable")


def test_the_document_names_every_call_with_examples(client):
    document = client.get("/openapi.json").json()
    assert {"/v1/videos", "/v1/videos/{video_id}/remix", "/v1/khayal/fill"} <= set(document["paths"])
    create = document["paths"]["/v1/videos"]["post"]
    assert set(create["requestBody"]["content"]) == {"application/json", "multipart/form-data"}
    assert create["requestBody"]["content"]["application/json"]["examples"]
    assert "A red ball" in client.get("/docs").text
    assert "<script" not in client.get("/docs").text
    json.dumps(document, allow_nan=False)


def test_a_server_that_others_can_reach_needs_a_key(tmp_path):
    from khayal.server.running import run

    with pytest.raises(KhayalError, match="no API key"):
        run(ServerConfig(data=tmp_path / "data", host="0.0.0.0", port=0))


def test_a_port_that_is_taken_is_said_at_once(tmp_path):
    import socket

    from khayal.server.running import run

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(KhayalError, match="cannot listen"):
            run(ServerConfig(data=tmp_path / "data", port=port))
    assert not (tmp_path / "data").exists()


def test_the_server_needs_no_torch():
    code = "import khayal.server.running, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


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
    image = {"url": "data:image/png;base64," + base64.b64encode(png()).decode()}
    shots = [{"prompt": "{mo} wakes", "seconds": 2}, {"prompt": "{mo} runs", "image": image}]
    shots.append({"prompt": "it rolls", "clip": {"id": video["id"]}})
    cast = [{"name": "mo", "description": "a small fox"}]
    body = {"shots": shots, "cast": cast, "seed": 5, "size": [64, 48]}
    job = client.post("/v1/khayal/storyboard", json=body).json()
    assert job["settings"] == {
        "shots": [{"prompt": "{mo} wakes", "seconds": 2}, {"prompt": "{mo} runs"}, {"prompt": "it rolls"}],
        "cast": cast,
        "seed": 5,
        "size": [64, 48],
    }
    assert job["sources"] == {"shots[2].clip": video["id"]}
    fill = {"clip": {"id": video["id"]}, "missing": [[1.0, 2.0]]}
    job = client.post("/v1/khayal/fill", json=fill).json()
    assert (job["settings"], job["sources"]) == ({"missing": [[1.0, 2.0]]}, {"clip": video["id"]})
    keyframes = {"keyframes": [[0, image], [1, image]], "prompt": "sunrise"}
    assert client.post("/v1/khayal/fill", json=keyframes).json()["settings"]["keyframes"] == []


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


def upload(client, content, name="ball.png", **fields):
    form = {"file": (name, content), "purpose": (None, "vision")}
    form |= {key: (None, value) for key, value in fields.items()}
    return client.post("/v1/files", files=form)


def test_a_file_is_uploaded_once_and_named_later(client):
    answer = upload(client, png(), "../../ball.png")
    assert answer.status_code == 200, answer.text
    file = answer.json()
    assert file["id"].startswith("file-")
    assert (file["object"], file["purpose"], file["status"]) == ("file", "vision", "processed")
    assert file["filename"] == ".._.._ball.png"
    assert client.get(f"/v1/files/{file['id']}").json() == file
    content = client.get(f"/v1/files/{file['id']}/content")
    assert (content.headers["content-type"], len(content.content)) == ("image/png", file["bytes"])
    for path, body in (
        ("videos", {"prompt": "a", "input_reference": {"file_id": file["id"]}}),
        ("khayal/animate", {"prompt": "a", "image": {"id": file["id"]}}),
    ):
        job_id = client.post(f"/v1/{path}", json=body).json()["id"]
        assert client.house.desk.store.find(job_id).task == "animate"
        given = client.house.folder.inputs(job_id) / "media-0" / "______ball.png"
        assert given.read_bytes() == content.content
    assert client.delete(f"/v1/files/{file['id']}").json()["deleted"]
    assert given.exists(), "what waits keeps what it was given"
    assert list(client.house.folder.path.glob("files/*")) == []
    body = {"prompt": "a", "input_reference": {"file_id": file["id"]}}
    answer = client.post("/v1/videos", json=body)
    assert answer.status_code == 404
    assert answer.json()["error"]["param"] == "input_reference.file_id"


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


def test_files_that_are_no_pictures_are_refused(start):
    client = start(requires_keys=True)
    mine, yours = (add_key(client.house.database, name, {})[0] for name in ("mine", "yours"))
    client.headers["authorization"] = f"Bearer {mine}"
    assert upload(client, b"{}\n", "a.jsonl").json()["error"]["code"] == "invalid_media"
    assert upload(client, png(), purpose="fun").json()["error"]["param"] == "purpose"
    answer = client.post("/v1/files", json={"file": "a", "purpose": "vision"})
    assert answer.json()["error"]["param"] == "file"
    assert list(client.house.folder.path.glob("files/*")) == []
    file_id = upload(client, png()).json()["id"]
    client.headers["authorization"] = f"Bearer {yours}"
    assert client.get(f"/v1/files/{file_id}").status_code == 404
    body = {"prompt": "a", "input_reference": {"file_id": file_id}}
    assert client.post("/v1/videos", json=body).status_code == 404


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


def test_a_disk_that_is_full_takes_no_more(client, monkeypatch):
    usage = shutil._ntuple_diskusage(10**12, 10**12 - 1000, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    for answer in (client.post("/v1/videos", json={"prompt": "a"}), upload(client, png())):
        assert (answer.status_code, answer.json()["error"]["code"]) == (507, "storage_full")
        assert answer.headers["x-should-retry"] == "false"
    assert client.get("/v1/videos").status_code == 200


def test_a_database_that_breaks_while_it_is_used_is_said(client):
    create(client)
    client.house.database.engine.dispose()
    path = client.house.folder.path / "khayal.db"
    for rest in path.parent.glob("khayal.db-*"):
        rest.unlink()
    path.write_bytes(b"SQLite format 3\0" + b"\x7f" * 4096)
    for answer in (client.get("/v1/videos"), client.post("/v1/videos", json={"prompt": "a"})):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_unavailable")
        assert str(path) not in answer.text
