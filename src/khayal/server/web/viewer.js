// One result, large: watched, told about, and used to make another.

import * as api from "./api.js";
import { actForm, actsOf } from "./acts.js";
import { cancel, notesOf, problemOf, progress, ratio, title } from "./card.js";
import { characterForm } from "./characters.js";
import { button, byId, direction, el } from "./dom.js";
import { forming } from "./forming.js";
import { number, onLanguage, seconds, t, when } from "./i18n.js";
import { isOver, jobs } from "./jobs.js";
import { complain, confirmed, tell } from "./notices.js";
import { can, times } from "./models.js";

const ADDING = ["extend", "loop", "connect"]; // whose seconds come on top of those of the clip
const isCalm = matchMedia("(prefers-reduced-motion: reduce)");

let shown = null;
let update = () => {};
let on = {};

/** `reuse` is given a job whose settings are wanted again. */
export function startViewer(listeners) {
  on = listeners;
  const dialog = byId("viewer");
  dialog.addEventListener("close", () => {
    shown = null;
    dialog.replaceChildren();
    if (location.hash.startsWith("#/video_")) location.hash = "#/";
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  jobs.addEventListener("job", ({ detail }) => shown?.id === detail.id && refresh(detail));
  onLanguage(() => shown && draw(shown));
}

/** Open the result with an id; `act` opens one of its forms with settings. */
export async function view(id, act = null) {
  try {
    const job = await jobs.find(id);
    draw(job, act);
    if (!byId("viewer").open) byId("viewer").showModal();
  } catch (error) {
    complain(error);
    location.hash = "#/";
  }
}

export const closeViewer = () => byId("viewer").open && byId("viewer").close();

function refresh(job) {
  const wasOver = isOver(shown);
  shown = job;
  if (!wasOver && isOver(job)) draw(job);
  else update(job);
}

function draw(job, act = null) {
  shown = job;
  const [stage, player, onupdate] = isOver(job) ? finished(job) : running(job);
  update = onupdate;
  const close = button({ label: t("close"), image: "close", kind: "icon over leave", onclick: () => byId("viewer").close() });
  byId("viewer").style.setProperty("--ratio", ratio(job).toFixed(4));
  byId("viewer").replaceChildren(close, stage, el("div", { class: "about" }, about(job), deeds(job, player, act), facts(job)));
}

function running(job) {
  const picture = forming();
  const words = el("p", { class: "stage" });
  const bar = el("progress", { max: 100, "aria-label": t("progress") });
  const show = (now) => {
    picture.show(now);
    words.textContent = progress(now);
    bar.value = now.progress;
  };
  show(job);
  return [el("div", { class: "stage-box runs" }, el("div", { class: "frame" }, picture), words, bar), null, show];
}

function finished(job) {
  if (job.status === "failed" || job.is_expired) {
    const why = job.is_expired ? t("expired") : problemOf(job);
    return [el("div", { class: "stage-box" }, el("p", { class: "why", dir: "auto", lang: job.is_expired ? null : "en" }, why)), null, () => {}];
  }
  const player = el("video", { controls: true, loop: true, playsinline: true, muted: isCalm.matches, "aria-label": title(job) });
  api.content(job.id, "thumbnail").then((url) => (player.poster = url), () => {});
  api.content(job.id).then((url) => {
    player.src = url;
    if (!isCalm.matches) player.play().catch(() => {}); // browsers may want a click first
  }, complain);
  return [el("div", { class: "stage-box" }, el("div", { class: "frame" }, player)), player, () => {}];
}

function about(job) {
  const notes = notesOf(job);
  return [
    el("p", { class: "kicker" }, t(job.task)),
    el("h2", { id: "viewer-title", dir: direction(title(job)), tabindex: "-1", autofocus: true }, title(job)),
    notes.length ? el("ul", { class: "notes", "aria-label": t("notes") }, notes.map((note) => el("li", { dir: "auto", lang: "en" }, note))) : null,
  ].filter(Boolean);
}

function facts(job) {
  const made = job.result;
  const asked = job.settings;
  const size = made?.size ?? asked.size;
  const found = [
    ["model", job.model],
    ["size", size && times(...size)],
    ["made-at", made && String(made.native?.size) !== String(made.size) && made.native && times(...made.native.size)],
    [made || !ADDING.includes(job.task) ? "lasts" : "adds", (made ?? asked).seconds && seconds((made ?? asked).seconds)],
    ["rate", made && t("fps", { rate: number(made.fps) })],
    ["seed", made?.seed ?? asked.seed],
    ["steps", made?.steps ?? asked.steps],
    ["guidance", made?.guidance && [made.guidance].flat().map((one) => number(one)).join(", ")],
    ["strength", asked.strength && (typeof asked.strength === "number" ? number(asked.strength) : t(asked.strength))],
    ["negative", asked.negative],
    ["made", when(job.created_at)],
    ["took", made?.took_seconds && seconds(Math.round(made.took_seconds * 10) / 10)],
  ].filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false);
  return [
    el("dl", { class: "facts" }, found.map(([name, value]) =>
      el("div", {}, el("dt", {}, t(name)), el("dd", { dir: "auto" }, String(value))))),
    job.parent ? el("p", { class: "source" }, el("a", { href: `#/${job.parent}` }, t("source"))) : null,
  ].filter(Boolean);
}

function deeds(job, player, act) {
  const place = el("div", { class: "act-place" });
  const again = button({ text: t("again"), image: "again", onclick: () => on.reuse(job) });
  if (!isOver(job)) return el("div", { class: "row" }, button({ text: t("cancel"), image: "stop", onclick: () => cancel(job.id) }), again);
  const drop = button({ label: t("delete"), image: "trash", kind: "danger icon", onclick: () => remove(job) });
  if (job.status === "failed" || job.is_expired) return el("div", { class: "row" }, again, drop);
  const formOf = (task, settings) => {
    if (task === "character") return characterForm(job, () => open("character"));
    return actForm(task, job, { player, settings, onsent: (made) => (location.hash = `#/${made.id}`) });
  };
  const open = (task, settings) => {
    const isSame = place.dataset.task === task && !settings;
    place.dataset.task = isSame ? "" : task;
    for (const one of tabs) one.setAttribute("aria-expanded", String(!isSame && one.dataset.task === task));
    place.replaceChildren(...(isSame ? [] : [formOf(task, settings)]));
    place.querySelector("textarea, input, select")?.focus();
    place.scrollIntoView({ block: "nearest" });
  };
  const others = can("storyboard", job.model) ? ["character"] : [];
  const tabs = [...actsOf(job), ...others].map((task) => {
    const tab = button({ text: t(task), image: task, "aria-expanded": "false", onclick: () => open(task) });
    tab.dataset.task = task;
    return tab;
  });
  const load = button({ text: t("download"), image: "download", onclick: () => download(job) });
  const whole = el("div", { class: "deeds" },
    el("div", { class: "acts", role: "group", "aria-label": t("make-more") }, tabs),
    place,
    el("div", { class: "row" }, load, again, drop),
  );
  if (act) queueMicrotask(() => open(act.task, act.settings));
  return whole;
}

async function download(job) {
  try {
    const name = (title(job).match(/[\p{L}\p{N}]+/gu) ?? ["khayal"]).slice(0, 8).join("-").toLowerCase();
    const url = await api.file(job.id); // the server's own name for it, its id, would win over this one
    const link = el("a", { href: url, download: `${name}-${job.result.seed ?? job.id.slice(-6)}.mp4` });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (error) {
    complain(error);
  }
}

async function remove(job) {
  if (!(await confirmed(t("sure"), t("delete")))) return;
  try {
    await api.remove(job.id);
    byId("viewer").close();
    jobs.forget(job.id);
    byId("main").focus();
    tell(t("deleted"));
  } catch (error) {
    complain(error);
  }
}
