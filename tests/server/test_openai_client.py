"""The Videos API as existing programs use it: the unmodified `openai` client against a running server."""

import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx2
import numpy as np
import openai
import pytest
from PIL import Image
from serving import JOB_SECONDS, Served, wait_for

from khayal import provenance
from khayal.clip import Clip

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")

QUICK = {"num_inference_steps": 1, "guidance_scale": 1, "seed": 3}
SIZE = "64x48"


class Receiver:
    """Somebody who is told of finished videos."""

    def __init__(self):
        self.told = []
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                told.append((dict(self.headers), body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *words):
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def receiver():
    listening = Receiver()
    yield listening
    listening.close()


@pytest.fixture(scope="module")
def served(tiny_checkpoint, tmp_path_factory, receiver):
    data = tmp_path_factory.mktemp("served") / "data"
    blocked = data.with_name("blocked.txt")
    blocked.write_text("forbidden word\n")
    server = Served(tiny_checkpoint("ti2v"), data, "--webhook", receiver.url, "--blocklist", str(blocked))
    server.data = data
    yield server
    server.stop()


@pytest.fixture(scope="module")
def client(served):
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="any", max_retries=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def ball(client):
    """A finished video."""
    made = client.videos.create_and_poll(
        prompt="a red ball", seconds="0.5", size=SIZE, model="sora-2", extra_body=QUICK
    )
    assert made.status == "completed", made.error
    return made


def finished(client, video):
    done = client.videos.poll(video.id)
    assert done.status == "completed", done.error
    return done


def opened(client, video, tmp_path):
    path = tmp_path / "clip.mp4"
    client.videos.download_content(video.id).write_to_file(path)
    return Clip.open(path)


def png(size=(80, 60)):
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def test_create_and_poll_gives_a_video_of_the_shape_that_was_asked_for(client, ball, tmp_path):
    assert (ball.object, ball.progress, ball.seconds, ball.size) == ("video", 100, "0.5", SIZE)
    assert (ball.model, ball.prompt, ball.error) == ("sora-2", "a red ball", None)
    assert ball.created_at <= ball.completed_at
    clip = opened(client, ball, tmp_path)
    assert (clip.size, clip.num_frames, clip.fps) == ((64, 48), 12, 24)


def test_webhooks_tell_of_finished_videos(client, ball, receiver, served):
    # soon after it was made: the client refuses what is older than five minutes
    def told():
        return next((one for one in receiver.told if json.loads(one[1])["data"]["id"] == ball.id), None)

    headers, body = wait_for(told, 30, "nobody was told")
    secret = (served.data / "webhook-secret").read_text()
    secret = "whsec_" + base64.b64encode(bytes.fromhex(secret)).decode()
    event = client.webhooks.unwrap(body, headers, secret=secret)
    assert (event.type, event.data.id) == ("video.completed", ball.id)


def test_content_has_three_variants_and_streams(client, ball, tmp_path):
    with client.videos.with_streaming_response.download_content(ball.id) as answer:
        parts = list(answer.iter_bytes(1024))
    assert len(parts) > 1
    assert b"ftyp" in parts[0][:16]
    thumbnail = client.videos.download_content(ball.id, variant="thumbnail").read()
    sheet = client.videos.download_content(ball.id, variant="spritesheet").read()
    assert Image.open(io.BytesIO(thumbnail)).format == "WEBP"
    assert Image.open(io.BytesIO(sheet)).format == "JPEG"
    ranged = httpx2.get(
        f"{client.base_url}videos/{ball.id}/content", headers={"Range": "bytes=4-7"}, trust_env=False
    )
    assert (ranged.status_code, ranged.content) == (206, b"ftyp")


def test_what_is_delivered_says_where_it_comes_from(client, ball, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(client.videos.download_content(ball.id).read())
    report = provenance.verify(path)
    assert report.state == "trusted"
    assert report.is_generated
    assert report.details["seed"] == 3
    assert report.ingredients == ()


def test_an_image_is_the_first_frame(client, tmp_path):
    given = {"prompt": "it moves", "seconds": "0.5", "size": SIZE}
    as_file = client.videos.create(**given, input_reference=("ball.png", png()), extra_body=QUICK)
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    as_url = client.videos.create(**given, extra_body={**QUICK, "input_reference": {"image_url": url}})
    raw = client.videos.create(**given, input_reference=png(), extra_body=QUICK)  # without a type
    kept = client.files.create(file=("ball.png", png()), purpose="vision")
    as_id = client.videos.create(**given, extra_body={**QUICK, "input_reference": {"file_id": kept.id}})
    made = (as_file, as_url, raw, as_id)
    clips = [opened(client, finished(client, video), tmp_path).frames for video in made]
    for frames in clips:
        assert frames.shape == (12, 48, 64, 3)
        assert np.abs(frames[0].astype(int) - (200, 30, 30)).mean() < 3


def test_files_are_kept_for_later(client):
    kept = client.files.create(
        file=("ball.png", png()),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert (kept.filename, kept.expires_at - kept.created_at) == ("ball.png", 3600)
    assert kept in list(client.files.list(purpose="user_data", limit=1))
    assert Image.open(io.BytesIO(client.files.content(kept.id).read())).size == (80, 60)
    assert client.files.delete(kept.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(kept.id)


def test_json_does_what_a_form_does(client, ball, tmp_path):
    body = {"prompt": "a red ball", "seconds": "0.5", "size": SIZE, **QUICK}
    made = client.post("/videos", body=body, cast_to=openai.types.Video)
    again, first = (opened(client, video, tmp_path).frames for video in (finished(client, made), ball))
    assert np.array_equal(again, first), "the same request, bit for bit"


def test_videos_are_listed_page_after_page(client, ball):
    ids = [video.id for video in client.videos.list(limit=1)]
    assert ball.id in ids
    assert len(ids) == len(set(ids)) > 1
    assert [video.id for video in client.videos.list(limit=2, order="asc")] == ids[::-1]
    page = client.videos.list(limit=1)
    assert page.has_more
    assert page.last_id == page.data[-1].id


def test_remix_and_edits_keep_the_shape(client, ball, tmp_path):
    remix = client.videos.remix(ball.id, prompt="of glass", extra_body=QUICK)
    assert (remix.remixed_from_video_id, remix.size) == (ball.id, SIZE)
    by_id = client.videos.edit(
        prompt="at night",
        video=("my holiday.mov", client.videos.download_content(ball.id).read()),
        extra_body=QUICK,
    )
    clips = [opened(client, finished(client, video), tmp_path) for video in (remix, by_id)]
    assert [(clip.size, clip.num_frames) for clip in clips] == [((64, 48), 12)] * 2
    for video, parent in ((remix, f"{ball.id}.mp4"), (by_id, "my holiday.mp4")):
        path = tmp_path / f"{video.id}.mp4"
        path.write_bytes(client.videos.download_content(video.id).read())
        assert provenance.verify(path).ingredients == (parent,), "an edit keeps its parent"


def test_extensions_last_as_long_as_both_together(client, ball, tmp_path):
    longer = client.post(
        "/videos/extensions",
        body={"prompt": "it rolls", "seconds": "0.5", "video": {"id": ball.id}, **QUICK},
        cast_to=openai.types.Video,
    )
    done = finished(client, longer)
    assert done.seconds == "1"
    clip = opened(client, done, tmp_path)
    assert clip.num_frames == 24
    before = opened(client, ball, tmp_path).frames.astype(int)
    assert np.abs(clip.frames[:11] - before[:11]).mean() < 12, "the given part is shown as it was"


def test_characters_stand_in_other_videos(client, ball, served):
    clip = client.videos.download_content(ball.id).read()
    mossy = client.videos.create_character(name="Mossy", video=("mossy.mp4", clip))
    assert client.videos.get_character(mossy.id).name == "Mossy"
    made = client.videos.create(
        prompt="mossy jumps",
        seconds="0.5",
        size=SIZE,
        extra_body={**QUICK, "characters": [{"id": mossy.id}]},
    )
    done = finished(client, made)
    assert (done.seconds, done.prompt) == ("0.5", "mossy jumps")
    job = httpx2.get(f"{served.url}/v1/khayal/jobs/{made.id}", trust_env=False).json()
    assert job["task"] == "storyboard"
    assert job["result"]["num_frames"] == 12
    with pytest.raises(openai.BadRequestError) as refused:
        client.videos.create(prompt="a", extra_body={"characters": [{"id": "char_none"}]})
    assert refused.value.param == "characters[0].id"


def test_a_deleted_video_is_gone(client):
    made = client.videos.create_and_poll(prompt="a cube", seconds="0.2", size=SIZE, extra_body=QUICK)
    gone = client.videos.delete(made.id)
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "video.deleted")
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(made.id)


def test_a_video_that_is_not_finished(client):
    made = client.videos.create(prompt="a cube", seconds="20", size=SIZE, extra_body={"seed": 1})
    with pytest.raises(openai.ConflictError) as early:
        client.videos.download_content(made.id)
    assert early.value.code == "video_not_ready"
    with pytest.raises(openai.BadRequestError, match="cancel it first"):
        client.videos.delete(made.id)
    client.post(f"/khayal/jobs/{made.id}/cancel", cast_to=object)
    ended = client.videos.poll(made.id)
    assert (ended.status, ended.error.code) == ("failed", "cancelled")
    assert client.videos.delete(made.id).deleted


def test_a_running_video_stops_within_one_step(client, served):
    made = client.videos.create(prompt="a cube", seconds="20", size="256x144", extra_body={"seed": 1})

    def job():
        return httpx2.get(f"{served.url}/v1/khayal/jobs/{made.id}", trust_env=False).json()

    running = wait_for(
        lambda: (told := job())["stage"] == "denoise" and told, JOB_SECONDS, "it did not begin"
    )
    assert running["num_steps"] > running["step"] > 0
    asked = client.post(f"/khayal/jobs/{made.id}/cancel", cast_to=object)
    ended = client.videos.poll(made.id)
    assert ended.error.code == "cancelled"
    assert job()["step"] <= asked["step"] + 1, "the step under way when it was cancelled"
    again = client.videos.create_and_poll(prompt="a ball", seconds="0.2", size=SIZE, extra_body=QUICK)
    assert again.status == "completed"


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"prompt": ""}, "prompt", "invalid_value"),
        ({"prompt": "a", "size": "1281x720"}, "size", "invalid_value"),
        ({"prompt": "a", "size": "big"}, "size", "invalid_value"),
        ({"prompt": "a", "seconds": "soon"}, "seconds", "invalid_value"),
        ({"prompt": "a", "seconds": "900"}, "seconds", "invalid_value"),
        ({"prompt": "a", "extra_body": {"seed": "many"}}, "seed", "invalid_value"),
        ({"prompt": "a", "extra_body": {"num_inference_steps": 0}}, "num_inference_steps", "invalid_value"),
        ({"prompt": "a", "extra_body": {"quality": "best"}}, "quality", "unknown_parameter"),
        ({"prompt": "a", "input_reference": b"text"}, "input_reference", "invalid_media"),
        ({"prompt": "a Forbidden  word"}, "prompt", "content_policy_violation"),
        (
            {"prompt": "a", "extra_body": {"input_reference": {"image_url": "https://localhost/a.png"}}},
            "input_reference.image_url",
            "invalid_media",
        ),
    ],
)
def test_errors_name_the_field(client, given, param, code):
    with pytest.raises(openai.BadRequestError) as refused:
        client.videos.create(**given)
    assert (refused.value.param, refused.value.code) == (param, code)
    assert refused.value.type == "invalid_request_error"
    assert refused.value.request_id.startswith("req_")


def test_unknown_videos_are_not_found(client):
    for call in (client.videos.retrieve, client.videos.delete, client.videos.download_content):
        with pytest.raises(openai.NotFoundError) as missing:
            call("video_none")
        assert missing.value.code == "not_found"
    with pytest.raises(openai.BadRequestError) as refused:
        client.videos.list(limit=101)
    assert refused.value.param == "limit"


def test_the_models_are_listed(client):
    assert [model.owned_by for model in client.models.list()] == ["khayal"]
