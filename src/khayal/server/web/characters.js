// Characters: whoever a clip shows, kept under a name, to be shown again in other videos.

import * as api from "./api.js";
import { button, byId, el, field } from "./dom.js";
import { t } from "./i18n.js";
import { complain, confirmed, tell } from "./notices.js";

const LONGEST_NAME = 80;

const nameField = () => el("input", { type: "text", maxlength: LONGEST_NAME, autocomplete: "off", dir: "auto" });

/** What a character looks like: the first picture of its clip. */
export function face(id) {
  const video = el("video", { muted: true, playsinline: true, preload: "metadata", tabindex: -1, "aria-hidden": "true" });
  api.clipOf(id).then((url) => (video.src = url), () => {});
  return video;
}

/** A form that keeps whom a finished video shows. */
export function characterForm(job, onkept) {
  const name = nameField();
  return keeping([el("p", { class: "says" }, t("character-says"))], name, () => ({ id: job.id }), onkept);
}

/** Choose a character that is kept, or keep another; null where none was chosen. */
export function chooseCharacter() {
  const dialog = byId("characters");
  const list = el("ul", { class: "characters" });
  const nobody = el("p", { class: "says" }, t("nobody"));
  let chosen = null;

  const entry = (one) => {
    const pick = el("button", { type: "button", onclick: () => { chosen = one; dialog.close(); } }, face(one.id), el("span", { dir: "auto" }, one.name));
    const drop = button({ label: t("delete-character", { name: one.name }), image: "trash", kind: "icon over", onclick: () => remove(one, item) });
    const item = el("li", {}, pick, drop);
    return item;
  };
  const show = (all) => {
    list.replaceChildren(...all.map(entry));
    nobody.hidden = all.length > 0;
    own.open = !all.length;
  };

  async function remove(one, item) {
    if (!(await confirmed(t("sure-character", { name: one.name }), t("delete")))) return;
    try {
      await api.removeCharacter(one.id);
      item.remove();
      nobody.hidden = list.children.length > 0;
    } catch (error) {
      complain(error);
    }
  }

  const clip = el("input", { type: "file", accept: "video/*", class: "hidden", tabindex: -1, "aria-hidden": "true", onchange: nameIt });
  const browse = button({ text: t("choose-clip"), image: "film", onclick: () => clip.click() });
  const form = keeping([clip, browse], nameField(), () => clip.files[0], (one) => {
    list.prepend(entry(one));
    nobody.hidden = true;
    list.querySelector("button").focus();
    form.reset();
    nameIt();
  });

  function nameIt() {
    browse.querySelector("span").textContent = clip.files[0]?.name ?? t("choose-clip");
  }

  const own = el("details", {}, el("summary", {}, t("keep-from-file")), form);
  const close = button({ label: t("close"), image: "close", kind: "icon quiet", onclick: () => dialog.close() });
  dialog.replaceChildren(
    el("header", {}, el("h2", { id: "characters-title" }, t("characters")), close),
    nobody, list, own,
  );
  api.characters().then(show, complain);
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => {
    dialog.replaceChildren();
    resolve(chosen);
  }, { once: true }));
}

/** Asks for a name, and keeps what `video()` gives under it. */
function keeping(parts, name, video, onkept) {
  const submit = button({ text: t("keep-character"), image: "character", kind: "primary", type: "submit" });
  const wrong = el("p", { class: "wrong", role: "alert", hidden: true });
  const form = el("form", { class: "act", novalidate: true, "aria-label": t("character") },
    parts, field(t("name"), name, { hint: t("name-hint") }), wrong, el("div", { class: "row end" }, submit));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    wrong.hidden = true;
    try {
      if (!video()) throw new Error(t("no-clip"));
      if (!name.value.trim()) throw new Error(t("say-name"));
      const made = await api.keepCharacter(name.value.trim(), video());
      tell(t("is-kept", { name: made.name }));
      onkept(made);
    } catch (error) {
      wrong.textContent = error.message;
      wrong.hidden = false;
      if (error.status === 0) complain(error);
    } finally {
      submit.disabled = false;
    }
  });
  return form;
}
