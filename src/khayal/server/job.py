"""A job as it is kept, as it is asked for, and the right to work on it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

QUEUED, RUNNING, COMPLETED, FAILED = "queued", "running", "completed", "failed"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A row of the table; see `khayal.server.database.jobs`.

    Attributes:
        number: the place in the queue, and in lists.
        owner: the id of the key that asked for it.
        api: whose words the client used: "videos" or "khayal".
        size, seconds: of the video, as asked for.
        parent: the video that this one was made from.
        request: task, fields, media and delivery; see `khayal.server.making`.
        result: what was made, how, and with which notes.
    """

    number: int
    id: str
    owner: str
    once: str | None
    api: str
    task: str
    model: str
    prompt: str
    size: str | None
    seconds: float | None
    parent: str | None
    request: dict[str, Any]
    status: str
    is_cancelled: bool
    attempts: int
    fence: int
    beat: int
    worker: str | None
    stage: str | None
    step: int | None
    num_steps: int | None
    progress: int
    created_at: float
    started_at: float | None
    completed_at: float | None
    expires_at: float | None
    is_expired: bool
    error_code: str | None
    error_message: str | None
    result: dict[str, Any] | None
    num_bytes: int

    @property
    def is_over(self) -> bool:
        """True where nothing will change any more."""
        return self.status in (COMPLETED, FAILED)


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to work on a job, as long as no higher fence was given out."""

    job_id: str
    fence: int


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """What is known of a job when it is asked for; see `Job`."""

    id: str
    owner: str
    api: str
    task: str
    model: str
    prompt: str
    request: dict[str, Any]
    size: str | None = None
    seconds: float | None = None
    parent: str | None = None
    once: str | None = None
    num_bytes: int = 0


def new_id(kind: str) -> str:
    """An id that nobody can guess: video_… for a job, char_… for a character, file-… for an upload."""
    return f"{kind}{'-' if kind == 'file' else '_'}{uuid.uuid4().hex}"
