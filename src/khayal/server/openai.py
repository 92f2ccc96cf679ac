"""The Videos API, as existing programs speak it: the only place that spells its names.

An adapter: each call becomes an order in khayal's own words, and each job is shown as a Video.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Route

from khayal.server import documents, faults
from khayal.server.answers import add_call, content, threaded
from khayal.server.desk import Desk
from khayal.server.faults import ApiError, bad
from khayal.server.forms import read_body
from khayal.server.job import COMPLETED, FAILED, QUEUED, Job, new_id
from khayal.server.orders import Caller, Media, Order
from khayal.server.people import Character
from khayal.server.requests import Text, from_text

DEFAULT_SECONDS, DEFAULT_SIZE = 4.0, (720, 1280)
MAX_PROMPT = 32_000
_STATUS = {QUEUED: "queued", COMPLETED: "completed", FAILED: "failed"}

# the names that other open servers share for what the standard lacks
_EXTRAS: Mapping[str, tuple[str, Any]] = {
    "num_inference_steps": ("steps", int | None),
    "guidance_scale": ("guidance", float | None),
    "negative_prompt": ("negative", str | None),
    "seed": ("seed", int | None),
}
_NAMES = {"prompt": "prompt", "seconds": "seconds", "size": "size", "num_frames": "num_frames", "fps": "fps"}
_NAMES |= {own: name for name, (own, _) in _EXTRAS.items()}


def routes(desk: Desk) -> APIRouter:
    """The calls under /v1."""
    router = APIRouter(prefix="/v1", tags=["Videos"])
    add = partial(add_call, desk, router)
    add("POST", "/videos", _create, documents.CREATE)
    add("GET", "/videos", _list, documents.LIST)
    # literal paths come before those with an id, which would take them for one
    add("POST", "/videos/edits", _edit, documents.EDIT)
    add("POST", "/videos/extensions", _extend, documents.EXTEND)
    add("POST", "/videos/characters", _create_character, documents.CREATE_CHARACTER)
    add("GET", "/videos/characters/{character_id}", _character, documents.CHARACTER)
    add("GET", "/videos/{video_id}", _retrieve, documents.RETRIEVE)
    add("DELETE", "/videos/{video_id}", _delete, documents.DELETE)
    add("GET", "/videos/{video_id}/content", _content, documents.CONTENT)
    add("POST", "/videos/{video_id}/remix", _remix, documents.REMIX)
    add("GET", "/models", _models, documents.MODELS)
    return router


def status_route(desk: Desk) -> Route:
    """The call that clients repeat, past FastAPI, which would take twice the time of all the rest."""
    return Route("/v1/videos/{video_id}", partial(_retrieve, desk), methods=["GET"])


def video(job: Job, model: str) -> dict[str, Any]:
    """A job as a Video."""
    made = job.result or {}
    size = job.size or (f"{made['size'][0]}x{made['size'][1]}" if made else "")
    seconds = made.get("seconds") if made else job.seconds
    error = None
    if job.status == FAILED:
        error = {"code": job.error_code or "generation_failed", "message": job.error_message or ""}
    return {
        "id": job.id,
        "object": "video",
        "model": job.request.get("asked_model") or model,
        "status": _STATUS.get(job.status, "in_progress"),
        "progress": job.progress,
        "created_at": int(job.created_at),
        "completed_at": int(job.completed_at) if job.completed_at and job.status == COMPLETED else None,
        "expires_at": None if job.expires_at is None else int(job.expires_at),
        "size": size,
        "seconds": "" if seconds is None else f"{seconds:g}",
        "prompt": job.prompt,
        "remixed_from_video_id": job.parent,
        "error": error,
    }


async def _create(desk: Desk, request: Request) -> Response:
    body = await read_body(request)
    known = {"prompt", "model", "seconds", "size", "input_reference", "characters", *_LENGTHS, *_EXTRAS}
    _check_known(body, known)
    fields = _extras(body)
    prompt = fields["prompt"] = _prompt(body)
    delivery = _delivery(body)
    image = _input_reference(body.get("input_reference"))
    characters = _characters(body.get("characters"))
    task = "generate" if image is None else "animate"
    if image is not None:
        fields["image"] = image
    order = partial(
        Order, api="videos", delivery=delivery, asked_model=_text(body, "model"), once=_once(request)
    )
    order = partial(order, names=_NAMES, prompt=prompt)

    def take(caller: Caller) -> Response:
        told = (task, fields)
        if characters:
            told = "storyboard", _with_characters(desk, caller, fields, characters)
        return _answer(desk, desk.take(order(task=told[0], fields=told[1]), caller))

    return await threaded(desk, request, take, is_intake=True)


async def _remix(desk: Desk, request: Request) -> Response:
    body = await read_body(request)
    _check_known(body, {"prompt", "model", "strength", *_EXTRAS})
    media = Media(param="video_id", video_id=request.path_params["video_id"])
    return await threaded(desk, request, partial(_take_remix, desk, request, body, media), is_intake=True)


async def _edit(desk: Desk, request: Request) -> Response:
    body = await read_body(request)
    _check_known(body, {"prompt", "video", "model", "strength", *_EXTRAS})
    media = _video_reference(body)
    return await threaded(desk, request, partial(_take_remix, desk, request, body, media), is_intake=True)


def _take_remix(desk: Desk, request: Request, body: dict[str, Any], media: Media, caller: Caller) -> Response:
    """Remix and edit are one thing in khayal: a clip is imagined anew, part of the way."""
    fields, prompt = _extras(body), _prompt(body)
    fields |= {"prompt": prompt, "clip": media}
    if "strength" in body:
        fields["strength"] = from_text(float | str, str(body["strength"]))
    source = desk.job(media.video_id, caller) if media.video_id is not None else None
    order = Order(
        api="videos",
        task="remix",
        fields=fields,
        delivery={},
        follows=True,
        asked_model=_text(body, "model") or (source.request.get("asked_model") if source else None),
        prompt=prompt,
        parent=media.video_id,
        once=_once(request),
        names=_NAMES,
    )
    return _answer(desk, desk.take(order, caller))


async def _extend(desk: Desk, request: Request) -> Response:
    body = await read_body(request)
    _check_known(body, {"prompt", "seconds", "video", "model", *_EXTRAS})
    if "seconds" not in body:
        raise faults.missing("seconds")
    media, added = _video_reference(body), _seconds(body["seconds"])
    fields, prompt = _extras(body), _prompt(body)
    fields |= {"prompt": prompt, "clip": media, "seconds": added}

    def take(caller: Caller) -> Response:
        source = desk.job(media.video_id, caller) if media.video_id is not None else None
        order = Order(
            api="videos",
            task="extend",
            fields=fields,
            delivery={},
            follows=True,
            adds=added,  # exactly so much, although a model adds whole latent frames
            asked_model=_text(body, "model") or (source.request.get("asked_model") if source else None),
            prompt=prompt,
            parent=media.video_id,
            once=_once(request),
            names=_NAMES,
        )
        return _answer(desk, desk.take(order, caller))

    return await threaded(desk, request, take, is_intake=True)


async def _retrieve(desk: Desk, request: Request) -> Response:
    video_id = request.path_params["video_id"]

    def take(caller: Caller) -> Response:
        return _answer(desk, desk.job(video_id, caller))

    return await threaded(desk, request, take, is_quick=True)


async def _list(desk: Desk, request: Request) -> Response:
    query = request.query_params
    limit, order, after = query.get("limit", "20"), query.get("order", "desc"), query.get("after")
    if not re.fullmatch(r"\d{1,3}", limit) or int(limit) > 100:
        raise bad("limit is a whole number from 0 to 100.", "limit")
    if order not in ("asc", "desc"):
        raise bad("order is asc or desc.", "order")

    def take(caller: Caller) -> Response:
        number = desk.job(after, caller).number if after else None
        page, has_more = desk.store.page(
            caller.owner, after=number, limit=int(limit), newest_first=order == "desc"
        )
        data = [video(job, desk.name_of(job.model)) for job in page]
        ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
        return JSONResponse({"object": "list", "data": data, **ends, "has_more": has_more})

    return await threaded(desk, request, take)


async def _delete(desk: Desk, request: Request) -> Response:
    video_id = request.path_params["video_id"]

    def take(caller: Caller) -> Response:
        job = desk.job(video_id, caller)
        if not job.is_over:  # 409 would be sent again and again by the client
            message = "A video can be deleted when it is completed or failed; cancel it first."
            raise bad(message, "video_id", "video_not_deletable")
        desk.store.delete(job.id)
        return JSONResponse({"id": job.id, "object": "video.deleted", "deleted": True})

    return await threaded(desk, request, take)


async def _content(desk: Desk, request: Request) -> FileResponse | Response:
    video_id, variant = request.path_params["video_id"], request.query_params.get("variant", "video")
    return await threaded(desk, request, lambda caller: content(desk, desk.job(video_id, caller), variant))


async def _create_character(desk: Desk, request: Request) -> Response:
    body = await read_body(request)
    _check_known(body, {"name", "video"})
    name = _text(body, "name") or ""
    if not 1 <= len(name.strip()) <= 80:
        raise bad("name has 1 to 80 characters.", "name")
    media = _video_reference(body)

    def take(caller: Caller) -> Response:
        desk.check_words(name)
        desk.check_space()
        character_id = new_id("char")
        target = desk.folder.character(character_id)
        received = desk.receive(media, caller, target)
        if received.kind != "video":
            desk.folder.drop(target.with_name(received.name))
            raise bad("A character is made of a video, not of an image.", "video", "invalid_media")
        return JSONResponse(_shown(desk.characters.add(character_id, caller.owner, name.strip())))

    return await threaded(desk, request, take, is_intake=True)


async def _character(desk: Desk, request: Request) -> Response:
    character_id = request.path_params["character_id"]

    def take(caller: Caller) -> Response:
        return JSONResponse(_shown(desk.characters.find(character_id, caller.owner)))

    return await threaded(desk, request, take)


async def _models(desk: Desk, request: Request) -> Response:
    def take(caller: Caller) -> Response:
        names = [desk.name_of(ref) for ref in desk.cards()]
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "khayal"} for name in names]
        return JSONResponse({"object": "list", "data": data})

    return await threaded(desk, request, take)


# --- reading what clients send

_LENGTHS = ("fps", "num_frames")


def _check_known(body: Mapping[str, Any], known: set[str]) -> None:
    for name in body:
        if name not in known:
            raise faults.unknown(name, ", ".join(sorted(known)))


def _extras(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that other open servers share, in khayal's words."""
    given = {}
    for name, (own, hint) in _EXTRAS.items():
        value = body.get(name)
        if value is not None:
            given[own] = from_text(hint, str(value)) if isinstance(value, Text) else value
    return given


