"""The studio page in a real browser, on a real server and a small model: what people do with it."""

import io
import json
import re
import threading

import browsing
import httpx2
import pytest
import uvicorn
from browsing import PHONE, Visit, audit
from PIL import Image
from playwright.sync_api import expect
from serving import JOB_SECONDS, Served, wait_for

import untrained
from khayal.server.app import House, make_app
from khayal.server.config import ServerConfig
from khayal.server.keys import add_key

HOSTILE = '<img src=x onerror="window.hit = 1"><script>window.hit = 1</script>{name}'


@pytest.fixture(scope="module")
def browser():
    if browsing.chromium() is None:
        pytest.skip("Chromium is not installed: make system")
    with browsing.browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def served(browser, tmp_path_factory):
    """A model of khayal's own kind that makes a second of noise in a moment."""
    folder = tmp_path_factory.mktemp("page")
    untrained.make_untrained(folder / "model")
    settings = json.loads((folder / "model" / "khayal.json").read_text())
    settings |= {"size": [64, 64], "seconds": 1, "steps": 4}
    (folder / "model" / "khayal.json").write_text(json.dumps(settings))
    server = Served(folder / "model", folder / "data")
    wait_for(lambda: get(server, "/health")["status"] == "ready", JOB_SECONDS, "no model was opened")
    yield server
    server.stop()


@pytest.fixture
def visit(browser, served):
    """Opens pages, all of which have to stay clean."""
    opened = []

    def visit(**context):
        opened.append(Visit(browser, served.url, **context))
        return opened[-1]

    yield visit
    wrong = [one for each in opened for one in each.wrong]
    for each in opened:
        each.close()
    assert wrong == []


@pytest.fixture(scope="module")
def ball(served):
    """A finished video."""
    return finished(served, ask(served, "generate", prompt="a red ball", seed=7))


def get(server, path):
    answer = httpx2.get(f"{server.url}{path}", timeout=60, trust_env=False)
    answer.raise_for_status()
    return answer.json()


def ask(server, task, **fields):
    answer = httpx2.post(f"{server.url}/v1/khayal/{task}", json=fields, timeout=60, trust_env=False)
    answer.raise_for_status()
    return answer.json()["id"]


def finished(server, job_id):
    def job():
        told = get(server, f"/v1/khayal/jobs/{job_id}")
        return told if told["completed_at"] else None

    told = wait_for(job, JOB_SECONDS, "it was not finished")
    assert told["status"] == "completed", told["error"]
    return told


def newest(server):
    return get(server, "/v1/khayal/jobs?limit=1")["data"][0]


def box(page):
    """Where a video is asked for."""
    return page.get_by_role("form", name="Make a video")


def write(page, prompt):
    box(page).get_by_label("Prompt").fill(prompt)


def plays(page):
    """True where the video that is looked at has moved on."""
    return page.locator(".viewer video").evaluate("video => video.readyState >= 3 && video.currentTime > 0.2")


def test_a_video_is_made_watched_and_extended(visit, served):
    page = visit().go()
    expect(box(page).get_by_label("Seconds")).to_have_value("1")
    write(page, "a red ball on the page")
    page.keyboard.press("Enter")
    card = page.locator(".card").first
    expect(card.get_by_text("a red ball on the page")).to_be_visible()
    expect(card).to_have_class("card done")
    expect(page.locator("#said")).to_have_text("Ready: a red ball on the page")

    card.get_by_role("link").click()
    viewer = page.get_by_role("dialog", name="a red ball on the page")
    wait_for(lambda: plays(page), browsing.WAIT_MS / 1000, "the video does not play")
    made = newest(served)
    facts = viewer.locator(".facts")
    for text in (str(made["result"]["seed"]), "64×64", "1 sec", "12 fps"):
        expect(facts.get_by_text(text, exact=True).first).to_be_visible()  # it may have taken a second too
    with page.expect_download() as download:
        viewer.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == f"a-red-ball-on-the-page-{made['result']['seed']}.mp4"

    viewer.get_by_role("button", name="Extend").click()
    form = viewer.get_by_role("form", name="Extend")
    form.get_by_label("What happens").fill("it rolls away")
    form.get_by_role("button", name="Extend").click()
    longer = page.get_by_role("dialog", name="it rolls away")
    expect(longer.locator("video")).to_be_visible()
    told = newest(served)
    assert (told["task"], told["parent"], told["result"]["seconds"]) == ("extend", made["id"], 2.0)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".card")).to_have_count(2)


