// Pictures that the user gives: chosen, dropped or pasted. The server keeps them, and the page names them by their ids.

import * as api from "./api.js";
import { button, el } from "./dom.js";
import { t } from "./i18n.js";
import { complain, tell } from "./notices.js";

const MOST_BYTES = 24 << 20;
const onTheirWay = new Set();

/** Wait until every picture is with the server; false where one could not be sent. */
export const sent = async () => (await Promise.all(onTheirWay)).every(Boolean);

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

/** A place for one picture, with its `fileId`, `show(id)`, `clear()` and `take(file)`; a label adds a button to choose it. */
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
  box.fileId = null;
  box.clear = () => {
    box.fileId = null;
    see(null);
    onchange();
  };
  box.show = async (id) => {
    box.fileId = id;
    image.onerror = () => { box.clear(); tell(t("picture-again")); };
    const url = await api.pictureOf(id).catch(image.onerror);
    if (url && box.fileId === id) see(url);
  };
  box.take = (file) => {
    const way = send(file);
    onTheirWay.add(way);
    return way.finally(() => onTheirWay.delete(way));
  };

  async function send(file) {
    try {
      if (!file.type.startsWith("image/")) throw new Error(t("no-picture"));
      if (file.size > MOST_BYTES) throw new Error(t("too-large"));
      image.onerror = null;
      const url = URL.createObjectURL(file);
      image.onload = () => URL.revokeObjectURL(url);
      see(url);
      box.setAttribute("aria-busy", "true");
      box.fileId = await api.upload(file);
      onchange();
      return true;
    } catch (error) {
      box.clear();
      complain(error);
      return false;
    } finally {
      box.removeAttribute("aria-busy");
    }
  }

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
