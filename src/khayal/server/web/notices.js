// What the page tells: short sentences that go away, and errors, in the words of the API.

import { button, byId, el } from "./dom.js";
import { t } from "./i18n.js";

const STAY_MS = 6000;
const HEARD_MS = 100; // a screen reader has to know a live region before something appears in it
const toasts = byId("toasts");
const said = byId("said");

/** A modal dialog hides what is outside of it from eyes, clicks and screen readers: notices move into it, and out again. */
function surface() {
  const top = [...document.querySelectorAll("dialog:modal")].at(-1) ?? document.body;
  if (toasts.parentNode === top) return 0;
  top.append(toasts, said);
  return HEARD_MS;
}
document.addEventListener("close", surface, true); // before the dialog is emptied

/** A short sentence, read aloud by screen readers. */
export function tell(sentence) {
  add(sentence, "toast", "auto");
}

/** The same for those who do not see what happened anyway. */
export function say(sentence) {
  setTimeout(() => (said.textContent = sentence), surface());
}

/** What went wrong, in one sentence. */
export function complain(error) {
  add(error.message || String(error), "toast wrong", error.status ? "en" : "auto");
}

function add(sentence, kind, language) {
  const toast = el("p", { class: kind }, el("span", { dir: "auto", lang: language === "en" ? "en" : null }, sentence));
  const close = button({ label: t("close"), image: "close", kind: "quiet icon", onclick: () => toast.remove() });
  toast.append(close);
  setTimeout(() => toasts.append(toast), surface());
  const wait = () => (toast.matches(":hover, :focus-within") ? setTimeout(wait, 1000) : toast.remove());
  setTimeout(wait, Math.max(STAY_MS, sentence.length * 90));
  while (toasts.children.length > 2) toasts.firstChild.remove();
}

/** Ask before something is done that cannot be undone; true where it is meant. */
export function confirmed(question, deed) {
  const dialog = byId("confirm");
  return new Promise((resolve) => {
    const yes = button({ text: deed, kind: "danger", onclick: () => dialog.close("yes") });
    const no = button({ text: t("keep"), onclick: () => dialog.close("no"), autofocus: true });
    dialog.replaceChildren(
      el("h2", { id: "confirm-title" }, question),
      el("div", { class: "row end" }, no, yes),
    );
    dialog.returnValue = "no";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
  });
}
