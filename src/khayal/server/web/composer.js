// The prompt box: a sentence becomes a video; with pictures, they come alive; with characters, it shows them.

import * as api from "./api.js";
import { chooseCharacter } from "./characters.js";
import { button, byId, choice, el, field, growing, icon } from "./dom.js";
import { number, onLanguage, t } from "./i18n.js";
import { jobs } from "./jobs.js";
import { keyframes } from "./keyframes.js";
import { can, model } from "./models.js";
import { complain, say, tell } from "./notices.js";
import { chooseSize, chosenSize, finer, given, modelChoice, numeric, read, sizeChoice } from "./settings.js";
import { acceptStills, sent } from "./stills.js";

const MOST_VARIATIONS = 4;
const MOST_CHARACTERS = 8;

let parts = null;

/** Draw the prompt box, keeping what was written. */
export function startComposer() {
  draw();
  const form = byId("composer");
  acceptStills(form, (file) => parts.pictures.take(file));
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
  const before = parts && { ...all(), isOpen: !parts.drawer.hidden, touched: parts.touched };
  const prompt = growing({ name: "prompt", maxlength: 32000, placeholder: t("prompt-hint"), "aria-label": t("prompt") });
  const models = modelChoice(() => fit());
  const size = sizeChoice();
  const length = numeric({ min: 0.1, max: 60, step: "any", value: model()?.seconds ?? 4 });
  const pictures = keyframes({
    length: () => read(length) ?? 0,
    ontake: (file) => parts.pictures.take(file), // the box may have been drawn anew while files were chosen
    onchange: () => parts && verb(),
  });
  const cast = el("ul", { class: "chips", "aria-label": t("characters") });
  const person = button({ label: t("show-character"), image: "character", kind: "icon quiet", onclick: choose });
  const counts = Array.from({ length: MOST_VARIATIONS }, (_, index) => [String(index + 1), number(index + 1)]);
  const variations = choice(counts, "1");
  const fine = finer();
  const drawer = el("div", { class: "drawer", id: "finer", hidden: true }, fine.fields);
  const toggle = button({ label: t("finer"), image: "sliders", kind: "icon quiet", "aria-expanded": "false", "aria-controls": "finer" });
  toggle.addEventListener("click", () => open(drawer.hidden));
  const submit = button({ text: t("generate"), image: "send", kind: "primary", type: "submit" });
  parts = { prompt, pictures, cast, person, models, size, length, variations, fine, drawer, toggle, submit, touched: before?.touched ?? false };
  length.addEventListener("input", () => (parts.touched = true));
  size.addEventListener("change", () => (parts.touched = true));
  byId("composer").replaceChildren(
    drawer,
    pictures,
    cast,
    el("div", { class: "sentence" }, pictures.add, person, prompt),
    el("div", { class: "knobs" },
      models ? field(t("model"), models, { kind: "knob" }) : null,
      field(t("size"), size, { kind: "knob shape" }),
      field(t("length"), length, { kind: "knob seconds" }),
      field(t("variations"), variations, { kind: "knob" }),
      toggle,
      submit,
    ),
  );
  if (before && !before.touched) Object.assign(before, { size: undefined, seconds: undefined });
  use(before ?? {}, false);
  open(Boolean(before?.isOpen));
}

/** Put a prompt and settings into the box. */
export function use(settings, takesFocus = true) {
  parts.prompt.write(settings.prompt ?? "");
  if (settings.size) chooseSize(parts.size, settings.size);
  if (settings.seconds) parts.length.value = settings.seconds;
  if (settings.variations) parts.variations.value = settings.variations;
  if (parts.models && settings.model) parts.models.value = settings.model;
  parts.fine.write(settings);
  parts.pictures.write(settings.pictures ?? []);
  parts.cast.replaceChildren();
  (settings.characters ?? []).forEach(show);
  verb();
  if (!takesFocus) return;
  parts.touched = true;
  open(["seed", "steps", "guidance", "negative"].some((name) => settings[name] !== undefined && settings[name] !== null));
  parts.prompt.focus();
}

function open(isOpen) {
  parts.drawer.hidden = !isOpen;
  parts.toggle.setAttribute("aria-expanded", String(isOpen));
}

async function choose() {
  const one = await chooseCharacter();
  if (!one) return;
  show(one);
  const { prompt } = parts;
  if (!prompt.value.toLowerCase().includes(one.name.toLowerCase())) prompt.write(`${prompt.value.trimEnd()} ${one.name} `.trimStart());
  prompt.focus();
}

/** Somebody whom the video is to show; pressed, they are left out again. */
function show(one) {
  if (characters().some((other) => other.id === one.id)) return;
  const leave = () => {
    item.remove();
    verb();
    parts.person.focus();
  };
  const label = t("leave-out", { name: one.name });
  const chip = el("button", { type: "button", title: label, "aria-label": label, onclick: leave }, icon("character"), el("span", { dir: "auto" }, one.name), icon("close"));
  const item = el("li", {}, chip);
  item.character = one;
  parts.cast.append(item);
  verb();
}

const characters = () => [...parts.cast.children].map((item) => item.character);

function task() {
  const pictures = parts.pictures.read();
  if (!pictures.length) return "generate";
  return pictures.length === 1 && pictures[0][0] === 0 ? "animate" : "fill";
}

function verb() {
  const name = task();
  const hasCast = characters().length > 0;
  parts.cast.hidden = !hasCast;
  parts.person.hidden = !can("storyboard", parts.models?.value);
  parts.person.disabled = characters().length >= MOST_CHARACTERS;
  parts.submit.querySelector("span").textContent = t(name);
  parts.submit.disabled = !can(hasCast ? "storyboard" : name, parts.models?.value);
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
    pictures: parts.pictures.read(),
    characters: characters(),
    ...parts.fine.read(),
  };
}

async function send() {
  if (parts.submit.disabled) return;
  if (!parts.prompt.value.trim() && (task() === "generate" || characters().length)) {
    tell(t("say-what"));
    parts.prompt.focus();
    return;
  }
  if (task() === "fill" && characters().length) {
    tell(t("not-together"));
    return;
  }
  parts.submit.disabled = true;
  location.hash = "#/";
  try {
    if (!(await sent())) return;
    const { variations, seed, ...settings } = all();
    for (let index = 0; index < Number(variations); index += 1) {
      jobs.add(await make({ ...settings, seed: seed === undefined ? undefined : seed + index }));
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

/** In khayal's words, or, where there are characters, in those of the Videos API, which knows them. */
function make({ pictures, characters: cast, ...settings }) {
  const [, first] = pictures[0] ?? [];
  if (!cast.length) {
    const own = { animate: { image: first }, fill: { keyframes: pictures } }[task()];
    return api.make(task(), given({ ...settings, ...own }));
  }
  const card = model(settings.model);
  return api.create(given({
    prompt: settings.prompt,
    model: settings.model,
    size: (settings.size ?? card.size).join("x"),
    seconds: String(settings.seconds ?? card.seconds),
    seed: settings.seed,
    num_inference_steps: settings.steps,
    guidance_scale: settings.guidance,
    negative_prompt: settings.negative,
    input_reference: first && { file_id: first.id },
    characters: cast.map(({ id }) => ({ id })),
  }));
}
