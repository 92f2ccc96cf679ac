"""Debian's Chromium, a page in it that has to behave, and what its server says meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import httpx2
from playwright.sync_api import Browser, Page, expect, sync_playwright
from serving import JOB_SECONDS, wait_for

WAIT_MS = 60_000
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}

expect.set_options(timeout=WAIT_MS)


def chromium() -> str | None:
    """Its path; None where it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def browser() -> Iterator[Browser]:
    """Running, without a window. As root it needs to be told that there is no sandbox."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield opened
        opened.close()


class Visit:
    """A page of a server, and everything that a clean page does not do.

    Attributes:
        wrong: errors and warnings of the console, requests that failed or were refused, other hosts.
    """

    def __init__(self, opened: Browser, url: str, **context: Any) -> None:
        self.url, self.wrong = url, list[str]()
        self._context = opened.new_context(**{"viewport": DESKTOP, "locale": "en", **context})
        self._context.set_default_timeout(WAIT_MS)
        self.page: Page = self._context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("request", self._on_request)
        self.page.on("response", self._on_response)
        self.page.on("requestfailed", self._on_failed)

    def go(self, path: str = "") -> Page:
        """Open a view, and wait until the models are known."""
        self.page.goto(f"{self.url}/{path}")
        own_size = '#composer .shape option:first-child:not([value="1280x720"])'
        self.page.wait_for_selector(own_size, state="attached")
        expect(self.page.locator("#banner")).to_be_hidden()
        return self.page

    def close(self) -> None:
        self._context.close()

    def _on_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"console: {message.text}")

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith((f"{self.url}/", "blob:", "data:")):
            self.wrong.append(f"another host: {request.url}")

    def _on_response(self, answer: Any) -> None:
        if answer.status >= 400:
            self.wrong.append(f"{answer.status}: {answer.url}")

    def _on_failed(self, request: Any) -> None:
        # a video that is left while it loads is no failure
        if request.resource_type != "media" and "ERR_ABORTED" not in str(request.failure):
            self.wrong.append(f"failed: {request.url} {request.failure}")


def audit(page: Page) -> list[str]:
    """Serious and critical findings of axe about what is shown."""
    source = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    page.evaluate(f"() => {{ if (!window.axe) {{ {source} }} }}")
    page.wait_for_timeout(350)  # what fades in is judged when it is there
    found = page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
    return [
        f"{one['impact']} {one['id']}: {one['help']}: {[node['html'][:120] for node in one['nodes']]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def get(server: Any, path: str) -> Any:
    """An answer of its API."""
    answer = httpx2.get(f"{server.url}{path}", timeout=60, trust_env=False)
    answer.raise_for_status()
    return answer.json()


def ask(server: Any, task: str, **fields: Any) -> str:
    """Ask for a video, past the page; the job's id."""
    answer = httpx2.post(f"{server.url}/v1/khayal/{task}", json=fields, timeout=60, trust_env=False)
    answer.raise_for_status()
    return answer.json()["id"]


def finished(server: Any, job_id: str) -> Any:
    """The job, once it is completed."""

    def job() -> Any:
        told = get(server, f"/v1/khayal/jobs/{job_id}")
        return told if told["completed_at"] else None

    told = wait_for(job, JOB_SECONDS, "it was not finished")
    assert told["status"] == "completed", told["error"]
    return told


def newest(server: Any) -> Any:
    """The job that was asked for last."""
    return get(server, "/v1/khayal/jobs?limit=1")["data"][0]


def box(page: Page) -> Any:
    """Where a video is asked for."""
    return page.get_by_role("form", name="Make a video")


def write(page: Page, prompt: str) -> None:
    """A prompt."""
    box(page).get_by_label("Prompt").fill(prompt)


def plays(page: Page) -> bool:
    """True where the video that is looked at has moved on."""
    return page.locator(".viewer video").evaluate("video => video.readyState >= 3 && video.currentTime > 0.2")
