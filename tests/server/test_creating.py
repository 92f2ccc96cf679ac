"""What both APIs make of a request: which job it becomes, and what is no request. No worker runs."""

import base64

import pytest
from calling import create, finish, png, upload


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
