"""The OpenAPI document of what is read by hand: bodies, answers, examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from khayal.server.requests import kinds
from khayal.server.schemas import FILE_SCHEMA, INTEGER, NUMBER, TEXT, schema_of

EXAMPLE_VIDEO = {
    "id": "video_3f0c9a52b7a94c0bb1a7d8f2b0f5a1de",
    "object": "video",
    "model": "khayal",
    "status": "in_progress",
    "progress": 42,
    "created_at": 1790000000,
    "completed_at": None,
    "expires_at": None,
    "size": "1280x720",
    "seconds": "4",
    "prompt": "A red ball bounces on the grass.",
    "remixed_from_video_id": None,
    "error": None,
}
EXAMPLE_JOB = {
    "id": "video_3f0c9a52b7a94c0bb1a7d8f2b0f5a1de",
    "object": "khayal.job",
    "task": "extend",
    "status": "running",
    "progress": 42,
    "stage": "denoise",
    "step": 10,
    "num_steps": 20,
    "place": None,
    "has_preview": True,
    "prompt": "it rolls away",
    "model": "khayal",
    "result": None,
    "error": None,
}
_OBJECT = {"type": "object"}
_NULLABLE = {"id", "object", "model", "status", "progress", "created_at", "size", "seconds"}

VIDEO = {
    "type": "object",
    "required": sorted(EXAMPLE_VIDEO),
    "properties": {
        **{name: {"type": ["string", "null"]} for name in EXAMPLE_VIDEO},
        **{name: {"type": "string"} for name in _NULLABLE},
        **{name: {"type": ["integer", "null"]} for name in ("completed_at", "expires_at")},
        **dict.fromkeys(("progress", "created_at"), INTEGER),
        "status": {"type": "string", "enum": ["queued", "in_progress", "completed", "failed"]},
        "error": {"type": ["object", "null"], "properties": {"code": TEXT, "message": TEXT}},
    },
}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                name: {"type": ["string", "null"]} for name in ("message", "type", "param", "code")
            },
        }
    },
}
_SHARED = {
    "num_inference_steps": {"type": "integer", "minimum": 1, "maximum": 1000},
    "guidance_scale": {"type": "number", "minimum": 0, "maximum": 100},
    "negative_prompt": TEXT,
    "seed": {"type": "integer", "minimum": 0},
}
_PROMPT = {"type": "string", "minLength": 1, "maxLength": 32000}
_VIDEO_REFERENCE = {
    "anyOf": [FILE_SCHEMA, {"type": "object", "required": ["id"], "properties": {"id": TEXT}}]
}
_STRENGTH = {"anyOf": [{"type": "string", "enum": ["subtle", "mild", "strong"]}, NUMBER]}
_CREATE = {
    "type": "object",
    "required": ["prompt"],
    "properties": {
        "prompt": _PROMPT,
        "model": TEXT,
        "seconds": {"type": "string", "default": "4", "examples": ["4", "8", "12"]},
        "size": {"type": "string", "default": "720x1280", "pattern": r"^\d{2,5}x\d{2,5}$"},
        "input_reference": {
            "anyOf": [FILE_SCHEMA, {"type": "object", "properties": {"image_url": TEXT, "file_id": TEXT}}]
        },
        "characters": {"type": "array", "items": {"type": "object", "properties": {"id": TEXT}}},
        "fps": {"type": "number", "exclusiveMinimum": 0},
        "num_frames": {"type": "integer", "minimum": 1},
        **_SHARED,
    },
}


def _body(schema: Mapping[str, Any], *examples: Mapping[str, Any], is_form: bool = False) -> dict[str, Any]:
    """A request body, as JSON and as a form."""
    named = {f"example {number}": {"value": given} for number, given in enumerate(examples, start=1)}
    told = {"schema": schema, **({"examples": named} if named else {})}
    kinds_of_body = {"multipart/form-data": {"schema": schema}}
    if not is_form:
        kinds_of_body = {"application/json": told, **kinds_of_body}
    return {"requestBody": {"required": True, "content": kinds_of_body}}


def _answers(
    schema: Mapping[str, Any] | None, example: Any = None, kind: str = "application/json"
) -> dict[int | str, dict[str, Any]]:
    told: dict[str, Any] = {"schema": schema or FILE_SCHEMA}
    others: dict[int | str, dict[str, Any]]
    if example is not None:
        told["example"] = example
    error = {"content": {"application/json": {"schema": ERROR}}}
    refused = {
        400: "What was sent cannot be used.",
        401: "No API key in force.",
        404: "There is no such thing.",
    }
    refused |= {409: "Not yet.", 413: "Too large.", 429: "Too much at once."}
    others = {status: {"description": text, **error} for status, text in refused.items()}
    return {200: {"description": "Done.", "content": {kind: told}}, **others}


def _query(name: str, schema: Mapping[str, Any], text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": text}


def _path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": TEXT}


def _document(
    summary: str,
    operation: str,
    answers: dict[int | str, dict[str, Any]],
    extra: Mapping[str, Any] | None = None,
    *parameters: Mapping[str, Any],
) -> dict[str, Any]:
    extra = {**(extra or {}), **({"parameters": list(parameters)} if parameters else {})}
    return {"summary": summary, "operation_id": operation, "responses": answers, "openapi_extra": extra}


_REMIX = {
    "type": "object",
    "required": ["prompt"],
    "properties": {"prompt": _PROMPT, "strength": _STRENGTH, "model": TEXT, **_SHARED},
}
_EDIT = {
    **_REMIX,
    "required": ["prompt", "video"],
    "properties": {**_REMIX["properties"], "video": _VIDEO_REFERENCE},  # type: ignore[dict-item]
}
_EXTEND = {
    "type": "object",
    "required": ["prompt", "seconds", "video"],
    "properties": {"prompt": _PROMPT, "seconds": TEXT, "video": _VIDEO_REFERENCE, "model": TEXT, **_SHARED},
}
_CHARACTER = {
    "type": "object",
    "properties": {"id": TEXT, "object": TEXT, "name": TEXT, "created_at": INTEGER},
}
_PAGE = {
    "type": "object",
    "properties": {
        "object": TEXT,
        "data": {"type": "array", "items": VIDEO},
        "first_id": {"type": ["string", "null"]},
        "last_id": {"type": ["string", "null"]},
        "has_more": {"type": "boolean"},
    },
}
_ID = _path("video_id")
_A_VIDEO = _answers(VIDEO, EXAMPLE_VIDEO)

CREATE = _document(
    "Make a video from a prompt, or bring an image to life",
    "create_video",
    _A_VIDEO,
    _body(
        _CREATE,
        {"prompt": "A red ball bounces on the grass.", "seconds": "4", "size": "1280x720"},
        {"prompt": "It rolls away.", "input_reference": {"image_url": "data:image/png;base64,…"}, "seed": 7},
    ),
)
LIST = _document(
    "List videos, page after page",
    "list_videos",
    _answers(_PAGE),
    None,
    _query("after", TEXT, "The last id of the page before."),
    _query("limit", {"type": "integer", "minimum": 0, "maximum": 100, "default": 20}, "Videos in a page."),
    _query(
        "order", {"type": "string", "enum": ["asc", "desc"], "default": "desc"}, "Oldest or newest first."
    ),
)
RETRIEVE = _document("How far a video is", "retrieve_video", _A_VIDEO, None, _ID)
DELETE = _document(
    "Delete a video that is completed or failed",
    "delete_video",
    _answers(_OBJECT, {"id": EXAMPLE_VIDEO["id"], "object": "video.deleted", "deleted": True}),
    None,
    _ID,
)
CONTENT = _document(
    "Download a video, its thumbnail, or a sheet of its frames",
    "download_video_content",
    _answers(None, kind="video/mp4"),
    None,
    _ID,
    _query(
        "variant",
        {"type": "string", "enum": ["video", "thumbnail", "spritesheet"], "default": "video"},
        "mp4, webp or jpg.",
    ),
)
REMIX = _document(
    "Imagine a video anew, part of the way",
    "remix_video",
    _A_VIDEO,
    _body(_REMIX, {"prompt": "The ball is made of glass."}),
    _ID,
)
EDIT = _document(
    "Change a video, by its id or uploaded",
    "edit_video",
    _A_VIDEO,
    _body(_EDIT, {"prompt": "At night.", "video": {"id": EXAMPLE_VIDEO["id"]}}),
)
EXTEND = _document(
    "Let a video go on",
    "extend_video",
    _A_VIDEO,
    _body(_EXTEND, {"prompt": "It rolls away.", "seconds": "4", "video": {"id": EXAMPLE_VIDEO["id"]}}),
)
CREATE_CHARACTER = _document(
    "Keep a clip of somebody, to be shown again",
    "create_character",
    _answers(_CHARACTER),
    _body(
        {
            "type": "object",
            "required": ["name", "video"],
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 80},
                "video": _VIDEO_REFERENCE,
            },
        },
        is_form=True,
    ),
)
CHARACTER = _document("A character", "retrieve_character", _answers(_CHARACTER), None, _path("character_id"))
MODELS = _document("The models of this server", "list_models", _answers(_OBJECT))

EXAMPLE_FILE = {
    "id": "file-3f0c9a52b7a94c0bb1a7d8f2b0f5a1de",
    "object": "file",
    "bytes": 120000,
    "created_at": 1790000000,
    "expires_at": None,
    "filename": "ball.png",
    "purpose": "vision",
    "status": "processed",
}
_UPLOAD = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {"file": FILE_SCHEMA, "purpose": TEXT, "expires_after": _OBJECT},
}
_FILE_ID = _path("file_id")
CREATE_FILE = _document(
    "Keep an image or a video, to be named as input_reference later",
    "create_file",
    _answers(_OBJECT, EXAMPLE_FILE),
    _body(_UPLOAD, is_form=True),
)
FILES = _document(
    "List files, page after page",
    "list_files",
    _answers(_OBJECT),
    None,
    _query("after", TEXT, "The last id of the page before."),
    _query(
        "limit", {"type": "integer", "minimum": 1, "maximum": 10000, "default": 10000}, "Files in a page."
    ),
    _query(
        "order", {"type": "string", "enum": ["asc", "desc"], "default": "desc"}, "Oldest or newest first."
    ),
    _query("purpose", TEXT, "Only those."),
)
FILE = _document("A file", "retrieve_file", _answers(_OBJECT, EXAMPLE_FILE), None, _FILE_ID)
FILE_CONTENT = _document(
    "What is in a file", "download_file", _answers(None, kind="image/png"), None, _FILE_ID
)
DELETE_FILE = _document("Delete a file", "delete_file", _answers(_OBJECT), None, _FILE_ID)

# --- khayal's own

JOB = {"type": "object", "properties": {name: {} for name in EXAMPLE_JOB}}
_A_JOB = _answers(JOB, EXAMPLE_JOB)
_JOB_ID = _path("job_id")
JOBS = _document(
    "List jobs, with search",
    "list_jobs",
    _answers(_OBJECT),
    None,
    _query("after", TEXT, "The last id of the page before."),
    _query("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, "Jobs in a page."),
    _query("search", TEXT, "Words of the prompt."),
)
JOB_RETRIEVE = _document("A job, live", "retrieve_job", _A_JOB, None, _JOB_ID)
JOB_CANCEL = _document("Stop a job within one step", "cancel_job", _A_JOB, None, _JOB_ID)
JOB_DELETE = _document("Delete a job that is over", "delete_job", _answers(_OBJECT), None, _JOB_ID)
JOB_CONTENT = {**CONTENT, "operation_id": "download_job_content"}
JOB_CONTENT["openapi_extra"] = {"parameters": [_JOB_ID, *CONTENT["openapi_extra"]["parameters"][1:]]}
JOB_PREVIEW = _document(
    "What the video looks like while it is made; once it is finished, its thumbnail",
    "preview_job",
    {**_answers(None, kind="image/webp"), 204: {"description": "The video failed: there is no picture."}},
    None,
    _JOB_ID,
)
CHARACTERS = _document("All characters", "list_characters", _answers(_OBJECT))
CHARACTER_DELETE = _document(
    "Delete a character", "delete_character", _answers(_OBJECT), None, _path("character_id")
)
CHARACTER_CONTENT = _document(
    "The clip of a character",
    "download_character",
    _answers(None, kind="video/mp4"),
    None,
    _path("character_id"),
)
TASKS = _document("What can be asked for", "list_tasks", _answers(_OBJECT))
CARDS = _document("What each model can do", "list_cards", _answers(_OBJECT))

_EXAMPLES: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "generate": ({"prompt": "A red ball bounces on the grass.", "seconds": 4, "size": [1280, 704]},),
    "animate": ({"prompt": "It rolls away.", "image": {"url": "data:image/png;base64,…"}},),
    "extend": ({"prompt": "It rolls away.", "clip": {"id": EXAMPLE_VIDEO["id"]}, "seconds": 2},),
    "fill": (
        {"prompt": "", "clip": {"id": EXAMPLE_VIDEO["id"]}, "missing": [[1.0, 2.5]]},
        {"prompt": "The sun rises.", "keyframes": [[0, {"url": "data:…"}], [2, {"url": "data:…"}]]},
    ),
    "connect": ({"first": {"id": EXAMPLE_VIDEO["id"]}, "second": {"id": "video_…"}, "seconds": 1},),
    "loop": ({"clip": {"id": EXAMPLE_VIDEO["id"]}},),
    "remix": ({"prompt": "Made of glass.", "clip": {"id": EXAMPLE_VIDEO["id"]}, "strength": "subtle"},),
    "storyboard": (
        {
            "shots": [{"prompt": "{mo} wakes up", "seconds": 2}, {"prompt": "{mo} runs", "seconds": 2}],
            "cast": [{"name": "mo", "description": "a small red fox"}],
        },
    ),
}


def task_document(task: str) -> dict[str, Any]:
    """The call that asks for one of the tasks."""
    kind = kinds()[task]
    summary = (kind.__doc__ or task).strip().splitlines()[0]
    return _document(summary, f"task_{task}", _A_JOB, _body(schema_of(kind), *_EXAMPLES.get(task, ())))
