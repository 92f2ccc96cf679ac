// Pictures that the user gives: chosen, dropped or pasted. The server keeps them, and the page names them by their ids.

import * as api from "./api.js";
import { button, el } from "./dom.js";
import { t } from "./i18n.js";
import { complain, tell } from "./notices.js";

const MOST_BYTES = 24 << 20;
const onTheirWay = new Set();

/** Wait until every picture is with the server; false where one could not be sent. */
export const sent = async () => (await Promise.all(onTheirWay)).every(Boolean);

/** A picture that the server keeps under an id, or that is on its way there. In JSON it is what the API takes. */
class Picture {
  constructor(id, file = null) {
    this.id = id;
    this.local = file && URL.createObjectURL(file);
    this.arrives = file ? this.#send(file) : Promise.resolve(true);
  }

  async #send(file) {
    const way = api.upload(file).then((id) => { this.id = id; return true; }, (error) => { complain(error); return false; });
    onTheirWay.add(way);
    return way.finally(() => onTheirWay.delete(way));
  }

  toJSON() {
    return this.id ? { id: this.id } : undefined;
  }
}

/** Choose files in the browser's own way; `take` is given each. */
export function chooser({ label, take, ...rest }) {
  const input = el("input", { type: "file", accept: "image/*", class: "hidden", tabindex: -1, "aria-hidden": "true", ...rest });
  const open = button({ label, image: "image", kind: "icon quiet", onclick: () => input.click() });
  input.addEventListener("change", () => {
    [...input.files].forEach(take);
    input.value = ""; // the same may be chosen again
  });
  return { input, open };
}

/**
 * A place for one `picture`, with `show(picture)`, `clear()` and `take(file)`; a label adds a button to choose it.
 * What is shown may be a picture of another place, or `{id}`.
 */
export function still({ label, onchange = () => {} }) {
  const { input = null, open = null } = label ? chooser({ label, take: (file) => box.take(file) }) : {};
  const image = el("img", { alt: t("your-picture") });
  const drop = button({ label: t("remove-picture"), image: "close", kind: "icon over", onclick: () => { box.clear(); open?.focus(); } });
  const chosen = el("div", { class: "chosen", hidden: true }, image, drop);
  const box = el("div", { class: "still" }, [input, open, chosen]);
  const see = (url) => {
    if (url) image.src = url;
    else image.removeAttribute("src");
    chosen.hidden = !url;
    if (open) open.hidden = Boolean(url);
  };
  const gone = () => {
    if (box.picture?.local) complain({ message: t("no-picture") });
    else tell(t("picture-again"));
    box.clear();
  };
  image.onerror = gone;
  box.picture = null;
  box.clear = () => {
    box.picture = null;
    see(null);
    onchange();
  };
  box.show = async (given) => {
    const picture = given instanceof Picture ? given : new Picture(given.id);
    box.picture = picture;
    onchange();
    const url = picture.local ?? (await api.pictureOf(picture.id).catch(gone));
    if (box.picture !== picture) return;
    see(url);
    box.setAttribute("aria-busy", "true");
    const isThere = await picture.arrives;
    box.removeAttribute("aria-busy");
    if (box.picture !== picture) return;
    if (isThere) onchange();
    else box.clear();
  };
  box.take = (file) => {
    const isPicture = file.type.startsWith("image/");
    if (isPicture && file.size <= MOST_BYTES) return box.show(new Picture(null, file));
    complain({ message: t(isPicture ? "too-large" : "no-picture") });
    return box.clear();
  };
  return box;
}

/** Let pictures be dropped on, and pasted into, an element. */
export function acceptStills(element, take) {
  element.addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.items].some((item) => item.kind === "file")) return;
    event.preventDefault();
    element.classList.add("dropping");
  });
  for (const name of ["dragleave", "drop"]) element.addEventListener(name, () => element.classList.remove("dropping"));
  element.addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    [...event.dataTransfer.files].forEach(take);
  });
  element.addEventListener("paste", (event) => [...event.clipboardData.files].forEach(take));
}
