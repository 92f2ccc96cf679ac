// The prompt box: a sentence becomes a video; with a picture, the picture comes alive.

import * as api from "./api.js";
import { button, byId, choice, el, field, growing } from "./dom.js";
import { number, onLanguage, t } from "./i18n.js";
import { jobs } from "./jobs.js";
import { can, model } from "./models.js";
import { complain, say, tell } from "./notices.js";
import { chooseSize, chosenSize, finer, given, modelChoice, numeric, read, sizeChoice } from "./settings.js";
import { acceptStills, still } from "./stills.js";

const MOST_VARIATIONS = 4;

let parts = null;

/** Draw the prompt box, keeping what was written. */
export function startComposer() {
  draw();
  const form = byId("composer");
  acceptStills(form, { take: (file) => parts.picture.take(file) });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  form.addEventListener("keydown", (event) => {
    const isPlain = event.key === "Enter" && !event.shiftKey && !event.isComposing;
    if (isPlain && event.target === parts.prompt) {
      event.preventDefault();
      send();
    }
  });
  onLanguage(draw);
}

/** Draw it anew, for another language or when the models are known. */
export function draw() {
  const before = parts && { ...all(), url: parts.picture.url, isOpen: !parts.drawer.hidden, touched: parts.touched };
  const prompt = growing({ name: "prompt", maxlength: 32000, placeholder: t("prompt-hint"), "aria-label": t("prompt") });
  const picture = still({ label: t("add-picture"), onchange: () => verb() });
  const models = modelChoice(() => fit());
  const size = sizeChoice();
  const length = numeric({ min: 0.1, max: 60, step: "any", value: model()?.seconds ?? 4 });
  const counts = Array.from({ length: MOST_VARIATIONS }, (_, index) => [String(index + 1), number(index + 1)]);
  const variations = choice(counts, "1");
  const fine = finer();
  const drawer = el("div", { class: "drawer", id: "finer", hidden: true }, fine.fields);
  const toggle = button({ label: t("finer"), image: "sliders", kind: "icon quiet", "aria-expanded": "false", "aria-controls": "finer" });
  toggle.addEventListener("click", () => open(drawer.hidden));
  const submit = button({ text: t("generate"), image: "send", kind: "primary", type: "submit" });
  parts = { prompt, picture, models, size, length, variations, fine, drawer, toggle, submit, touched: before?.touched ?? false };
  length.addEventListener("input", () => (parts.touched = true));
  size.addEventListener("change", () => (parts.touched = true));
  byId("composer").replaceChildren(
    drawer,
    el("div", { class: "sentence" }, picture, prompt),
    el("div", { class: "knobs" },
      models ? field(t("model"), models, { kind: "knob" }) : null,
      field(t("size"), size, { kind: "knob shape" }),
      field(t("length"), length, { kind: "knob seconds" }),
      field(t("variations"), variations, { kind: "knob" }),
      toggle,
      submit,
    ),
  );
  if (before) {
    if (!before.touched) Object.assign(before, { size: undefined, seconds: undefined });
    use(before, false);
    if (before.url) picture.show(before.url);
    open(before.isOpen);
  }
  verb();
}

/** Put a prompt and settings into the box. */
export function use(settings, takesFocus = true) {
  parts.prompt.write(settings.prompt ?? "");
  if (settings.size) chooseSize(parts.size, settings.size);
  if (settings.seconds) parts.length.value = settings.seconds;
  if (settings.variations) parts.variations.value = settings.variations;
  if (parts.models && settings.model) parts.models.value = settings.model;
  parts.fine.write(settings);
  if (!takesFocus) return;
  parts.touched = true;
  open(["seed", "steps", "guidance", "negative"].some((name) => settings[name] !== undefined && settings[name] !== null));
  parts.prompt.focus();
}

function open(isOpen) {
  parts.drawer.hidden = !isOpen;
  parts.toggle.setAttribute("aria-expanded", String(isOpen));
}

const task = () => (parts.picture.url ? "animate" : "generate");

function verb() {
  const name = task();
  parts.submit.querySelector("span").textContent = t(name);
  parts.submit.disabled = !can(name, parts.models?.value);
}

function fit() {
  parts.fine.fit(parts.models.value);
  const card = model(parts.models.value);
  if (!parts.touched) {
    chooseSize(parts.size, card.size);
    parts.length.value = card.seconds;
  }
  verb();
}

function all() {
  return {
    prompt: parts.prompt.value,
    size: chosenSize(parts.size),
    seconds: read(parts.length),
    variations: parts.variations.value,
    model: parts.models?.value,
    ...parts.fine.read(),
  };
}

async function send() {
  if (parts.submit.disabled) return;
  const { variations, ...fields } = all();
  if (!fields.prompt.trim() && task() === "generate") {
    tell(t("say-what"));
    parts.prompt.focus();
    return;
  }
  const name = task();
  if (name === "animate") fields.image = { url: parts.picture.url };
  parts.submit.disabled = true;
  location.hash = "#/";
  try {
    for (let index = 0; index < Number(variations); index += 1) {
      const seed = fields.seed === undefined ? undefined : fields.seed + index;
      jobs.add(await api.make(name, given({ ...fields, seed })));
    }
    scrollTo({ top: 0, behavior: "smooth" });
    say(t(Number(variations) > 1 ? "are-begun" : "is-begun"));
  } catch (error) {
    complain(error);
  } finally {
    parts.submit.disabled = false;
    verb();
  }
}
