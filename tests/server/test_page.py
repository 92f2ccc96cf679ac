"""The studio page in a real browser, on a real server and a small model: what people make with it."""

import re

import browsing
from browsing import ask, box, finished, get, newest, plays, write
from calling import png
from playwright.sync_api import expect
from serving import JOB_SECONDS, wait_for


def picture(name):
    return {"name": name, "mimeType": "image/png", "buffer": png((80, 60))}


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
    page = visit().go()
    page.locator("#composer input[type=file]").set_input_files(picture("still.png"))
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
    page.goto(f"{served.url}/#/{first['id']}")
    page.get_by_role("button", name="Use again").click()
    expect(submit).to_have_text("Animate")
    expect(box(page).get_by_alt_text("Your picture")).to_be_visible()


def test_a_video_finds_its_way_through_several_pictures(visit, served):
    page = visit().go()
    chosen, times = page.locator("#composer input[type=file]"), box(page).get_by_label("at second")
    chosen.set_input_files(picture("a.png"))
    expect(page.get_by_text("The video begins with this picture.")).to_be_visible()
    chosen.set_input_files([picture("b.png"), picture("c.png")])
    assert [one.input_value() for one in times.all()] == ["0", "1", "0.5"], "beginning, end, middle"
    times.nth(2).fill("0.34")
    page.get_by_label("Picture 2: at second").fill("0.67")
    submit = page.locator("#composer [type=submit]")
    expect(submit).to_have_text("Fill")
    submit.click()
    card = page.locator(".card", has_text="A video made whole").first
    expect(card).to_have_class("card done")
    job = newest(served)
    assert [second for second, _ in job["settings"]["keyframes"]] == [0, 0.67, 0.34]

    page.reload()
    card.get_by_role("link").click()
    page.get_by_role("button", name="Use again").click()
    expect(box(page).get_by_alt_text("Your picture")).to_have_count(3)
    expect(times.nth(1)).to_have_value("0.67")
    for _ in range(2):
        page.get_by_role("button", name="Remove the picture").last.click()
    expect(submit).to_have_text("Animate")
    expect(page.get_by_role("button", name="Add a picture for another time")).to_be_focused()
    chosen.set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"no"})
    expect(page.locator(".toast.wrong")).to_contain_text("That is not a picture.")
    expect(box(page).get_by_alt_text("Your picture")).to_have_count(1)


def test_a_picture_on_its_way_is_waited_for(visit, served):
    page = visit().go()
    held = []
    page.route("**/v1/files", lambda route: held.append(route))
    page.locator("#composer input[type=file]").set_input_files(picture("slow.png"))
    page.get_by_role("button", name="العربية").click()  # the box is drawn anew
    page.get_by_role("button", name="English").click()
    expect(box(page).get_by_alt_text("Your picture")).to_be_visible()
    write(page, "a slow picture")
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    assert newest(served)["prompt"] != "a slow picture"
    held[0].continue_()
    expect(page.locator(".card.done", has_text="a slow picture")).to_have_count(1)
    assert newest(served)["task"] == "animate"


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
    shots.nth(0).locator("input[type=file]").set_input_files(picture("first.png"))
    for index, prompt in enumerate(("{mo} wakes", "{mo} runs", "{mo} sleeps")):
        shots.nth(index).get_by_label("Prompt").fill(prompt)
        shots.nth(index).get_by_label("Seconds").fill("0.7")
    shots.nth(2).get_by_role("button", name="Move earlier").click()
    shots.nth(2).get_by_label("Goes on without a cut").check()
    page.get_by_role("button", name="Add somebody").click()
    page.get_by_label("Name", exact=True).fill("mo")
    page.get_by_label("What they look like").fill("a red ball")
    expect(page.locator(".total")).to_have_text("2.1 sec in all")
    expect(page.locator("[aria-busy]")).to_have_count(0)
    page.reload()  # what was written is kept
    expect(shots.nth(1).get_by_label("Prompt")).to_have_value("{mo} sleeps")
    expect(shots.nth(0).get_by_alt_text("Your picture")).to_be_visible()
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
    assert job["sources"] == {"shots[0].image": job["settings"]["shots"][0]["image"]["id"]}

    page.evaluate("localStorage.clear()")
    page.reload()
    card.get_by_role("link").click()
    page.get_by_role("button", name="Use again").click()
    expect(shots).to_have_count(3)
    expect(shots.nth(0).get_by_alt_text("Your picture")).to_be_visible()
    expect(page.get_by_label("What they look like")).to_have_value("a red ball")
    shots.nth(0).get_by_label("Prompt").fill(" ")
    page.get_by_role("button", name="Make the storyboard").click()
    expect(page.get_by_role("alert")).to_have_text("Shot 1 has no prompt yet.")
    expect(shots.nth(0).get_by_label("Prompt")).to_be_focused()


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
