// Pictures at their times: one at the beginning comes alive; through several the video finds its way.

import { el, field } from "./dom.js";
import { number, t } from "./i18n.js";
import { numeric, read } from "./settings.js";
import { chooser, still } from "./stills.js";

const MOST_PICTURES = 12;

/**
 * A list of pictures, with `take(file)`, `write(pairs)` and `read()`, [second, picture] of each.
 * `length()` tells how long the video lasts; `add` holds the button with which files are chosen, for `ontake(file)`.
 */
export function keyframes({ length, ontake, onchange }) {
  const list = el("ul", {});
  const says = el("p", { class: "says" });
  const box = el("div", { class: "keyframes" }, list, says);
  const { input, open } = chooser({ label: t("add-picture"), take: ontake, multiple: true });

  function place(second) {
    const picture = still({ onchange: () => picture.picture || leave() });
    const at = numeric({ min: 0, step: "any", value: second, oninput: arrange });
    const item = el("li", {}, picture, field(t("at-second"), at, { kind: "at" }));
    const leave = () => {
      item.remove();
      arrange();
      open.focus();
    };
    item.at = at;
    item.still = picture;
    list.append(item);
    arrange();
    return picture;
  }

  function arrange() {
    const items = [...list.children];
    items.forEach((item, index) => item.at.setAttribute("aria-label", t("picture-at", { number: number(index + 1) })));
    box.hidden = !items.length;
    says.textContent = t(items.length > 1 || read(items[0]?.at ?? el("input")) ? "pictures-say" : "picture-says");
    const label = t(items.length ? "another-picture" : "add-picture");
    open.setAttribute("aria-label", label);
    open.title = label;
    open.disabled = items.length >= MOST_PICTURES;
    onchange();
  }

  /** The beginning, the end, then the middle of what is widest. */
  function nextSecond() {
    const taken = box.read().map(([second]) => second).sort((one, other) => one - other);
    if (!taken.includes(0)) return 0;
    if (!taken.some((second) => second >= length())) return length();
    const gaps = taken.slice(1).map((second, index) => [second - taken[index], (second + taken[index]) / 2]);
    return Math.round(gaps.reduce((one, other) => (other[0] > one[0] ? other : one))[1] * 100) / 100;
  }

  box.add = el("div", { class: "still" }, input, open);
  box.take = (file) => list.children.length < MOST_PICTURES && place(nextSecond()).take(file);
  box.write = (pairs) => {
    list.replaceChildren();
    for (const [second, picture] of pairs) place(second).show(picture);
    arrange();
  };
  box.read = () => [...list.children].map((item) => [read(item.at) ?? 0, item.still.picture]);
  return box;
}
