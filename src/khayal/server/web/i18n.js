// Two languages, one page: texts by name, numbers and times as the language writes them.

import { ar } from "./words-ar.js";
import { en } from "./words-en.js";

const KEPT = "khayal-language";
const WORDS = { en, ar };
const changed = new EventTarget();

/** "en" or "ar". */
export const language = () => document.documentElement.lang;

/** A text; {name} stands for a value. */
export function t(name, values = {}) {
  const text = WORDS[language()][name] ?? WORDS.en[name] ?? name;
  return text.replace(/\{(\w+)\}/g, (whole, key) => (key in values ? values[key] : whole));
}

export const number = (value, digits = 2) =>
  new Intl.NumberFormat(language(), { maximumFractionDigits: digits }).format(value);

/** A whole number that is not for counting: a side in pixels. */
export const plain = (value) => new Intl.NumberFormat(language(), { useGrouping: false }).format(value);

export const seconds = (value) =>
  new Intl.NumberFormat(language(), {
    style: "unit", unit: "second", unitDisplay: "short", maximumFractionDigits: 2,
  }).format(value);

export const percent = (value) => new Intl.NumberFormat(language(), { style: "percent" }).format(value / 100);

export const when = (time) =>
  new Intl.DateTimeFormat(language(), { dateStyle: "medium", timeStyle: "short" }).format(new Date(time * 1000));

/** Speak the other language from now on. */
export function speak(name) {
  const root = document.documentElement;
  root.lang = name;
  root.dir = name === "ar" ? "rtl" : "ltr";
  localStorage.setItem(KEPT, name);
  translate(document);
  changed.dispatchEvent(new Event("changed"));
}

/** Call `listener` when the language has changed: what was written by scripts is written anew. */
export const onLanguage = (listener) => changed.addEventListener("changed", listener);

/** Put the texts into the elements that name them. */
export function translate(root) {
  for (const one of root.querySelectorAll("[data-t]")) one.textContent = t(one.dataset.t);
  for (const one of root.querySelectorAll("[data-label]")) one.setAttribute("aria-label", t(one.dataset.label));
  for (const one of root.querySelectorAll("[data-placeholder]")) one.placeholder = t(one.dataset.placeholder);
}
