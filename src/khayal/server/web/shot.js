// A card of the storyboard.

import { button, el, field, growing } from "./dom.js";
import { number, seconds as told, t } from "./i18n.js";
import { numeric, read } from "./settings.js";
import { still } from "./stills.js";

let dragged = null;

/** A card with `read()`, `seconds()`, `place(index, count, from, to)` and `focusPrompt()`. */
export function shotCard(shot, own, { onchange, onmove }) {
  const prompt = growing({ maxlength: 8000, rows: 3, placeholder: t("shot-hint") });
  prompt.write(shot.prompt ?? "");
  const length = numeric({ min: 0.1, step: "any", value: shot.seconds ?? own });
  const goesOn = el("input", { type: "checkbox", checked: shot.is_cut === false, onchange });
  const picture = still({ label: t("first-picture"), onchange });
  const head = el("h2", {});
  const time = el("span", { class: "time" });
  const earlier = button({ label: t("earlier"), image: "back", kind: "icon quiet flips", onclick: () => onmove(card, -1) });
  const later = button({ label: t("later"), image: "forth", kind: "icon quiet flips", onclick: () => onmove(card, 1) });
  const drop = button({ label: t("remove-shot"), image: "trash", kind: "icon quiet", onclick: () => remove() });
  const cut = el("label", { class: "check" }, goesOn, t("goes-on"));
  const card = el("li", { class: "shot-card", draggable: "false" },
    el("header", { draggable: "true" }, head, time, el("span", { class: "moves" }, earlier, later, drop)),
    field(t("prompt"), prompt),
    el("div", { class: "pair" }, field(t("length"), length), el("div", { class: "field" }, el("span", { class: "label" }, t("first-picture")), picture)),
    cut,
  );

  function remove() {
    const next = card.nextElementSibling ?? card.previousElementSibling;
    card.remove();
    onchange();
    next?.focusPrompt();
  }

  card.read = () => ({
    prompt: prompt.value,
    seconds: read(length) === own ? undefined : read(length), // it may be another model's, another day
    image: goesOn.checked ? undefined : picture.picture ?? undefined,
    is_cut: goesOn.checked && !goesOn.disabled ? false : undefined,
  });
  card.seconds = () => read(length) ?? own;
  card.focusPrompt = () => prompt.focus();
  card.focusMove = (by) => (by < 0 ? [earlier, later] : [later, earlier]).find((one) => !one.disabled)?.focus();
  card.place = (index, count, from, to) => {
    head.textContent = t("shot", { number: number(index + 1) });
    time.textContent = `${told(from)} – ${told(to)}`;
    prompt.setAttribute("aria-label", `${head.textContent}: ${t("prompt")}`);
    earlier.disabled = index === 0;
    later.disabled = index === count - 1;
    drop.disabled = count === 1;
    goesOn.disabled = index === 0;
    if (index === 0) goesOn.checked = false;
    cut.hidden = index === 0;
  };
  if (shot.image) picture.show(shot.image);
  drag(card, onchange);
  return card;
}

function drag(card, onchange) {
  card.addEventListener("dragstart", (event) => {
    dragged = card;
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setDragImage(card, 20, 20);
    card.classList.add("dragged");
  });
  card.addEventListener("dragend", () => {
    dragged = null;
    card.classList.remove("dragged");
    onchange();
  });
  card.addEventListener("dragover", (event) => {
    if (!dragged || dragged === card) return;
    event.preventDefault();
    const box = card.getBoundingClientRect();
    const isFirstHalf = event.clientX < box.left + box.width / 2;
    const isBefore = isFirstHalf !== (document.documentElement.dir === "rtl");
    if (isBefore) card.before(dragged);
    else card.after(dragged);
  });
}
