// One result in the library: it forms, it plays when it is looked at, it says what failed.

import * as api from "./api.js";
import { button, direction, el, icon, set } from "./dom.js";
import { forming } from "./forming.js";
import { number, percent, seconds, t } from "./i18n.js";
import { jobs } from "./jobs.js";
import { complain } from "./notices.js";

const isCalm = matchMedia("(prefers-reduced-motion: reduce)");

/** What is seen of a job's size: that of the file, or of what was asked for. */
export function ratio(job) {
  const [width, height] = job.result?.size ?? job.settings.size ?? [1, 1];
  return Math.min(2.4, Math.max(0.45, width / height));
}

/** How far a job is, in words; while it is made, in percent too. */
export const progress = (job) => (job.status === "running" ? `${percent(job.progress)} · ${stage(job)}` : stage(job));

function stage(job) {
  if (job.is_cancelled) return t("stopping");
  if (job.status === "queued") return job.place ? t("before-it", { count: number(job.place) }) : t("waiting");
  if (job.stage === "denoise") return t("step", { step: number(job.step), steps: number(job.num_steps) });
  return job.stage === "decode" ? t("developing") : t("beginning");
}

/** The sentence under which a job is known. */
export const title = (job) => job.prompt || t(`${job.task}-it`);

/** The same when there is little room. */
export const short = (text) => (text.length > 60 ? `${text.slice(0, 57)}…` : text);

/** A sentence of the server, with the titles of videos in place of their ids. */
const named = (sentence) =>
  sentence.replaceAll(/\b(video_\w+)(\.\w+)?/g, (name, id) => (jobs.get(id) ? `“${short(title(jobs.get(id)))}”` : name));

/** What the model says of what it made: words that it was never taught, what was cropped. */
export const notesOf = (job) => (job.result?.notes ?? []).map(named);

/** Why a video could not be made. */
export const problemOf = (job) => named(job.error?.message ?? t("failed"));

/** An entry of the library, with `show(job)` for later states. */
export function card(first) {
  const item = el("li", { class: "card" });
  let state = "";
  let update = () => {};
  item.show = (job) => {
    item.style.setProperty("--ratio", ratio(job).toFixed(4));
    const next = job.status === "completed" && !job.is_expired ? "done" : job.status === "failed" || job.is_expired ? "failed" : "open";
    if (next !== state) {
      const hadFocus = item.contains(document.activeElement);
      state = next;
      item.className = `card ${state}`;
      const [parts, shown] = { done, failed, open }[state](job);
      item.replaceChildren(...parts);
      update = shown;
      if (hadFocus) item.querySelector("a")?.focus();
    }
    update(job);
  };
  item.show(first);
  return item;
}

function done(job) {
  const image = el("img", { alt: "", loading: "lazy", decoding: "async" });
  api.content(job.id, "thumbnail").then((url) => (image.src = url), () => {});
  const link = el("a", { href: `#/${job.id}`, class: "shot", "aria-label": spoken(job) }, image, caption(job));
  const notes = notesOf(job).join(" ");
  if (notes) link.append(el("span", { class: "badge", title: notes }, icon("info")));
  let video = null;
  const play = async () => {
    if (isCalm.matches || video) return;
    video = el("video", { muted: true, loop: true, playsinline: true, tabindex: -1, "aria-hidden": "true" });
    const mine = video;
    const url = await api.content(job.id).catch(() => null);
    if (mine !== video || !url) return;
    video.src = url;
    image.after(video);
    video.play().catch(() => {}); // it was left before it began
  };
  const stop = () => {
    video?.remove();
    video = null;
  };
  set(link, { onpointerenter: play, onfocus: play, onpointerleave: stop, onblur: stop });
  return [[link], () => {}];
}

function failed(job) {
  const [head, why] = job.is_expired
    ? [t("expired"), ""]
    : job.error?.code === "cancelled" ? [t("cancelled"), ""] : [t("failed"), job.error ? problemOf(job) : ""];
  const link = el(
    "a", { href: `#/${job.id}`, class: "shot", "aria-label": spoken(job) },
    el("div", { class: "why" }, el("strong", {}, head), why ? el("span", { dir: "auto", lang: "en" }, why) : null),
    caption(job),
  );
  return [[link], () => {}];
}

function open(job) {
  const picture = forming();
  const words = el("span", { class: "stage" });
  const bar = el("progress", { max: 100, "aria-label": t("progress") });
  const link = el("a", { href: `#/${job.id}`, class: "shot" }, picture, caption(job));
  const stop = button({ label: t("cancel"), image: "close", kind: "icon over stop", onclick: () => cancel(job.id) });
  const update = (now) => {
    picture.show(now);
    words.textContent = progress(now);
    bar.value = now.progress;
    link.setAttribute("aria-label", `${spoken(now)}: ${stage(now)}`);
    stop.hidden = now.is_cancelled;
  };
  return [[link, el("div", { class: "how-far" }, words, bar), stop], update];
}

/** Stop a job. */
export async function cancel(id) {
  const known = jobs.get(id);
  if (known) jobs.update({ ...known, is_cancelled: true }); // no more pictures of it are asked for
  try {
    jobs.update(await api.cancel(id));
  } catch (error) {
    complain(error);
  }
}

function caption(job) {
  const made = job.result;
  const facts = [job.task === "generate" ? null : t(job.task), made ? seconds(made.seconds) : null].filter(Boolean).join(" · ");
  return el("div", { class: "caption" }, el("span", { dir: direction(title(job)) }, title(job)), el("small", {}, facts));
}

const spoken = (job) => `${t(job.task)}: ${title(job)}`;
