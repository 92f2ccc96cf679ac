"""Calls that many tests make, and what a worker would do."""

import io

from PIL import Image

from khayal.server.folders import VIDEO
from khayal.server.jobs import JobStore


def png(size=(64, 48)):
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def create(client, **body):
    answer = client.post("/v1/videos", json={"prompt": "a red ball", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def upload(client, content, name="ball.png", **fields):
    form = {"file": (name, content), "purpose": (None, "vision")}
    form |= {key: (None, value) for key, value in fields.items()}
    return client.post("/v1/files", files=form)


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
