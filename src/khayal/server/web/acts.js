// What can be done with a result: a small form for each task that begins with a clip.

import * as api from "./api.js";
import { button, choice, el, field, growing } from "./dom.js";
import { number, t } from "./i18n.js";
import { jobs } from "./jobs.js";
import { can, model } from "./models.js";
import { complain, say } from "./notices.js";
import { finer, given, numeric, read } from "./settings.js";
import { spanChooser } from "./timeline.js";
import { title } from "./card.js";

export const ACTS = ["extend", "fill", "loop", "connect", "remix"];

const STRENGTHS = [["subtle", 0.45], ["mild", 0.65], ["strong", 0.85]];
const OFFERED = 24;

/** Those that the model of a job can do. */
export const actsOf = (job) => ACTS.filter((task) => can(task, job.model));

/** The form of a task. `player` is the video that is looked at; `onsent` is given the new job. */
export function actForm(task, job, { player, onsent, settings = {} }) {
  const prompt = growing({ maxlength: 32000, rows: 2 });
  prompt.write(settings.prompt ?? (task === "remix" ? "" : job.prompt.slice(0, 32000)));
  const own = FORMS[task](job, settings, player);
  const fine = finer();
  fine.fit(job.model);
  fine.write(settings);
  const isFine = Object.values(fine.read()).some((value) => value !== undefined);
  const more = el("details", { open: isFine }, el("summary", {}, t("finer")), fine.fields);
  const submit = button({ text: t(task), image: task, kind: "primary", type: "submit" });
  submit.disabled = own.isReady === false;
  const wrong = el("p", { class: "wrong", role: "alert", hidden: true });
  const form = el("form", { class: "act", novalidate: true, "aria-label": t(task) },
    el("p", { class: "says" }, t(`${task}-says`)),
    own.parts,
    field(t(task === "remix" ? "prompt-remix" : "prompt-next"), prompt),
    more, wrong,
    el("div", { class: "row end" }, submit),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    try {
      const made = await api.make(task, given({ prompt: prompt.value, ...shape(job), ...own.read(), ...fine.read() }));
      jobs.add(made);
      say(t("is-begun"));
      onsent(made);
    } catch (error) {
      wrong.textContent = error.message;
      wrong.hidden = false;
      submit.disabled = false;
      if (error.status === 0) complain(error);
    }
  });
  return form;
}

/** The result has the shape of its source, whatever the model's own is. */
function shape(job) {
  const { size, fps } = job.result;
  const card = model(job.model);
  return { size, model: job.model, fps: card && card.fps !== fps ? fps : undefined };
}

const added = (job, settings, share) =>
  numeric({ min: 0.1, step: "any", value: settings.seconds ?? (model(job.model)?.seconds ?? 4) * share });

const FORMS = {
  extend(job, settings) {
    const length = added(job, settings, 1);
    const where = choice([["after", t("after")], ["before", t("before")]], settings.backward ? "before" : "after");
    return {
      parts: el("div", { class: "pair" }, field(t("adds"), length), field(t("where"), where)),
      read: () => ({ clip: { id: job.id }, seconds: read(length), backward: where.value === "before" || undefined }),
    };
  },

  fill(job, settings, player) {
    const { seconds } = job.result;
    const look = (second) => {
      player?.pause();
      if (player) player.currentTime = Math.min(second, seconds - 0.01);
    };
    const span = spanChooser(job, settings.missing?.[0] ?? [seconds * 0.35, seconds * 0.65], look);
    return { parts: span, read: () => ({ clip: { id: job.id }, missing: [span.span()] }) };
  },

  loop(job, settings) {
    const length = added(job, settings, 0.5);
    return { parts: field(t("adds"), length), read: () => ({ clip: { id: job.id }, seconds: read(length) }) };
  },

  connect(job, settings) {
    const others = jobs.all.filter((one) => one.status === "completed" && !one.is_expired && one.id !== job.id);
    const length = added(job, settings, 0.5);
    const tiles = others.slice(0, OFFERED).map((one, index) => {
      const input = el("input", { type: "radio", name: "other", value: one.id, checked: settings.other ? settings.other === one.id : index === 0 });
      const image = el("img", { alt: "" });
      api.content(one.id, "thumbnail").then((url) => (image.src = url), () => {});
      return el("label", { title: title(one) }, input, image, el("span", { class: "hidden" }, title(one)));
    });
    const group = el("fieldset", { class: "others" }, el("legend", {}, t("with")), tiles.length ? el("div", { class: "tiles" }, tiles) : el("p", {}, t("no-others")));
    return {
      parts: [group, field(t("between"), length)],
      isReady: tiles.length > 0,
      read: () => ({
        first: { id: job.id },
        second: { id: group.querySelector(":checked")?.value ?? "" },
        seconds: read(length),
      }),
    };
  },

  remix(job, settings) {
    const value = STRENGTHS.find(([word]) => word === settings.strength)?.[1] ?? settings.strength ?? 0.65;
    const strength = el("input", { type: "range", min: 0.1, max: 1, step: 0.05, value });
    const told = el("output", {});
    const show = () => {
      const [word] = STRENGTHS.reduce((one, other) => (Math.abs(other[1] - strength.value) < Math.abs(one[1] - strength.value) ? other : one));
      told.textContent = `${t(word)} · ${number(Number(strength.value))}`;
      strength.setAttribute("aria-valuetext", told.textContent);
    };
    strength.addEventListener("input", show);
    show();
    const box = field(t("strength"), strength);
    box.append(told);
    return { parts: box, read: () => ({ clip: { id: job.id }, strength: Number(strength.value) }) };
  },
};
