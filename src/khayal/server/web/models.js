// What the server's models can do; one that is still being opened has no name yet.

import * as api from "./api.js";
import { plain, t } from "./i18n.js";

const STANDARD = [[1280, 720], [720, 1280], [1024, 1024], [1920, 1080], [1080, 1920]];

let cards = [];

export async function readModels() {
  cards = await api.models();
  return cards;
}

/** Models that are open. */
export const ready = () => cards.filter((card) => card.name);

/** Why no model can be opened, or "". */
export const problem = () => (ready().length ? "" : cards.map((card) => card.problem).find(Boolean) ?? "");

/** A model by its name; the default one else. */
export const model = (name) => ready().find((card) => card.id === name) ?? ready()[0];

export const can = (task, name) => !model(name) || model(name).tasks.includes(task);

/** [value, text] of the sizes to choose from, the model's own first. */
export function sizes(name) {
  const own = model(name)?.size;
  const found = new Map();
  const add = ([width, height], text) => {
    const value = `${width}x${height}`;
    if (!found.has(value)) found.set(value, text ?? `${times(width, height)} · ${shape(width, height)}`);
  };
  if (own) {
    add(own, `${times(...own)} · ${t("own-size")}`);
    if (own[0] !== own[1]) add([own[1], own[0]]);
  }
  STANDARD.forEach((size) => add(size));
  return [...found];
}

/** 1280×720, in the digits of the language; width comes first where words run from right to left, too. */
export function times(width, height) {
  const text = [width, height].map(plain).join("×");
  return document.documentElement.dir === "rtl" ? `\u2066${text}\u2069` : text;
}

const shape = (width, height) => t(width === height ? "square" : width > height ? "wide" : "tall");

/** [width, height] of a value such as 1280x720. */
export const pair = (value) => value.split("x").map(Number);
