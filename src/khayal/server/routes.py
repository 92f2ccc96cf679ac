"""khayal's own API under /v1/khayal: the eight tasks in khayal's words, and jobs with all that is known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile
from starlette.responses import FileResponse, JSONResponse

from khayal.errors import InputError
from khayal.server import documents, faults
from khayal.server.answers import add_call, content, has_preview, preview, threaded
from khayal.server.desk import Desk
from khayal.server.faults import bad
from khayal.server.forms import read_body
from khayal.server.job import FAILED, QUEUED, Job
from khayal.server.orders import Caller, Media, Order, asked_again
from khayal.server.requests import FILE, build, fields_of, kinds, plain
from khayal.server.schemas import schema_of

_TIMED = ("generate", "animate")
"""Tasks whose `seconds` are those of the whole video, and are kept to the frame."""


def routes(desk: Desk) -> APIRouter:
    """The calls under /v1/khayal."""
    router = APIRouter(prefix="/v1/khayal", tags=["khayal"])
    add = partial(add_call, desk, router)
    add("GET", "/jobs", _list, documents.JOBS)
    add("GET", "/jobs/{job_id}", _retrieve, documents.JOB_RETRIEVE)
    add("POST", "/jobs/{job_id}/cancel", _cancel, documents.JOB_CANCEL)
    add("DELETE", "/jobs/{job_id}", _delete, documents.JOB_DELETE)
    add("GET", "/jobs/{job_id}/content", _content, documents.JOB_CONTENT)
    add("GET", "/jobs/{job_id}/preview", _preview, documents.JOB_PREVIEW)
    add("GET", "/tasks", _tasks, documents.TASKS)
    add("GET", "/models", _cards, documents.CARDS)
    add("GET", "/characters", _characters, documents.CHARACTERS)
    add("DELETE", "/characters/{character_id}", _delete_character, documents.CHARACTER_DELETE)
    add("GET", "/characters/{character_id}/content", _character_content, documents.CHARACTER_CONTENT)
    for task in kinds():
        add("POST", f"/{task}", partial(_ask, task), documents.task_document(task))
    return router


def job_view(job: Job, model: str, place: int | None = None, *, has_preview: bool = False) -> dict[str, Any]:
    """A job, with all that its owner may know; models are told by name, not by place."""
    error = {"code": job.error_code, "message": job.error_message} if job.status == FAILED else None
    return {
        "id": job.id,
        "object": "khayal.job",
        "task": job.task,
        "model": model,
        "prompt": job.prompt,
        "status": job.status,
        "is_cancelled": job.is_cancelled or job.error_code == "cancelled",
        "progress": job.progress,
        "stage": job.stage,
        "step": job.step,
        "num_steps": job.num_steps,
        "place": place,
        "has_preview": has_preview,
        "attempts": job.attempts,
        "parent": job.parent,
        "sources": job.request.get("sources", {}),
        "settings": _settings(job),
        "created_at": job.created_at,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "expires_at": job.expires_at,
        "is_expired": job.is_expired,
        "num_bytes": job.num_bytes,
        "result": job.result,
        "error": error,
    }


async def _ask(task: str, desk: Desk, request: Request) -> Response:
    body = await read_body(request)
    asked_model = body.pop("model", None)
    if asked_model is not None and not isinstance(asked_model, str):
        raise bad("model has to be text.", "model", "invalid_type")
    once = request.headers.get("idempotency-key")
    known = fields_of(kinds()[task])
    for name in body:
        if name not in known:
            raise faults.unknown(name, ", ".join((*known, "model")))
    try:
        fields = plain(task, {name: _with_media(value, name) for name, value in body.items()})
        delivery = _delivery(task, fields)
    except InputError as error:
        raise faults.of_input(error, {name: name for name in known}) from error
    prompt = fields.get("prompt")
    shots = fields.get("shots")
    if not prompt and isinstance(shots, list):
        prompt = " / ".join(str(shot.get("prompt", "")) for shot in shots if isinstance(shot, dict))
    order = Order(
        api="khayal",
        task=task,
        fields=fields,
        delivery=delivery,
        asked_model=None if asked_model is None else str(asked_model),
        prompt=prompt if isinstance(prompt, str) else "",
        parent=next((media.video_id for media in _media_in(fields) if media.video_id), None),
        once=once,
        names={name: name for name in known},
    )
    return await threaded(
        desk, request, lambda caller: _answer(desk, desk.take(order, caller)), is_intake=True
    )


async def _retrieve(desk: Desk, request: Request) -> Response:
    job_id = request.path_params["job_id"]
    return await threaded(desk, request, lambda caller: _answer(desk, desk.job(job_id, caller, "job")))


async def _list(desk: Desk, request: Request) -> Response:
    query = request.query_params
    limit, after, search = query.get("limit", "20"), query.get("after"), query.get("search", "")
    if not re.fullmatch(r"\d{1,3}", limit) or not 1 <= int(limit) <= 100:
        raise bad("limit is a whole number from 1 to 100.", "limit")
    if len(search) > 200 or "\0" in search:
        raise bad("search has at most 200 characters.", "search")

    def take(caller: Caller) -> Response:
        number = desk.job(after, caller, "job").number if after else None
        page, has_more = desk.store.page(
            caller.owner, after=number, limit=int(limit), newest_first=True, search=search
        )
        told = {
            "object": "list",
            "data": [
                job_view(job, desk.name_of(job.model), has_preview=has_preview(desk, job)) for job in page
            ],
            "has_more": has_more,
        }
        return JSONResponse({**told, "last_id": page[-1].id if page else None})

    return await threaded(desk, request, take)


async def _cancel(desk: Desk, request: Request) -> Response:
    job_id = request.path_params["job_id"]

    def take(caller: Caller) -> Response:
        desk.store.cancel(desk.job(job_id, caller, "job").id)
        return _answer(desk, desk.job(job_id, caller, "job"))

    return await threaded(desk, request, take)


async def _delete(desk: Desk, request: Request) -> Response:
    job_id = request.path_params["job_id"]

    def take(caller: Caller) -> Response:
        if not desk.store.delete(desk.job(job_id, caller, "job").id):
            raise bad("A job can be deleted when it is over; cancel it first.", "job_id", "job_not_deletable")
        return JSONResponse({"id": job_id, "object": "khayal.job.deleted", "deleted": True})

    return await threaded(desk, request, take)


async def _content(desk: Desk, request: Request) -> Response:
    job_id, variant = request.path_params["job_id"], request.query_params.get("variant", "video")
    return await threaded(
        desk, request, lambda caller: content(desk, desk.job(job_id, caller, "job"), variant)
    )


async def _preview(desk: Desk, request: Request) -> Response:
    job_id, known = request.path_params["job_id"], request.headers.get("if-none-match")
    return await threaded(desk, request, lambda caller: preview(desk, desk.job(job_id, caller, "job"), known))


async def _tasks(desk: Desk, request: Request) -> Response:
    def take(caller: Caller) -> Response:
        data = [
            {"task": task, "says": _sentence(kind), "fields": schema_of(kind)}
            for task, kind in kinds().items()
        ]
        return JSONResponse({"object": "list", "data": data})

    return await threaded(desk, request, take)


async def _cards(desk: Desk, request: Request) -> Response:
    def take(caller: Caller) -> Response:
        data = [{"id": desk.name_of(ref), **card} for ref, card in desk.cards().items()]
        return JSONResponse({"object": "list", "data": data})

    return await threaded(desk, request, take)


async def _characters(desk: Desk, request: Request) -> Response:
    def take(caller: Caller) -> Response:
        data = [
            {"id": one.id, "name": one.name, "created_at": int(one.created_at)}
            for one in desk.characters.all(caller.owner)
        ]
        return JSONResponse({"object": "list", "data": data})

    return await threaded(desk, request, take)


async def _character_content(desk: Desk, request: Request) -> Response:
    character_id = request.path_params["character_id"]

    def take(caller: Caller) -> Response:
        path = desk.folder.character(desk.characters.find(character_id, caller.owner).id)
        if not path.is_file():
            raise faults.not_found("character", character_id)
        return FileResponse(path, media_type="video/mp4")

    return await threaded(desk, request, take)


async def _delete_character(desk: Desk, request: Request) -> Response:
    character_id = request.path_params["character_id"]

    def take(caller: Caller) -> Response:
        desk.characters.delete(character_id, caller.owner)
        return JSONResponse({"id": character_id, "object": "character.deleted", "deleted": True})

    return await threaded(desk, request, take)


def _answer(desk: Desk, job: Job) -> Response:
    place = desk.store.place(job) if job.status == QUEUED else None
    headers = {} if job.is_over else {"openai-poll-after-ms": str(desk.config.poll_after_ms)}
    told = job_view(job, desk.name_of(job.model), place, has_preview=has_preview(desk, job))
    return JSONResponse(told, headers=headers)


def _with_media(value: Any, param: str) -> Any:
    """The same value with `Media` for files, `{id}` and `{url}`, at any depth."""
    if isinstance(value, UploadFile):
        return Media(param=param, upload=value)
    if isinstance(value, str):
        if "\0" in value or _has_surrogates(value):
            raise bad(f"{param} has a character in it that is none.", param)
        return value
    if isinstance(value, dict):
        if FILE in value:
            raise bad(f"{param} is a file of the form, or {{id}}, or {{url}}.", param)
        if set(value) == {"id"} and isinstance(value["id"], str):
            given = str(value["id"])
            if given.startswith("char_"):
                return Media(param=param, character_id=given)
            if given.startswith("file-"):
                return Media(param=param, file_id=given)
            return Media(param=param, video_id=given)
        if set(value) == {"url"} and isinstance(value["url"], str):
            return Media(param=param, url=str(value["url"]))
        return {name: _with_media(item, f"{param}.{name}") for name, item in value.items()}
    if isinstance(value, list):
        return [_with_media(item, f"{param}[{index}]") for index, item in enumerate(value)]
    return value


def _media_in(value: Any) -> list[Media]:
    if isinstance(value, Media):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [media for item in items for media in _media_in(item)]


def _delivery(task: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Takes out of the fields what is about the file, after looking whether it makes sense."""
    build("generate", {"prompt": "x", **_shape(fields)})
    delivery = {name: fields.pop(name) for name in ("size", "fps") if fields.get(name) is not None}
    if task in _TIMED:
        timed = {name: fields.pop(name) for name in ("seconds", "num_frames") if fields.get(name) is not None}
        if timed.get("seconds") == 0:  # a single frame, which a file of no length cannot be
            timed = {"num_frames": 1}
        delivery |= timed
    if "size" in delivery and any(side % 2 or side < 16 for side in delivery["size"]):
        raise bad("size has even sides of 16 pixels or more.", "size")
    return delivery


def _shape(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in ("size", "fps", "seconds", "num_frames") if name in fields}


def _settings(job: Job) -> dict[str, Any]:
    """What it was asked for with, to be sent again."""
    fields = asked_again(job.request["fields"], job.request.get("sources", {}))
    return {**fields, **job.request.get("delivery", {})}


def _sentence(kind: type) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)