def _prompt(body: Mapping[str, Any]) -> str:
    prompt = _text(body, "prompt")
    if prompt is None:
        raise faults.missing("prompt")
    if not prompt.strip() or len(prompt) > MAX_PROMPT:
        raise bad(f"prompt has 1 to {MAX_PROMPT} characters.", "prompt")
    return prompt


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise bad(f"{name} has to be text.", name, "invalid_type")
    try:
        value.encode()
    except UnicodeError as error:
        raise bad(f"{name} is not text.", name, "invalid_type") from error
    if "\0" in value:
        raise bad(f"{name} has a character in it that is none.", name)
    return str(value)


def _number(value: Any, name: str, kind: type) -> Any:
    value = from_text(kind, str(value)) if isinstance(value, Text) else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
        raise bad(f"{name} has to be a number above 0.", name)
    if kind is int and value != int(value):
        raise bad(f"{name} has to be a whole number.", name)
    return kind(value)


def _seconds(value: Any) -> float:
    """The standard has a text; a number is as good."""
    value = Text(value) if isinstance(value, str) else value
    return float(_number(value, "seconds", float))


def _delivery(body: Mapping[str, Any]) -> dict[str, Any]:
    size = body.get("size")
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size) if isinstance(size, str) else None
    if size is not None and match is None:
        raise bad("size is written WIDTHxHEIGHT, such as 1280x720.", "size")
    width, height = (int(match[1]), int(match[2])) if match else DEFAULT_SIZE
    if width % 2 or height % 2 or min(width, height) < 16:
        raise bad("size has even sides of 16 pixels or more.", "size")
    delivery: dict[str, Any] = {"size": [width, height]}
    if body.get("fps") is not None:
        delivery["fps"] = _number(body["fps"], "fps", float)
    if body.get("num_frames") is not None:
        if body.get("seconds") is not None:
            raise bad("Give seconds or num_frames, not both.", "num_frames")
        delivery["num_frames"] = _number(body["num_frames"], "num_frames", int)
    else:
        given = body.get("seconds")
        delivery["seconds"] = DEFAULT_SECONDS if given is None else _seconds(given)
    return delivery


