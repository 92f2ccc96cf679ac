// The page: which view is shown, in which language and light, and whether the server is there.

import * as api from "./api.js";
import { draw as drawComposer, startComposer, use } from "./composer.js";
import { button, byId, el, field, icon } from "./dom.js";
import { language, onLanguage, speak, t, translate } from "./i18n.js";
import { jobs } from "./jobs.js";
import { startLibrary } from "./library.js";
import { problem, readModels, ready } from "./models.js";
import { complain, tell } from "./notices.js";
import { drawStoryboard, startStoryboard, useStoryboard } from "./storyboard.js";
import { closeViewer, startViewer, view } from "./viewer.js";
import { ACTS } from "./acts.js";

const LOOK_AGAIN_MS = 1500;
const isDark = matchMedia("(prefers-color-scheme: dark)");
let nextAct = null;

async function start() {
  translate(document);
  startSwitches();
  startComposer();
  startLibrary((idea) => use({ prompt: idea }));
  startStoryboard();
  startViewer({ reuse });
  jobs.addEventListener("lost", ({ detail }) => banner(detail.status === 401 ? "" : t("no-server")));
  jobs.addEventListener("reached", () => banner(ready().length ? "" : problem() || t("opening")));
  addEventListener("hashchange", route);
  api.onKeyRefused(askKey);
  await enter();
}

/** Reach the server; it may want a key, and its models may not be open yet. */
async function enter() {
  try {
    const { requires_key: requiresKey } = await api.health();
    byId("open-key").hidden = !requiresKey;
    if (requiresKey && !api.key.get()) return askKey();
    await jobs.load(byId("search").value.trim());
    jobs.start();
    route();
    await waitForModels();
  } catch (error) {
    if (error.status !== 401) {
      banner(error.message);
      setTimeout(enter, LOOK_AGAIN_MS);
    }
  }
}

async function waitForModels() {
  await readModels();
  if (!ready().length) {
    banner(problem() || t("opening"));
    setTimeout(() => waitForModels().catch(complain), LOOK_AGAIN_MS);
    return;
  }
  banner("");
  drawComposer();
  drawStoryboard();
}

function banner(sentence) {
  byId("banner").textContent = sentence;
  byId("banner").hidden = !sentence;
}

function route() {
  const name = location.hash.slice(2);
  const isStoryboard = name === "storyboard";
  if (name.startsWith("video_")) {
    view(name, nextAct);
    nextAct = null;
    return;
  }
  closeViewer();
  byId("library").hidden = isStoryboard;
  byId("composer").hidden = isStoryboard;
  byId("storyboard").hidden = !isStoryboard;
  for (const [id, isHere] of [["to-library", !isStoryboard], ["to-storyboard", isStoryboard]]) {
    if (isHere) byId(id).setAttribute("aria-current", "page");
    else byId(id).removeAttribute("aria-current");
  }
}

/** The prompt and all settings of a result, put where they can be changed and sent again. */
function reuse(job) {
  const made = job.result ?? {};
  const settings = { ...job.settings, seed: made.seed ?? job.settings.seed, model: job.model };
  settings.size ??= made.size;
  settings.seconds ??= job.task === "generate" || job.task === "animate" ? made.seconds : undefined;
  const characters = charactersOf(job);
  const image = characters.length ? settings.shots[0].image : settings.image;
  const pictures = settings.keyframes ?? (image ? [[0, image]] : []);
  const isAct = ACTS.includes(job.task) && !settings.keyframes;
  if (job.task === "storyboard" && !characters.length) {
    useStoryboard(settings);
    location.hash = "#/storyboard";
  } else if (isAct) {
    const source = settings.clip?.id ?? settings.first?.id;
    if (!source?.startsWith("video_")) return tell(t("no-source"));
    nextAct = { task: job.task, settings: { ...settings, other: settings.second?.id } };
    location.hash = `#/${source}`;
  } else {
    location.hash = "#/";
    closeViewer();
    use({ ...settings, prompt: job.prompt, characters, pictures });
    if (!pictures.length && (job.task === "animate" || job.task === "fill")) tell(t("picture-again"));
  }
  return undefined;
}

/** Those whom a prompt of the Videos API names; it became a storyboard of one shot, whose cast are they. */
function charactersOf({ settings: { shots = [], cast = [] } }) {
  const isNamed = (one, index) => one.name === `c${index}` && one.clip?.id.startsWith("char_");
  return shots.length === 1 && cast.every(isNamed) ? cast.map((one) => ({ id: one.clip.id, name: one.description })) : [];
}

function startSwitches() {
  const root = document.documentElement;
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : isDark.matches);
  const show = () => {
    byId("language").textContent = language() === "ar" ? "English" : "العربية";
    byId("language").lang = language() === "ar" ? "en" : "ar";
    byId("theme").replaceChildren(icon(dark() ? "sun" : "moon"));
    byId("theme").setAttribute("aria-label", t(dark() ? "lighter" : "darker"));
    byId("theme").title = t(dark() ? "lighter" : "darker");
    byId("open-key").replaceChildren(icon("key"));
  };
  byId("language").addEventListener("click", () => speak(language() === "ar" ? "en" : "ar"));
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    localStorage.setItem("khayal-theme", root.dataset.theme);
    show();
  });
  byId("open-key").addEventListener("click", askKey);
  isDark.addEventListener("change", show);
  onLanguage(show);
  addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input, textarea, select, dialog");
    if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      byId("search").focus();
    }
  });
  show();
}

function askKey() {
  const dialog = byId("key");
  if (dialog.open) return;
  const input = el("input", { type: "password", autocomplete: "off", required: true, spellcheck: "false", dir: "ltr", placeholder: "kh-…" });
  const form = el("form", { novalidate: true },
    el("h2", { id: "key-title" }, t("key-title")),
    el("p", {}, t("key-says")),
    field(t("key"), input),
    el("div", { class: "row end" }, button({ text: t("use-key"), kind: "primary", type: "submit" })),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    dialog.close();
    api.key.set(input.value.trim());
    enter();
  });
  dialog.replaceChildren(form);
  dialog.showModal();
}

start().catch(complain);
