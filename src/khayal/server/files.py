"""The Files API, as far as the Videos API needs it: an image or a clip that is uploaded once and named later.

Clients upload with `files.create(file=…, purpose="vision")` and give its id as `input_reference.file_id`.
What is kept is the file as khayal wrote it anew, so only images and videos can be.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile
from starlette.responses import FileResponse, JSONResponse

from khayal.server import documents, faults
from khayal.server.answers import add_call, threaded
from khayal.server.desk import Desk
from khayal.server.faults import bad
from khayal.server.forms import read_body
from khayal.server.job import new_id
from khayal.server.orders import Caller, Media
from khayal.server.requests import from_text
from khayal.server.uploads import Upload

PURPOSES = ("assistants", "batch", "evals", "fine-tune", "user_data", "vision")
_SHORTEST, _LONGEST = 3600, 30 * 86_400
_KINDS = {"image": "image/png", "video": "video/mp4"}


def routes(desk: Desk) -> APIRouter:
    """The calls under /v1/files."""
    router = APIRouter(prefix="/v1", tags=["Files"])
    add = partial(add_call, desk, router)
    add("POST", "/files", _create, documents.CREATE_FILE)
    add("GET", "/files", _list, documents.FILES)
    add("GET", "/files/{file_id}", _retrieve, documents.FILE)
    add("GET", "/files/{file_id}/content", _content, documents.FILE_CONTENT)
    add("DELETE", "/files/{file_id}", _delete, documents.DELETE_FILE)
    return router


async def _create(desk: Desk, request: Request) -> Response:
    body = await read_body(request)
    for name in body:
        if name not in ("file", "purpose", "expires_after"):
            raise faults.unknown(name, "expires_after, file, purpose")
    file, purpose = body.get("file"), body.get("purpose")
    if not isinstance(file, UploadFile):
        raise bad("file has to be a file of a form.", "file")
    if purpose not in PURPOSES:
        raise bad(f"purpose is one of {', '.join(PURPOSES)}.", "purpose")
    seconds = _seconds(body.get("expires_after"))
    media = Media(param="file", upload=file)
    name = re.sub(r"[\x00-\x1f\x7f/\\\ud800-\udfff]", "_", file.filename or "upload")[:255]

    def take(caller: Caller) -> Response:
        desk.check_space()
        given = desk.receive(media, caller, desk.folder.upload(new_id("file"), ""))
        kept = desk.uploads.add(caller.owner, given, name=name, purpose=str(purpose), seconds=seconds)
        return JSONResponse(_shown(kept))

    return await threaded(desk, request, take, is_intake=True)


async def _list(desk: Desk, request: Request) -> Response:
    query = request.query_params
    limit, order, after = query.get("limit", "10000"), query.get("order", "desc"), query.get("after")
    if not re.fullmatch(r"\d{1,5}", limit) or not 1 <= int(limit) <= 10_000:
        raise bad("limit is a whole number from 1 to 10000.", "limit")
    if order not in ("asc", "desc"):
        raise bad("order is asc or desc.", "order")

    def take(caller: Caller) -> Response:
        number = desk.uploads.find(after, caller.owner, "after").number if after else None
        page, has_more = desk.uploads.page(
            caller.owner,
            after=number,
            limit=int(limit),
            newest_first=order == "desc",
            purpose=_clean(query.get("purpose")),
        )
        ends = {"first_id": page[0].id if page else None, "last_id": page[-1].id if page else None}
        data = [_shown(upload) for upload in page]
        return JSONResponse({"object": "list", "data": data, **ends, "has_more": has_more})

    return await threaded(desk, request, take)


async def _retrieve(desk: Desk, request: Request) -> Response:
    file_id = request.path_params["file_id"]

    def take(caller: Caller) -> Response:
        return JSONResponse(_shown(desk.uploads.find(file_id, caller.owner)))

    return await threaded(desk, request, take)


async def _content(desk: Desk, request: Request) -> Response:
    file_id = request.path_params["file_id"]

    def take(caller: Caller) -> Response:
        upload = desk.uploads.find(file_id, caller.owner)
        path = desk.folder.upload(upload.id, upload.given["name"])
        if not path.is_file():
            raise faults.not_found("file", file_id)
        kind = _KINDS[upload.given["kind"]]
        return FileResponse(path, media_type=kind, filename=path.name, content_disposition_type="attachment")

    return await threaded(desk, request, take)


async def _delete(desk: Desk, request: Request) -> Response:
    file_id = request.path_params["file_id"]

    def take(caller: Caller) -> Response:
        desk.uploads.delete(file_id, caller.owner)
        return JSONResponse({"id": file_id, "object": "file", "deleted": True})

    return await threaded(desk, request, take)


def _seconds(given: Any) -> float | None:
    """How long a file is kept: `{"anchor": "created_at", "seconds": …}`."""
    if given is None:
        return None
    param = "expires_after"
    if not isinstance(given, dict) or set(given) != {"anchor", "seconds"} or given["anchor"] != "created_at":
        raise bad(f'{param} has anchor "created_at" and seconds.', param)
    seconds = given["seconds"]
    seconds = from_text(int, str(seconds)) if isinstance(seconds, str) else seconds
    if type(seconds) is not int or not _SHORTEST <= seconds <= _LONGEST:
        raise bad(f"seconds is a whole number from {_SHORTEST} to {_LONGEST}.", f"{param}.seconds")
    return float(seconds)


def _clean(text: str | None) -> str | None:
    """A text that a database can compare: PostgreSQL refuses zeros."""
    return None if text is None else text.replace("\0", "")[:32]


def _shown(upload: Upload) -> dict[str, Any]:
    return {
        "id": upload.id,
        "object": "file",
        "bytes": upload.num_bytes,
        "created_at": int(upload.created_at),
        "expires_at": None if upload.expires_at is None else int(upload.expires_at),
        "filename": upload.name,
        "purpose": upload.purpose,
        "status": "processed",
    }