def test_every_task_that_begins_with_a_clip_has_its_form(visit, served, ball):
    other = finished(served, ask(served, "generate", prompt="a blue cube", seed=8))
    page = visit().go(f"#/{ball['id']}")
    viewer = page.locator("#viewer")

    def send(task, shown):
        page.goto(f"{served.url}/#/{ball['id']}")
        expect(viewer.get_by_role("heading", name="a red ball")).to_be_visible()
        viewer.get_by_role("button", name=task, exact=True).click()
        form = viewer.get_by_role("form", name=task)
        shown(form)
        form.get_by_role("button", name=task, exact=True).click()
        expect(form).to_have_count(0)
        return wait_for(
            lambda: (job := newest(served))["task"] == task.lower() and job,
            JOB_SECONDS,
            "nothing was asked for",
        )

    def span(form):
        for end, key, times in (("From", "ArrowRight", 1), ("To", "ArrowLeft", 1)):
            form.get_by_label(end, exact=True).focus()
            for _ in range(times):
                page.keyboard.press(key)
        expect(form.locator(".told-span")).to_have_text("From 0.43 sec to 0.57 sec")

    def strength(form):
        form.get_by_label("Strength").fill("0.85")
        expect(form.get_by_text("Strong · 0.85")).to_be_visible()
        form.get_by_label("What it shows now").fill("made of glass")

    asked = [
        send("Fill", span),
        send("Loop", lambda form: form.get_by_label("Seconds added").fill("0.5")),
        send("Connect", lambda form: form.get_by_label("a blue cube").check()),
        send("Remix", strength),
    ]
    fill, loop, connect, remix = (finished(served, job["id"]) for job in asked)
    assert fill["settings"]["missing"] == [[0.433, 0.567]]
    assert loop["result"]["num_frames"] > ball["result"]["num_frames"]
    assert connect["sources"] == {"first": ball["id"], "second": other["id"]}
    assert (remix["settings"]["strength"], remix["prompt"]) == (0.85, "made of glass")
    assert {job["result"]["size"][0] for job in (fill, loop, connect, remix)} == {64}


def test_a_still_comes_alive_in_variations(visit, served):
    picture = io.BytesIO()
    Image.new("RGB", (80, 60), (200, 30, 30)).save(picture, "PNG")
    page = visit().go()
    page.locator("#composer input[type=file]").set_input_files(
        {"name": "still.png", "mimeType": "image/png", "buffer": picture.getvalue()}
    )
    submit = page.locator("#composer [type=submit]")
    expect(submit).to_have_text("Animate")
    box(page).get_by_label("Variations").select_option("2")
    box(page).get_by_role("button", name="More settings").click()
    box(page).get_by_label("Seed").fill("11")
    box(page).get_by_label("Steps").fill("3")
    submit.click()
    expect(page.locator(".card.done", has_text="A picture that moves")).to_have_count(2)
    first, second = get(served, "/v1/khayal/jobs?limit=2")["data"]
    assert [job["result"]["seed"] for job in (second, first)] == [11, 12]
    assert (first["task"], first["result"]["steps"]) == ("animate", 3)
    page.get_by_role("button", name="Remove the picture").click()
    expect(submit).to_have_text("Generate")


def test_what_forms_is_seen_and_can_be_stopped(visit, served):
    page = visit().go()
    write(page, "something slow")
    box(page).get_by_role("button", name="More settings").click()
    box(page).get_by_label("Steps").fill("400")
    page.locator("#composer [type=submit]").click()
    card = page.locator(".card", has_text="something slow")
    picture = card.locator(".forming img")
    expect(picture).to_be_visible()
    first = picture.get_attribute("src")
    assert first.startswith("blob:")
    expect(picture).not_to_have_attribute("src", first)  # it goes on forming
    expect(card.locator(".stage")).to_have_text(re.compile(r"\d+% · Step \d+ of 400"))
    card.get_by_role("button", name="Cancel").click()
    expect(card).to_have_class("card failed")
    expect(card.get_by_text("Cancelled")).to_be_visible()
    card.get_by_role("link").click()
    page.locator("#viewer").get_by_role("button", name="Delete").click()
    page.get_by_role("dialog", name="Delete this video for good?").get_by_role(
        "button", name="Delete"
    ).click()
    expect(card).to_have_count(0)
    assert "something slow" not in [job["prompt"] for job in get(served, "/v1/khayal/jobs")["data"]]


