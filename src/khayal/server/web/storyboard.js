// The storyboard: shots as cards on a timeline, and the cast that they share.

import * as api from "./api.js";
import { asCast, castRow } from "./cast.js";
import { chooseCharacter } from "./characters.js";
import { button, byId, direction, el, field, growing } from "./dom.js";
import { number, onLanguage, seconds as told, t } from "./i18n.js";
import { jobs } from "./jobs.js";
import { can, model } from "./models.js";
import { complain, say } from "./notices.js";
import { chooseSize, chosenSize, finer, given, modelChoice, sizeChoice } from "./settings.js";
import { shotCard } from "./shot.js";
import { sent } from "./stills.js";

const KEPT = "khayal-board";
const MOST_SHOTS = 24;

let board = null;

/** Draw the editor with what was written last. */
export function startStoryboard() {
  draw(kept());
  onLanguage(() => draw(read()));
}

/** Put the settings of a storyboard into the editor. */
export function useStoryboard(settings) {
  draw({ ...settings, shots: settings.shots ?? [], cast: settings.cast ?? [] });
  keep();
}

/** Draw it anew when the models are known. */
export const drawStoryboard = () => draw(read());

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? {};
  } catch {
    return {};
  }
}

const keep = () => localStorage.setItem(KEPT, JSON.stringify(read()));

function draw(settings) {
  const own = model()?.seconds ?? 4;
  const given = settings.shots?.length ? settings.shots : [{ prompt: "" }, { prompt: "" }];
  const list = el("ol", { class: "shots" });
  const cast = el("ul", { class: "cast" });
  const ruler = el("ol", { class: "ruler", "aria-label": t("ruler") });
  const everywhere = growing({ maxlength: 4000 });
  everywhere.value = settings.prompt ?? "";
  const models = modelChoice(() => {});
  const size = sizeChoice();
  if (settings.size) chooseSize(size, settings.size);
  if (models && settings.model) models.value = settings.model;
  const fine = finer();
  fine.write(settings);
  const total = el("output", { class: "total" });
  const add = button({ text: t("add-shot"), image: "plus", kind: "add", onclick: () => insert({ prompt: "" }, true) });
  const submit = button({ text: t("storyboard-make"), image: "film", kind: "primary", type: "submit" });
  const wrong = el("p", { class: "wrong", role: "alert", hidden: true });
  board = { list, cast, ruler, everywhere, models, size, fine, total, add, submit, wrong, own };
  const insert = (shot, takesFocus) => {
    const made = shotCard(shot, own, { onchange: arrange, onmove: move });
    list.append(made);
    arrange();
    if (takesFocus) made.focusPrompt();
  };
  const choose = async () => {
    const one = await chooseCharacter();
    if (one) person(asCast(one), true);
  };
  const form = el("form", { novalidate: true, oninput: arrange, onsubmit: send },
    el("header", { class: "board-head" },
      el("div", {}, el("h1", { id: "storyboard-title" }, t("storyboard")), el("p", {}, t("storyboard-says"))),
      total,
    ),
    ruler,
    el("div", { class: "lane" }, list, add),
    el("div", { class: "board-foot" },
      el("fieldset", {},
        el("legend", {}, t("cast")),
        el("p", { class: "says" }, t("cast-says")),
        cast,
        el("div", { class: "row" },
          button({ text: t("add-cast"), image: "plus", kind: "quiet", onclick: () => person({}, true) }),
          button({ text: t("add-character"), image: "character", kind: "quiet", onclick: choose }),
        ),
      ),
      el("fieldset", {},
        el("legend", {}, t("whole")),
        field(t("everywhere"), everywhere),
        el("div", { class: "pair" }, models ? field(t("model"), models) : null, field(t("size"), size)),
        el("details", {}, el("summary", {}, t("finer")), fine.fields),
      ),
    ),
    el("div", { class: "row end" }, wrong, submit),
  );
  const person = (one, takesFocus) => {
    const row = castRow(one, arrange);
    cast.append(row);
    if (takesFocus) row.querySelector("input").focus();
    arrange();
  };
  byId("storyboard").replaceChildren(form);
  (settings.cast ?? []).forEach((one) => person(one, false));
  given.forEach((shot) => insert(shot, false));
  submit.disabled = !can("storyboard", models?.value);
}

const cards = () => [...board.list.children];

function move(card, by) {
  const all = cards();
  const other = all[all.indexOf(card) + by];
  if (!other) return;
  if (by < 0) other.before(card);
  else other.after(card);
  arrange();
  card.focusMove(by);
}

/** Times, numbers and the ruler, from the cards. */
function arrange() {
  const all = cards();
  let at = 0;
  board.ruler.replaceChildren();
  all.forEach((card, index) => {
    const length = card.seconds();
    card.place(index, all.length, at, at + length);
    const mark = el("li", {},
      el("button", { type: "button", "aria-label": t("go-to-shot", { number: number(index + 1) }), onclick: () => card.focusPrompt() },
        el("strong", {}, number(index + 1)), el("span", { dir: direction(card.read().prompt) }, card.read().prompt)),
      el("small", {}, told(at)));
    mark.style.flexGrow = String(Math.max(0.2, length));
    mark.classList.toggle("goes-on", card.read().is_cut === false);
    board.ruler.append(mark);
    at += length;
  });
  board.total.textContent = t("total", { seconds: told(at) });
  board.add.hidden = all.length >= MOST_SHOTS;
  keep();
}

function read() {
  return {
    prompt: board.everywhere.value.trim(),
    shots: cards().map((card) => card.read()),
    cast: [...board.cast.children].map((row) => row.read()),
    size: chosenSize(board.size),
    model: board.models?.value,
    ...board.fine.read(),
  };
}

async function send(event) {
  event.preventDefault();
  if (!(await sent())) return;
  const { shots, cast, ...rest } = read();
  const people = cast.filter((one) => one.name || one.description || one.clip).map(given);
  const empty = shots.findIndex((shot) => !shot.prompt.trim());
  board.wrong.hidden = true;
  if (empty >= 0) {
    complainHere(t("empty-shot", { number: empty + 1 }));
    cards()[empty].focusPrompt();
    return;
  }
  board.submit.disabled = true;
  try {
    const made = await api.make("storyboard", given({ ...rest, prompt: rest.prompt || undefined, shots: shots.map(given), cast: people.length ? people : undefined }));
    jobs.add(made);
    say(t("is-begun"));
    location.hash = "#/";
  } catch (error) {
    complainHere(error.message);
    if (error.status === 0) complain(error);
  } finally {
    board.submit.disabled = false;
  }
}

function complainHere(sentence) {
  board.wrong.textContent = sentence;
  board.wrong.hidden = false;
}
