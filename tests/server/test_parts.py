"""Small parts: what errors are called, when events are told again, how a video is brought to its shape."""

import errno
from fractions import Fraction

import numpy as np
import pytest
import sqlalchemy as sa

import khayal
from khayal.clip import Clip
from khayal.errors import CapacityError, CheckpointError, InputError, KhayalError, OutputError
from khayal.server.database import Database, events
from khayal.server.folders import file_stem
from khayal.server.making import Delivery, deliver, fit_request
from khayal.server.webhooks import PAUSES, Herald, signature
from khayal.server.worker import code_of
from khayal.tasks import AnimateRequest, GenerateRequest


def full():
    error = OutputError("it could not be written")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CapacityError("x"), "out_of_memory"),
        (CheckpointError("x"), "model_error"),
        (InputError("x"), "invalid_input"),
        (OutputError("x"), "storage_error"),
        (full(), "storage_full"),
        (KhayalError("x"), "generation_failed"),
    ],
)
def test_every_failure_has_a_code(error, code):
    assert code_of(error) == code


@pytest.mark.parametrize(
    ("title", "stem"),
    [
        ("my holiday.mov", "my holiday"),
        ("كرة حمراء.png", "كرة حمراء"),
        ("video_1f", "video_1f"),
        ("../../etc/passwd.mp4", "passwd"),
        ("C:\\films\\ball.v2.mp4", "ball_v2"),
        ("a\0b\u202e\ud800\n.mp4", "a_b___"),
        ("/", "upload"),
        (".png", "upload"),
        ("ك" * 200, "ك" * 60),
    ],
)
def test_a_file_is_called_what_its_user_calls_it_within_its_folder(title, stem):
    assert file_stem(title) == stem


def test_events_are_told_again_until_nobody_can_be_expected_any_more(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'khayal.db'}")
    clock = [1000.0]
    herald = Herald(database, "http://127.0.0.1:9/hook", "whsec_AAAA", now=lambda: clock[0])
    with database.writing() as tx:
        row = {"id": "evt_1", "job_id": "video_1", "type": "video.completed", "created_at": 1.0}
        tx.execute(events.insert().values(**row, attempts=0, next_at=1000.0))

    def kept():
        with database.reading() as tx:
            return tx.execute(sa.select(events.c.attempts, events.c.next_at)).one()

    for number, pause in enumerate(PAUSES, start=1):
        assert herald.tell_due() == 0
        assert kept() == (number, clock[0] + pause)
        herald.tell_due()
        assert kept().attempts == number, "not before its time"
        clock[0] += pause
    herald.tell_due()
    assert kept() == (len(PAUSES) + 1, None)
    database.close()


def test_signatures_are_those_of_standard_webhooks():
    """The example of the specification's reference implementation."""
    told = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        '{"test": 2432232314}',
    )
    assert told == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("delivery", "size", "num_frames", "fps"),
    [
        (Delivery(), (64, 32), 13, 24),
        (Delivery(size=(72, 40)), (72, 40), 13, 24),
        (Delivery(seconds=0.5), (64, 32), 12, 24),
        (Delivery(num_frames=5), (64, 32), 5, 24),
        (Delivery(seconds=0.5, fps=12.0, size=(16, 64)), (16, 64), 6, 12),
    ],
)
def test_a_clip_is_delivered_in_the_shape_that_was_asked_for(delivery, size, num_frames, fps):
    frames = np.zeros((13, 32, 64, 3), np.uint8)
    frames[:, :, 32:] = 200
    source = Clip.from_frames(frames, fps=Fraction(24))
    clip = deliver(source, delivery, mark="khayal")
    made = clip.frames
    assert (clip.size, len(made), clip.fps) == (size, num_frames, fps)
    assert made[0, 2, 0].max() < 60, "the left stays dark: it is cropped at the centre"
    assert made[0, 2, -1].min() > 140
    changed = (made != deliver(source, delivery).frames).any(axis=(0, 3))
    rows = np.nonzero(changed)[0]
    assert len(rows), "the mark is seen"
    assert rows.min() >= size[1] // 4, "and stands in the lower corner"


def test_another_shape_is_cropped_from_that_of_the_training():
    studio, tall = khayal.open(device="cpu"), Delivery(size=(720, 1280))
    request = fit_request(GenerateRequest(prompt="a ball"), tall, studio)
    assert request.size == (128, 128), "the model makes no other as well"
    still = fit_request(AnimateRequest(image="still.png", prompt="a ball"), tall, studio)
    assert still.size == (96, 176), "what is given keeps its margins"
