"""The front desk: who calls, what may be asked for, and how an order becomes a job."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from anyio import CapacityLimiter

from khayal.errors import InputError
from khayal.server import faults
from khayal.server.cards import read_cards
from khayal.server.config import Limits, ServerConfig
from khayal.server.database import Database
from khayal.server.decoding import Bounds, Given, decode
from khayal.server.faults import ApiError
from khayal.server.fetch import fetch
from khayal.server.folders import VIDEO, DataFolder, file_stem, size_of
from khayal.server.job import COMPLETED, Job, NewJob, new_id
from khayal.server.jobs import JobStore, QueueFull
from khayal.server.keys import LOCAL, KeyRing, Meter
from khayal.server.orders import Caller, Media, Order, placeholders, sources, texts
from khayal.server.people import Characters
from khayal.server.policy import Blocklist, Denied, Moderation, Unreachable
from khayal.server.requests import FILE, build, kinds
from khayal.server.uploads import Uploads

_ID = re.compile(r"[A-Za-z0-9_]{1,64}")
_DECODERS = 2
_CARDS_SECONDS = 2.0
_INTAKE_THREADS = 8
_SPARE_BYTES = 256 << 20  # a disk that is full to the last byte serves nobody


class Desk:
    """Takes orders.

    Args:
        config: of the server.
        database: of jobs, keys, cards.
        folder: of files.
        wake: called when there is a new job.
    """

    def __init__(
        self, config: ServerConfig, database: Database, folder: DataFolder, wake: Any = lambda: None
    ) -> None:
        self.config, self.database, self.folder = config, database, folder
        self.store = JobStore(database, folder, keep_seconds=config.keep_seconds)
        self.characters, self.uploads = Characters(database, folder), Uploads(database, folder)
        self._wake = wake
        self._ring, self._meter = KeyRing(database), Meter()
        self._blocklist = Blocklist.read(config.policy.blocklist)
        self._moderation = Moderation(config.policy.moderation_url)
        self._decoders = threading.BoundedSemaphore(_DECODERS)
        self._cards: dict[str, dict[str, Any]] = {}
        self._cards_read_at = float("-inf")
        self.intake_threads = CapacityLimiter(_INTAKE_THREADS)

    # --- who calls

    def caller(self, authorization: str) -> Caller:
        """The owner of a request.

        Raises:
            ApiError: 401 without a key in force, 429 where the key calls too often.
        """
        caller = Caller(owner=LOCAL, limits=self.config.limits)
        if not self.config.is_open:
            scheme, _, secret = authorization.partition(" ")
            key = self._ring.find(secret.strip()) if scheme.lower() == "bearer" else None
            if key is None:
                raise ApiError(
                    401,
                    "Give an API key that is in force: Authorization: Bearer kh-…",
                    code="invalid_api_key",
                    headers={"WWW-Authenticate": "Bearer"},
                )
            caller = Caller(owner=key.id, limits=self.config.limits.replaced_by(key.limits))
        wait = self._meter.wait_seconds(caller.owner, caller.limits)
        if wait:
            told = {"retry-after-ms": str(int(wait * 1000) + 1), "retry-after": str(int(wait) + 1)}
            raise ApiError(
                429, "Too many requests.", code="rate_limit_exceeded", kind="rate_limit_error", headers=told
            )
        return caller

    def job(self, job_id: str, caller: Caller, kind: str = "video") -> Job:
        """A job of the caller.

        Raises:
            ApiError: 404; another's job is not there either.
        """
        job = self.store.find(job_id, caller.owner) if _ID.fullmatch(job_id) else None
        if job is None:
            raise faults.not_found(kind, job_id)
        return job

    # --- what there is

    def cards(self) -> dict[str, dict[str, Any]]:
        """What each model can do; one that no worker has opened yet is empty."""
        if time.monotonic() - self._cards_read_at > _CARDS_SECONDS:
            known = read_cards(self.database)
            self._cards = {ref: known.get(ref, {}) for ref in self.config.models}
            self._cards_read_at = time.monotonic()
        return self._cards

    def name_of(self, ref: str) -> str:
        """A model's name for people."""
        return str(self.cards().get(ref, {}).get("name") or Path(ref).name or "khayal")

    def model(self, asked: str | None) -> str:
        """The ref of the model that a client means; names that nobody knows mean the default."""
        for ref, card in self.cards().items():
            if asked in (ref, card.get("name")):
                return ref
        return self.config.models[0]

    # --- what is asked for

    def take(self, order: Order, caller: Caller) -> Job:
        """Make a job of an order; when this returns, it is kept.

        Raises:
            ApiError: for whatever cannot be made.
        """
        known = self.store.find_once(caller.owner, order.once)
        if known is not None:
            return known
        model = self.model(order.asked_model)
        self._check(order, caller, model)
        job_id = new_id("video")
        inputs = self.folder.inputs(job_id)
        inputs.mkdir()
        try:
            intake = _Intake(self, caller, inputs)
            fields, delivery = intake.resolved(order.fields), dict(order.delivery)
            if order.follows:
                delivery |= intake.shape(order.adds)
                self._check_shape(replace(order, delivery=delivery), caller.limits)
            request = {
                "task": order.task,
                "fields": fields,
                "delivery": delivery,
                "parents": intake.names,
                "sources": sources(order.fields),
                "asked_model": order.asked_model,
            }
            size = delivery.get("size")
            new = NewJob(
                id=job_id,
                owner=caller.owner,
                once=order.once,
                api=order.api,
                task=order.task,
                model=model,
                prompt=order.prompt,
                request=request,
                size=f"{size[0]}x{size[1]}" if size else None,
                seconds=delivery.get("seconds"),
                parent=order.parent,
                num_bytes=size_of(inputs),
            )
            job = self.store.submit(new, max_queued=caller.limits.max_queued)
        except BaseException as error:
            self.folder.drop(inputs)
            if isinstance(error, QueueFull):
                raise _queue_full(caller) from error
            raise
        if job.id != job_id:  # the same request came twice at once
            self.folder.drop(inputs)
        self._wake()
        return job

    def check_words(self, *texts: str) -> None:
        """Raises an ApiError for what the content policy does not allow."""
        try:
            self._blocklist.check(*texts)
            self._moderation.check_text(*texts)
        except Denied as error:
            raise faults.denied() from error
        except Unreachable as error:
            raise ApiError(503, str(error), code="moderation_unavailable", kind="server_error") from error

    def check_space(self) -> None:
        """Raises an ApiError where the quota is used up, or the disk is full."""
        quota = self.config.disk_quota
        keepers = (self.store, self.characters, self.uploads)
        if quota is not None and sum(keeper.num_bytes() for keeper in keepers) >= quota:
            raise ApiError(
                400,
                "The disk quota of this server is used up: delete videos that are not needed any more.",
                code="disk_quota_exceeded",
            )
        if shutil.disk_usage(self.folder.path).free < _SPARE_BYTES:
            told = {"x-should-retry": "false"}
            message = "The disk of this server is full."
            raise ApiError(507, message, code="storage_full", kind="server_error", headers=told)

    def receive(self, media: Media, caller: Caller, out: Path) -> Given:
        """Bring what was named to `out` with a suffix of its own.

        Raises:
            ApiError: it is not there, or cannot be used.
        """
        if media.video_id is not None:
            job = self.job(media.video_id, caller)
            if job.status != COMPLETED or job.is_expired:
                message = (
                    f"The video {job.id} cannot be used: it is {'gone' if job.is_over else 'not finished'}."
                )
                raise faults.bad(message, media.param, "video_not_ready")
            made = job.result or {}
            shape = {"size": tuple(made["size"]), "num_frames": made["num_frames"], "fps": made["fps"]}
            return Given(name=_link(self.folder.result(job.id) / VIDEO, out), kind="video", **shape)
        if media.character_id is not None:
            self.characters.find(media.character_id, caller.owner)
            name = _link(self.folder.character(media.character_id), out)
            return Given(name=name, kind="video", size=(2, 2), num_frames=1, fps=1.0)  # it gives no shape
        if media.file_id is not None:
            upload = self.uploads.find(media.file_id, caller.owner, media.param)
            made = upload.given
            name = _link(self.folder.upload(upload.id, made["name"]), out)
            return Given(**{**made, "name": name, "size": tuple(made["size"])})
        raw = out.with_suffix(".given")
        try:
            if media.upload is not None:
                with raw.open("wb") as file:
                    shutil.copyfileobj(media.upload.file, file, 1 << 20)
            else:
                assert media.url is not None
                fetch(media.url, raw, self.config.fetch_hosts)
            return self.decoded(raw, out, caller)
        except InputError as error:
            raise faults.bad(str(error), media.param, "invalid_media") from error
        finally:
            raw.unlink(missing_ok=True)

    def decoded(self, raw: Path, out: Path, caller: Caller) -> Given:
        """A stranger's file, written anew by a bounded process; only a few of those run at a time."""
        limits = caller.limits
        bounds = Bounds(
            max_pixels=limits.max_pixels, max_seconds=limits.max_seconds, max_frames=limits.max_frames
        )
        with self._decoders:
            return decode(raw, out, bounds)

    def _check(self, order: Order, caller: Caller, model: str) -> None:
        self._check_shape(order, caller.limits)
        card = self.cards()[model]
        if order.task not in kinds():
            raise faults.bad(f"This version of khayal cannot {order.task} yet.", None, "unsupported_task")
        if card.get("tasks") and order.task not in card["tasks"]:
            raise faults.bad(f"The model {card['name']} cannot {order.task}.", "model", "unsupported_task")
        try:
            build(order.task, placeholders(order.fields))
        except InputError as error:
            raise faults.of_input(error, dict(order.names)) from error
        self.check_words(*texts(order.fields))
        self.check_space()

    def _check_shape(self, order: Order, limits: Limits) -> None:
        size, seconds, fps = (order.delivery.get(name) for name in ("size", "seconds", "fps"))
        names = order.names
        if size and size[0] * size[1] > limits.max_pixels:
            raise faults.bad(f"At most {limits.max_pixels:,} pixels are allowed.", names.get("size"))
        if seconds is not None and seconds > limits.max_seconds:
            raise faults.bad(f"At most {limits.max_seconds:g} seconds are allowed.", names.get("seconds"))
        num_frames = order.delivery.get("num_frames")
        if num_frames is not None and num_frames > limits.max_seconds * (fps or 24):
            raise faults.bad(f"At most {limits.max_seconds:g} seconds are allowed.", names.get("num_frames"))