def _input_reference(given: Any) -> Media | None:
    """A file, or an object with exactly one of `image_url` and `file_id`."""
    param = "input_reference"
    if given is None or (isinstance(given, str) and not given):
        return None
    if isinstance(given, UploadFile):
        return Media(param=param, upload=given)
    if not isinstance(given, dict):
        raise bad(f"{param} is a file, or an object with image_url or file_id.", param)
    if set(given) == {"file_id"} and isinstance(given["file_id"], str):
        return Media(param=f"{param}.file_id", file_id=str(given["file_id"]))
    url = given.get("image_url")
    if set(given) != {"image_url"} or not isinstance(url, str):
        raise bad(f"{param} has exactly one of image_url and file_id.", param)
    return Media(param=f"{param}.image_url", url=url)


def _video_reference(body: Mapping[str, Any]) -> Media:
    given = body.get("video")
    if given is None:
        raise faults.missing("video")
    if isinstance(given, UploadFile):
        return Media(param="video", upload=given)
    if isinstance(given, dict) and set(given) == {"id"} and isinstance(given["id"], str):
        return Media(param="video.id", video_id=str(given["id"]))
    raise bad('video is a file, or an object {"id": "video_…"}.', "video")


def _characters(given: Any) -> list[str]:
    if given is None:
        return []
    is_list = isinstance(given, list) and 0 < len(given) <= 8
    if not is_list or not all(
        isinstance(one, dict) and set(one) == {"id"} and isinstance(one["id"], str) for one in given
    ):
        raise bad('characters is a list of up to 8 objects {"id": "char_…"}.', "characters")
    return [str(one["id"]) for one in given]


