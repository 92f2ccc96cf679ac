"""Who may call, how often and how much, and what else is turned away. No worker runs."""

import logging
import shutil
import subprocess
import sys

import pytest
from calling import create, finish, png, upload

from khayal.errors import KhayalError
from khayal.server.config import Limits, Policy, ServerConfig
from khayal.server.keys import add_key, revoke_key


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