class _Intake:
    """Puts the media of an order into folders of its job, one for each, as its user names it."""

    def __init__(self, desk: Desk, caller: Caller, folder: Path) -> None:
        self._desk, self._caller, self._folder = desk, caller, folder
        self.given: list[Given] = []

    @property
    def names(self) -> list[str]:
        """Of the files."""
        return [given.name for given in self.given]

    def shape(self, adds: float) -> dict[str, Any]:
        """Size, rate and length of the first of them, and of what is added to it."""
        first = self.given[0]
        size = [max(16, side - side % 2) for side in first.size]  # 4:2:0 has no odd sizes
        return {"size": size, "fps": first.fps, "seconds": first.seconds + adds}

    def resolved(self, value: Any) -> Any:
        """The same value, with `{"$file": NAME}` for every `Media` in it."""
        if isinstance(value, Media):
            folder = self._folder / f"media-{len(self.given)}"
            folder.mkdir()
            given = self._desk.receive(value, self._caller, folder / file_stem(self._title(value)))
            self.given.append(replace(given, name=f"{folder.name}/{given.name}"))
            return {FILE: self.given[-1].name}
        if isinstance(value, Mapping):
            return {key: self.resolved(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.resolved(item) for item in value]
        return value

    def _title(self, media: Media) -> str:
        """What its user calls it, which notes and errors say; where it has no name, that of its field."""
        if media.upload is not None:
            return media.upload.filename or ""
        if media.file_id is not None:
            return self._desk.uploads.find(media.file_id, self._caller.owner, media.param).name
        if media.character_id is not None:
            return f"{self._desk.characters.find(media.character_id, self._caller.owner).name}.mp4"
        if media.url is not None and not media.url.startswith("data:"):
            return urlsplit(media.url).path
        return media.video_id or media.param


def _link(source: Path, out: Path) -> str:
    """The same file under another name: it stays where the video is deleted before its turn comes."""
    target = out.with_suffix(source.suffix)
    try:
        os.link(source, target)
    except FileNotFoundError as error:
        raise faults.bad("The video is gone.", None, "video_not_ready") from error
    except OSError:  # a file system without links
        shutil.copyfile(source, target)
    return target.name


def _queue_full(caller: Caller) -> ApiError:
    return ApiError(
        429,
        f"There are {caller.limits.max_queued} videos waiting or being made already: try again later.",
        code="queue_full",
        kind="rate_limit_error",
        headers={"retry-after": "30", "x-should-retry": "false"},
    )