def _with_characters(desk: Desk, caller: Caller, fields: Mapping[str, Any], ids: list[str]) -> dict[str, Any]:
    """A storyboard of one shot with a cast: where the prompt names somebody, it means them."""
    prompt = fields["prompt"].replace("{", "(").replace("}", ")")
    cast = []
    for index, character_id in enumerate(ids):
        try:
            known = desk.characters.find(character_id, caller.owner)
        except ApiError as error:
            raise bad(error.message, f"characters[{index}].id", "not_found") from error
        mark = f"{{c{index}}}"
        spoken = re.compile(rf"(?<!\w){re.escape(known.name)}(?!\w)", re.IGNORECASE)
        prompt, count = spoken.subn(mark, prompt)
        prompt = prompt if count else f"{prompt.rstrip()} {mark}"
        media = Media(param=f"characters[{index}].id", character_id=known.id)
        cast.append({"name": f"c{index}", "description": known.name, "clip": media})
    shot = {"prompt": prompt, **({"image": fields["image"]} if "image" in fields else {})}
    others = {name: value for name, value in fields.items() if name not in ("prompt", "image")}
    return {**others, "shots": [shot], "cast": cast}


def _once(request: Request) -> str | None:
    name = request.headers.get("idempotency-key")
    if name is not None and not 0 < len(name) <= 255:
        raise bad("Idempotency-Key has 1 to 255 characters.", "Idempotency-Key")
    return name


def _answer(desk: Desk, job: Job) -> Response:
    """A Video; while it is not over, with the pause after which to ask again."""
    headers = {} if job.is_over else {"openai-poll-after-ms": str(desk.config.poll_after_ms)}
    return JSONResponse(video(job, desk.name_of(job.model)), headers=headers)


def _shown(character: Character) -> dict[str, Any]:
    return {
        "id": character.id,
        "object": "character",
        "name": character.name,
        "created_at": int(character.created_at),
    }
