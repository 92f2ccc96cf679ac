"""Short prompts → the detailed captions that models are trained on."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from typing import Any

from khayal.errors import InputError, KhayalError

_INSTRUCTION = (
    "You expand prompts for a video model. Rewrite the user's prompt as one paragraph of 60 to 120 words, "
    "in its own language, that describes the video as if it had been seen: subjects and how they look, what "
    "they do, in which order, where, the light, how the camera stands or moves. Keep every fact of the "
    "prompt, add none that contradicts it. Answer with the paragraph alone."
)
_SECONDS = 120


def by_endpoint(prompt: str, url: str, *, model: str = "", key: str = "") -> str:
    """Expand a prompt by an OpenAI-compatible chat endpoint.

    Args:
        prompt: what the user wrote.
        url: the API's address, up to /v1.
        model: which of its models; many local servers have one only.
        key: what it asks for as a bearer token.

    Raises:
        KhayalError: it cannot be reached, or its answer is none.
    """
    if not re.match(r"https?://", url):
        raise InputError(
            f"“{url}” is no address of an endpoint", fix="give one such as http://localhost:8080/v1"
        )
    messages = [{"role": "system", "content": _INSTRUCTION}, {"role": "user", "content": prompt}]
    request = urllib.request.Request(
        url.rstrip("/") + "/chat/completions",
        data=json.dumps({"model": model or "default", "messages": messages, "temperature": 0.7}).encode(),
        headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {}),
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:
            answer: Any = json.load(response)
        text = str(answer["choices"][0]["message"]["content"]).strip()
    except (urllib.error.URLError, OSError, ValueError, LookupError, TypeError) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise KhayalError(
            f"The prompt could not be expanded by {url}",
            why=str(reason) or type(error).__name__,
            fix="look whether it runs and speaks the OpenAI chat API, or leave --enhance out",
        ) from error
    if not text:
        raise KhayalError(f"{url} gave an empty prompt", fix="try again, or leave --enhance out")
    return " ".join(text.split())


def by_grammar(prompt: str, seed: int = 0) -> str:
    """Expand a prompt by the grammar of khayal's own world, which fills in what it leaves open.

    Args:
        prompt: in the words of that world, English or Arabic.
        seed: the same seed fills in the same.

    Raises:
        InputError: a sentence that the grammar cannot read.
    """
    import numpy as np

    from khayal.world.captions import LANGUAGES, write
    from khayal.world.vocabulary import SETTINGS

    language = "ar" if re.search(r"[\u0600-\u06ff]", prompt) else "en"
    rng = np.random.default_rng(seed)
    plan: list[tuple[str, dict[str, Any]]] = []
    for sentence in re.split(r"[.!?؟]+", prompt):
        if sentence.strip():
            plan.append(_read(sentence.strip(), LANGUAGES[language], language))
    sorts = {sort for sort, _ in plan}
    placed = next((values for _, values in plan if "place" in values), None)
    if placed is None:
        setting = sorted(SETTINGS)[int(rng.integers(len(SETTINGS)))]
        plan.append(("place", {"place": {"setting": setting, "light": "day"}}))
    else:
        placed["place"] = {"light": "day", **placed["place"]}
    if not sorts & {"view", "views"}:
        plan.append(("view", {"move": "still"}))
    return write(tuple(plan), language, rng)


def _read(sentence: str, tongue: Any, language: str) -> tuple[str, dict[str, Any]]:
    plain = tongue.unfinish(sentence)
    for text in (plain, f"a {plain}") if language == "en" else (plain,):
        for sort, rule in tongue.sentences.items():
            for end, values in rule.read(text):
                if end == len(text):
                    return sort, values
    raise InputError(
        f"khayal's grammar cannot read “{sentence}”",
        fix="use its words, as in: a red ball bounces on the grass; or name an endpoint with --enhance",
    )
