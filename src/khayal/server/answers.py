"""What both APIs answer with: files, and whatever takes a thread."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from starlette.responses import FileResponse

from khayal.server.desk import Desk
from khayal.server.faults import ApiError, bad
from khayal.server.folders import SPRITESHEET, THUMBNAIL, VIDEO
from khayal.server.job import COMPLETED, FAILED, RUNNING, Job
from khayal.server.orders import Caller

VARIANTS = {
    "video": (VIDEO, "video/mp4"),
    "thumbnail": (THUMBNAIL, "image/webp"),
    "spritesheet": (SPRITESHEET, "image/jpeg"),
}


async def threaded(
    desk: Desk,
    request: Request,
    take: Callable[[Caller], Response],
    *,
    is_intake: bool = False,
    is_quick: bool = False,
) -> Response:
    """Ask who calls, then do it, in a thread, because databases and files make one wait.

    Args:
        desk: of the server.
        request: for its key.
        take: what to do.
        is_intake: True for what may read uploads, which has threads of its own: it must not keep the
            many short questions waiting.
        is_quick: True for one look into the database, which SQLite answers in less time than it takes to
            hand it to a thread; its readers wait for no writer.
    """
    if is_quick and desk.database.is_sqlite:
        return _do(desk, _secret(request), take)
    caller = getattr(request.state, "caller", None)
    ask = partial(take, caller) if caller is not None else partial(_do, desk, _secret(request), take)
    return await to_thread.run_sync(ask, limiter=desk.intake_threads if is_intake else None)


def add_call(
    desk: Desk,
    router: APIRouter,
    method: str,
    path: str,
    call: Callable[[Desk, Request], Awaitable[Response]],
    document: Mapping[str, Any],
) -> None:
    """Answer a path. Who calls is asked before a body is read: strangers shall not fill the disk."""

    async def endpoint(request: Request) -> Response:
        if method == "POST":
            request.state.caller = await to_thread.run_sync(desk.caller, _secret(request))
        try:
            return await call(desk, request)
        finally:
            await request.close()  # the files of its form

    router.add_api_route(path, endpoint, methods=[method], response_model=None, **document)


def _secret(request: Request) -> str:
    return request.headers.get("authorization", "")


def _do(desk: Desk, authorization: str, take: Callable[[Caller], Response]) -> Response:
    return take(desk.caller(authorization))


def content(desk: Desk, job: Job, variant: str) -> Response:
    """A finished video, or a picture of it. Ranges are answered, so that a browser can seek.

    Raises:
        ApiError: there is no such variant, or nothing to be had.
    """
    if variant not in VARIANTS:
        raise bad(f"variant is one of {', '.join(VARIANTS)}.", "variant")
    if job.status == FAILED:
        raise ApiError(
            404, "The video failed, so that it has no content.", code="video_failed", param="video_id"
        )
    if job.status != COMPLETED:  # the client would send it again by itself, and wait for nothing
        told = {"x-should-retry": "false"}
        message = "The video is not finished yet: ask for its status."
        raise ApiError(409, message, code="video_not_ready", param="video_id", headers=told)
    name, kind = VARIANTS[variant]
    path = desk.folder.result(job.id) / name
    if job.is_expired or not path.is_file():
        raise ApiError(
            404, "The video was kept for its time, and is gone.", code="video_expired", param="video_id"
        )
    return FileResponse(
        path,
        media_type=kind,
        filename=f"{job.id}{path.suffix}",
        content_disposition_type="inline",
        headers={"cache-control": "private, max-age=3600"},
    )


def has_preview(desk: Desk, job: Job) -> bool:
    """True where `preview` has something to show of a job that runs."""
    return job.status == RUNNING and desk.folder.preview(job.id).is_file()


def preview(desk: Desk, job: Job, known: str | None = None) -> Response:
    """What a video looks like while it is made; once it is finished, its thumbnail; if it failed, nothing.

    Args:
        desk: of the server.
        job: that runs.
        known: the ETag of the picture that the client has.

    Raises:
        ApiError: there is nothing to be seen yet.
    """
    if job.status == COMPLETED:
        return content(desk, job, "thumbnail")
    if job.status == FAILED:
        return Response(status_code=204)  # a browser would report an error to whoever watched
    try:
        picture = desk.folder.preview(job.id).read_bytes()
    except OSError as error:
        now = desk.store.find(job.id)
        if now is not None and now.is_over:  # in this moment
            return preview(desk, now)
        message = "There is no preview yet: has_preview of the job tells when there is."
        raise ApiError(404, message, code="preview_not_ready") from error
    headers = {"etag": f'"{hashlib.sha256(picture).hexdigest()[:32]}"'}
    if known == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(picture, media_type="image/webp", headers=headers)
