"""Characters on the studio page: kept from a video or a clip, named in a prompt, cast in a storyboard."""

import httpx2
import pytest
from browsing import audit, box, get, newest, write
from playwright.sync_api import expect


@pytest.fixture
def clip(served, ball, tmp_path):
    """A file that somebody has."""
    path = tmp_path / "holiday.mp4"
    path.write_bytes(httpx2.get(f"{served.url}/v1/videos/{ball['id']}/content", trust_env=False).content)
    return path


def kept(served):
    return [one["name"] for one in get(served, "/v1/khayal/characters")["data"]]


def keep(page, served, ball, name):
    page.goto(f"{served.url}/#/{ball['id']}")
    page.get_by_role("button", name="Character", exact=True).click()
    form = page.get_by_role("form", name="Character")
    form.get_by_label("Name").fill(name)
    form.get_by_role("button", name="Keep").click()
    told = page.locator(".toast", has_text=f"“{name}” is kept.")
    told.get_by_role("button", name="Close").click()  # it lies above the dialog
    expect(told).to_have_count(0)
    expect(form).to_have_count(0)
    page.keyboard.press("Escape")


def test_whom_a_video_shows_is_named_in_a_prompt(visit, served, ball):
    page = visit().go()
    keep(page, served, ball, "Mo")
    assert kept(served)[0] == "Mo"
    write(page, "it is night, and")
    page.get_by_role("button", name="Show a character").click()
    dialog = page.get_by_role("dialog", name="Characters")
    expect(dialog.locator("video").first).to_be_visible()
    assert audit(page) == []
    dialog.get_by_role("button", name="Mo", exact=True).first.click()
    expect(dialog).to_have_count(0)
    expect(box(page).get_by_label("Prompt")).to_be_focused()
    page.keyboard.type("runs")
    expect(box(page).get_by_label("Prompt")).to_have_value("it is night, and Mo runs")
    page.keyboard.press("Enter")
    card = page.locator(".card", has_text="it is night, and Mo runs")
    expect(card).to_have_class("card done")
    job = newest(served)
    assert job["sources"]["cast[0].clip"].startswith("char_")
    assert (job["settings"]["shots"][0]["prompt"], job["settings"]["size"]) == (
        "it is night, and {c0} runs",
        [64, 64],
    )

    page.reload()
    chip = box(page).get_by_role("button", name="Leave Mo out")
    expect(chip).to_have_count(0)
    card.get_by_role("link").click()
    page.get_by_role("button", name="Use again").click()
    expect(box(page).get_by_label("Prompt")).to_have_value("it is night, and Mo runs")
    chip.click()
    expect(box(page).get_by_role("button", name="Show a character")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    page.locator("#composer [type=submit]").click()
    expect(page.locator(".card.done", has_text="it is night, and Mo runs")).to_have_count(2)
    assert newest(served)["task"] == "generate", "nobody was named"


def test_a_clip_of_one_s_own_is_kept_and_deleted(visit, served, clip):
    page = visit().go()
    page.get_by_role("button", name="Show a character").click()
    dialog = page.get_by_role("dialog", name="Characters")
    own = dialog.get_by_text("Keep one from a clip of your own")
    form = dialog.get_by_role("form", name="Character")
    expect(dialog.locator("li, .says:visible").first).to_be_visible()  # the list is there
    if not form.is_visible():
        own.click()
    form.get_by_role("button", name="Keep").click()
    expect(form.get_by_role("alert")).to_have_text("Choose a clip.")
    form.locator("input[type=file]").set_input_files(clip)
    expect(form.get_by_role("button", name="holiday.mp4")).to_be_visible()
    form.get_by_role("button", name="Keep").click()
    expect(form.get_by_role("alert")).to_have_text("Give it a name.")
    form.get_by_label("Name").fill("the beach")
    form.get_by_role("button", name="Keep").click()
    expect(dialog.get_by_role("button", name="the beach", exact=True)).to_be_focused()
    assert kept(served)[0] == "the beach"
    dialog.get_by_role("button", name="Delete the beach").click()
    sure = page.get_by_role("dialog", name="Delete “the beach” for good?")
    sure.get_by_role("button", name="Delete").click()
    expect(dialog.get_by_role("button", name="the beach", exact=True)).to_have_count(0)
    assert "the beach" not in kept(served)


def test_a_character_joins_the_cast_of_a_storyboard(visit, served, ball):
    page = visit().go()
    keep(page, served, ball, "a red ball")
    page.goto(f"{served.url}/#/storyboard")
    page.get_by_role("button", name="Add a kept character").click()
    page.get_by_role("dialog").get_by_role("button", name="a red ball", exact=True).first.click()
    name, shown = page.get_by_label("Name", exact=True), page.get_by_label("The video that shows them")
    expect(name).to_be_focused()
    expect(name).to_have_value("a_red_ball")
    expect(page.get_by_label("What they look like")).to_have_value("a red ball")
    expect(shown).to_be_visible()
    name.fill("mo")
    page.get_by_role("button", name="Remove the shot").last.click()
    page.locator(".shot-card textarea").fill("{mo} comes again")
    page.get_by_role("button", name="Make the storyboard").click()
    card = page.locator(".card", has_text="{mo} comes again")
    expect(card).to_have_class("card done")
    job = newest(served)
    assert job["sources"]["cast[0].clip"].startswith("char_")
    assert job["result"]["size"] == [64, 64], "the model's own, where none was chosen"
    page.evaluate("localStorage.clear()")
    page.reload()
    card.get_by_role("link").click()
    page.get_by_role("button", name="Use again").click()
    expect(name).to_have_value("mo")
    expect(shown).to_be_visible()
