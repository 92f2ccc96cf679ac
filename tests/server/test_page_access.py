"""The studio page in a real browser: languages, lights, phones, screen readers, errors, keys."""

import re
import threading

import browsing
import httpx2
import pytest
import uvicorn
from browsing import PHONE, Visit, audit, box, plays, write
from calling import png
from playwright.sync_api import expect
from serving import wait_for

from khayal.server.app import House, make_app
from khayal.server.config import ServerConfig
from khayal.server.keys import add_key

HOSTILE = '<img src=x onerror="window.hit = 1"><script>window.hit = 1</script>{name}'


def test_errors_are_said_in_the_api_s_own_words(visit):
    opened = visit()
    page = opened.go()
    write(page, "a red ball")
    box(page).get_by_label("Seconds").fill("600")
    page.locator("#composer [type=submit]").click()
    expect(page.locator(".toast.wrong")).to_contain_text("At most 60 seconds are allowed.")
    assert len(opened.wrong) == 2, "the refusal, and the browser's line about it"
    opened.wrong.clear()


def test_what_somebody_wrote_is_never_markup(visit, served):
    page = visit().go()
    write(page, HOSTILE)
    page.keyboard.press("Enter")
    card = page.locator(".card", has_text="<img src=x")
    expect(card).to_have_class("card done")
    card.get_by_role("link").click()
    expect(page.locator("#viewer-title")).to_have_text(HOSTILE)
    page.get_by_role("button", name="Remix").click()
    page.keyboard.press("Escape")
    page.goto(f"{served.url}/#/storyboard")
    page.locator(".shot-card textarea").first.fill(HOSTILE)
    assert page.evaluate("window.hit") is None
    assert page.locator("img[src=x]").count() == 0


def test_both_languages_and_both_lights_are_remembered(visit, ball):
    opened = visit(color_scheme="dark")
    page = opened.go()
    root = page.locator("html")
    expect(page.get_by_role("button", name="Light colours")).to_be_visible()
    page.get_by_role("button", name="Light colours").click()
    write(page, "half a sentence")
    page.get_by_role("button", name="العربية").click()
    expect(root).to_have_attribute("dir", "rtl")
    expect(page.locator("#composer [type=submit]")).to_have_text("ولّد")
    expect(page.locator("#composer textarea")).to_have_value("half a sentence")
    page.reload()
    expect(root).to_have_attribute("lang", "ar")
    expect(root).to_have_attribute("data-theme", "light")
    expect(page.get_by_role("link", name="المكتبة", exact=True)).to_be_visible()
    search, brand = (page.locator(name).bounding_box() for name in ("#search", ".brand"))
    assert brand["x"] > search["x"], "the page begins at the right"
    english, arabic = page.evaluate(
        """Promise.all(['en', 'ar'].map(async (name) =>
            Object.keys((await import(`/web/words-${name}.js`))[name])))"""
    )
    assert english == arabic
    page.locator("#to-storyboard").click()
    shot = page.locator(".shot-card textarea").first
    shot.fill("{mo} تنام")
    expect(shot).to_have_attribute("dir", "rtl")
    page.goto(f"{opened.url}/#/{ball['id']}")
    size = page.locator(".facts dd", has_text="64×64")
    assert size.evaluate("one => getComputedStyle(one).textAlign") == "right"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="English").click()
    expect(root).to_have_attribute("dir", "ltr")


VIEWS = {
    "library": ("", None),
    "settings": ("", "[aria-controls=finer]"),
    "storyboard": ("#/storyboard", None),
    "result": ("#/{id}", "[data-task=fill]"),
    "others": ("#/{id}", "[data-task=connect]"),
    "character": ("#/{id}", "[data-task=character]"),
    "characters": ("", '[aria-label="Show a character"], [aria-label="أظهر شخصية"]'),
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("locale", "viewport"), [("en", browsing.DESKTOP), ("ar", PHONE)])
def test_every_view_is_for_everybody(visit, ball, theme, locale, viewport):
    opened = visit(color_scheme=theme, locale=locale, viewport=viewport, reduced_motion="reduce")
    for name, (path, button) in VIEWS.items():
        opened.page.goto("about:blank")
        page = opened.go(path.format(**ball))
        opened.wrong = [one for one in opened.wrong if "about:blank" not in one]
        if button is not None:
            page.locator(button).click()
        assert audit(page) == [], name
        overflow = "document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(overflow) <= 0, f"{name} fits into {viewport['width']} px"


def test_a_key_is_asked_for_and_stays_in_the_tab(browser, served, ball, tmp_path):
    """A second server on the same kind of files, without workers."""
    house = House(ServerConfig(data=tmp_path / "data", requires_keys=True), has_workers=False)
    secret, _ = add_key(house.database, "laptop", {})
    uvicorn_server = uvicorn.Server(uvicorn.Config(make_app(house), port=0, log_config=None))
    thread = threading.Thread(target=uvicorn_server.run, daemon=True)
    thread.start()
    wait_for(lambda: uvicorn_server.started, 30, "the server did not start")
    port = uvicorn_server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    headers = {"authorization": f"Bearer {secret}"}
    body = {"prompt": "a guarded ball"}
    httpx2.post(f"{url}/v1/videos", json=body, headers=headers, trust_env=False).raise_for_status()
    store = house.desk.store
    job, lease = store.claim("test")
    work = store.folder.work(job.id, lease.fence)
    work.mkdir()
    for variant, name in (
        ("video", "video.mp4"),
        ("thumbnail", "thumbnail.webp"),
        ("spritesheet", "spritesheet.jpg"),
    ):
        path = f"{served.url}/v1/videos/{ball['id']}/content?variant={variant}"
        (work / name).write_bytes(httpx2.get(path, trust_env=False).content)
    notes = ["The model was never taught “guarded”.", f"{job.id}.mp4 was resampled."]
    native = {**ball["result"]["native"], "size": [32, 32]}
    assert store.publish(lease, work, {**ball["result"], "notes": notes, "native": native})

    opened = Visit(browser, url)
    page = opened.page
    page.goto(url)
    dialog = page.get_by_role("dialog", name="This server asks for a key")
    expect(dialog).to_be_visible()
    assert opened.wrong == []
    assert audit(page) == []
    dialog.get_by_label("API key").fill("kh-wrong")
    dialog.get_by_role("button", name="Use it").click()
    expect(dialog).to_be_visible()
    dialog.get_by_label("API key").fill(secret)
    dialog.get_by_role("button", name="Use it").click()
    opened.wrong.clear()
    still = {"name": "still.png", "mimeType": "image/png", "buffer": png()}
    page.locator("#composer input[type=file]").set_input_files(still)
    expect(page.locator("[aria-busy]")).to_have_count(0)
    for language in ("العربية", "English"):  # drawn anew, it is fetched
        page.get_by_role("button", name=language).click()
        expect(page.locator("#composer .still img")).to_have_attribute("src", re.compile("^blob:"))
    card = page.locator(".card", has_text="a guarded ball")
    expect(card.locator("img")).to_have_attribute("src", re.compile("^blob:"))
    card.get_by_role("link").click()
    wait_for(lambda: plays(page), browsing.WAIT_MS / 1000, "the video does not play")
    told = page.get_by_role("list", name="Notes").get_by_role("listitem")
    expect(told).to_have_text([notes[0], "“a guarded ball” was resampled."])
    expect(page.locator(".facts").get_by_text("32×32", exact=True)).to_be_visible()
    assert page.evaluate("JSON.stringify(localStorage)").find(secret) == -1
    assert opened.wrong == []
    opened.close()
    uvicorn_server.should_exit = True
    thread.join(30)