def test_a_storyboard_is_made_and_used_again(visit, served):
    page = visit().go("#/storyboard")
    shots = page.locator(".shot-card")
    expect(shots).to_have_count(2)
    page.get_by_role("button", name="Add a shot").click()
    for index, prompt in enumerate(("{mo} wakes", "{mo} runs", "{mo} sleeps")):
        shots.nth(index).get_by_label("Prompt").fill(prompt)
        shots.nth(index).get_by_label("Seconds").fill("0.7")
    shots.nth(2).get_by_role("button", name="Move earlier").click()
    shots.nth(2).get_by_label("Goes on without a cut").check()
    page.get_by_role("button", name="Add somebody").click()
    page.get_by_label("Name", exact=True).fill("mo")
    page.get_by_label("What they look like").fill("a red ball")
    expect(page.locator(".total")).to_have_text("2.1 sec in all")
    page.reload()  # what was written is kept
    expect(shots.nth(1).get_by_label("Prompt")).to_have_value("{mo} sleeps")
    page.get_by_role("button", name="Make the storyboard").click()
    card = page.locator(".card", has_text="{mo} wakes / {mo} sleeps / {mo} runs")
    expect(card).to_have_class("card done")
    job = newest(served)
    assert [(shot["prompt"], shot.get("is_cut")) for shot in job["settings"]["shots"]] == [
        ("{mo} wakes", None),
        ("{mo} sleeps", None),
        ("{mo} runs", False),
    ]
    assert job["settings"]["cast"] == [{"name": "mo", "description": "a red ball"}]

    page.evaluate("localStorage.clear()")
    page.reload()
    card.get_by_role("link").click()
    page.get_by_role("button", name="Use again").click()
    expect(shots).to_have_count(3)
    expect(page.get_by_label("What they look like")).to_have_value("a red ball")
    shots.nth(0).get_by_label("Prompt").fill(" ")
    page.get_by_role("button", name="Make the storyboard").click()
    expect(page.get_by_role("alert")).to_have_text("Shot 1 has no prompt yet.")
    expect(shots.nth(0).get_by_label("Prompt")).to_be_focused()


def test_whom_a_video_shows_joins_the_cast(visit, served, ball):
    page = visit().go(f"#/{ball['id']}")
    page.get_by_role("button", name="Add to the cast of the storyboard").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    name, video = page.get_by_label("Name", exact=True), page.get_by_alt_text("The video that shows them")
    expect(name).to_be_focused()
    expect(video).to_be_visible()
    name.fill("mo")
    page.get_by_label("What they look like").fill("a red ball")
    page.get_by_role("button", name="Remove the shot").last.click()
    page.locator(".shot-card textarea").fill("{mo} comes again")
    page.get_by_role("button", name="Make the storyboard").click()
    card = page.locator(".card", has_text="{mo} comes again")
    expect(card).to_have_class("card done")
    job = newest(served)
    assert job["sources"] == {"cast[0].clip": ball["id"]}
    assert job["result"]["size"] == [64, 64], "the model's own, where none was chosen"
    page.evaluate("localStorage.clear()")
    page.reload()
    card.get_by_role("link").click()
    page.get_by_role("button", name="Use again").click()
    expect(name).to_have_value("mo")
    expect(video).to_be_visible()


def test_settings_are_used_again_and_prompts_found(visit, served, ball):
    page = visit().go()
    page.keyboard.press("/")
    page.keyboard.type("RED BALL")
    expect(page.locator(".card", has_text="a red ball").first).to_be_visible()
    expect(page.locator(".card", has_text="a blue cube")).to_have_count(0)
    page.keyboard.type(" nowhere")
    expect(page.locator("#empty")).to_have_text("No prompt has “RED BALL nowhere” in it.")
    page.goto(f"{served.url}/#/{ball['id']}")
    page.get_by_role("button", name="Use again").click()
    expect(box(page).get_by_label("Prompt")).to_have_value("a red ball")
    expect(box(page).get_by_label("Prompt")).to_be_focused()
    expect(box(page).get_by_label("Seed")).to_have_value("7")


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
