// Pictures that the user gives: chosen, dropped or pasted.

import { button, el } from "./dom.js";
import { t } from "./i18n.js";
import { complain } from "./notices.js";

const MOST_BYTES = 24 << 20;

/** A file as a data: URL, which the API takes in place of an upload. */
function asUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error(t("unreadable")));
    reader.readAsDataURL(file);
  });
}

/** A place for one picture, with `url`, `show(url)`, `clear()` and `take(file)`. */
export function still({ label, onchange = () => {} }) {
  const input = el("input", { type: "file", accept: "image/*", class: "hidden", tabindex: -1, "aria-hidden": "true" });
  const open = button({ label, image: "image", kind: "icon quiet", onclick: () => input.click() });
  const image = el("img", { alt: t("your-picture") });
  const drop = button({ label: t("remove-picture"), image: "close", kind: "icon over", onclick: () => box.clear() });
  const chosen = el("div", { class: "chosen", hidden: true }, image, drop);
  const box = el("div", { class: "still" }, input, open, chosen);
  const show = (url) => {
    box.url = url;
    image.src = url ?? "";
    if (!url) image.removeAttribute("src");
    chosen.hidden = !url;
    open.hidden = Boolean(url);
    onchange(url);
  };
  box.url = null;
  box.show = show;
  box.clear = () => {
    input.value = "";
    show(null);
    open.focus();
  };
  box.take = async (file) => {
    try {
      if (!file.type.startsWith("image/")) throw new Error(t("no-picture"));
      if (file.size > MOST_BYTES) throw new Error(t("too-large"));
      show(await asUrl(file));
    } catch (error) {
      complain(error);
    }
  };
  input.addEventListener("change", () => input.files[0] && box.take(input.files[0]));
  return box;
}

/** Let pictures be dropped on, and pasted into, an element. */
export function acceptStills(element, box) {
  element.addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.items].some((item) => item.kind === "file")) return;
    event.preventDefault();
    element.classList.add("dropping");
  });
  for (const name of ["dragleave", "drop"]) element.addEventListener(name, () => element.classList.remove("dropping"));
  element.addEventListener("drop", (event) => {
    const [file] = event.dataTransfer.files;
    if (!file) return;
    event.preventDefault();
    box.take(file);
  });
  element.addEventListener("paste", (event) => {
    const [file] = event.clipboardData.files;
    if (file) box.take(file);
  });
}
