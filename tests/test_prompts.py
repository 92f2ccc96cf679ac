"""Short prompts become detailed ones: by khayal's own grammar, or by a chat endpoint."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from khayal.errors import InputError, KhayalError
from khayal.prompts import by_endpoint, by_grammar
from khayal.world.captions import read


@pytest.mark.parametrize(
    ("prompt", "language"),
    [
        ("a red ball bounces on the grass", "en"),
        ("red ball rolling", "en"),
        ("A blue cube slides to the left. It all happens on the snow at night.", "en"),
        ("كرة حمراء تتدحرج على الثلج", "ar"),
    ],
)
def test_the_grammar_adds_what_a_prompt_leaves_open(prompt, language):
    text = by_grammar(prompt, seed=3)
    assert text == by_grammar(prompt, seed=3)
    claims = read(text, language)
    kinds = {claim[0] for claim in claims}
    assert {"actor", "deed", "setting", "light", "view"} <= kinds
    if "night" in prompt:
        assert ("light", "night") in claims
    if "red ball" in prompt or "كرة حمراء" in prompt:
        assert any(claim[:2] == ("actor", "red ball") for claim in claims)


def test_words_that_the_grammar_does_not_know_are_named():
    with pytest.raises(InputError, match="cannot read “a dragon breathes fire”"):
        by_grammar("a dragon breathes fire")


@pytest.fixture
def endpoint():
    """A chat endpoint that answers with what the test put into it."""
    seen = {}

    class Chat(BaseHTTPRequestHandler):
        def do_POST(self):
            seen["path"], seen["key"] = self.path, self.headers["Authorization"]
            seen["body"] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(seen["answer"]).encode()
            self.send_response(seen.get("status", 200))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    server = HTTPServer(("127.0.0.1", 0), Chat)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", seen
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_endpoint_is_asked_as_openai_is(endpoint):
    url, seen = endpoint
    seen["answer"] = {"choices": [{"message": {"content": " A red ball\nlies there. "}}]}
    assert by_endpoint("a ball", url, model="small", key="secret") == "A red ball lies there."
    assert (seen["path"], seen["key"]) == ("/v1/chat/completions", "Bearer secret")
    assert seen["body"]["model"] == "small"
    assert [message["role"] for message in seen["body"]["messages"]] == ["system", "user"]
    assert seen["body"]["messages"][1]["content"] == "a ball"


@pytest.mark.parametrize(("answer", "status"), [({}, 200), ({"error": "no"}, 500), ([], 200)])
def test_answers_that_are_none(endpoint, answer, status):
    url, seen = endpoint
    seen |= {"answer": answer, "status": status}
    with pytest.raises(KhayalError, match="could not be expanded") as error:
        by_endpoint("a ball", url)
    assert "\n" not in str(error.value)


def test_addresses_that_are_none():
    with pytest.raises(InputError, match="no address"):
        by_endpoint("a ball", "a red ball")
    with pytest.raises(KhayalError, match="could not be expanded"):
        by_endpoint("a ball", "http://127.0.0.1:9/v1")
