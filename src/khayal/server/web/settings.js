// The controls that every task shares.

import { choice, el, field } from "./dom.js";
import { number, t } from "./i18n.js";
import { model, pair, ready, sizes, times } from "./models.js";

/** A number, or nothing. */
export const numeric = (attributes) => el("input", { type: "number", inputmode: "decimal", autocomplete: "off", ...attributes });

/** What a number field holds; undefined where it is empty. */
export const read = (input) => (input.value.trim() === "" ? undefined : Number(input.value));

/** The controls that few people change: seed, steps, guidance, what to keep away from. */
export function finer({ withSeed = true } = {}) {
  const seed = numeric({ min: 0, step: 1, placeholder: t("any"), inputmode: "numeric" });
  const steps = numeric({ min: 1, max: 1000, step: 1, inputmode: "numeric" });
  const guidance = numeric({ min: 0, max: 100, step: 0.5 });
  const negative = el("input", { type: "text", dir: "auto", autocomplete: "off" });
  const fields = el("div", { class: "finer" },
    withSeed ? field(t("seed"), seed) : null,
    field(t("steps"), steps),
    field(t("guidance"), guidance),
    field(t("negative"), negative, { kind: "field wide" }),
  );
  const fit = (name) => {
    const card = model(name);
    if (!card) return;
    steps.placeholder = number(card.steps);
    guidance.placeholder = number(card.guidance[0]);
  };
  fit();
  return {
    fields,
    fit,
    seed,
    read: () => ({
      seed: read(seed),
      steps: read(steps),
      guidance: read(guidance),
      negative: negative.value.trim() || undefined,
    }),
    write: (given) => {
      seed.value = given.seed ?? "";
      steps.value = given.steps ?? "";
      guidance.value = Array.isArray(given.guidance) ? given.guidance[0] : given.guidance ?? "";
      negative.value = given.negative ?? "";
    },
  };
}

/** A list of sizes. */
export function sizeChoice(name, attributes = {}) {
  const options = sizes(name);
  return choice(options, options[0][0], attributes);
}

/** Choose a size, which need not be one of those offered. */
export function chooseSize(select, [width, height]) {
  const value = `${width}x${height}`;
  if (![...select.options].some((option) => option.value === value)) {
    select.append(el("option", { value }, times(width, height)));
  }
  select.value = value;
}

/** What was chosen; undefined for the first, the model's own, whichever model that will be. */
export const chosenSize = (select) => (select.selectedIndex > 0 ? pair(select.value) : undefined);

/** A list of models; null where there is one only. */
export function modelChoice(onchange) {
  const known = ready();
  return known.length > 1 ? choice(known.map((card) => [card.id, card.name]), known[0].id, { onchange }) : null;
}

/** The same fields without those that nobody gave. */
export const given = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
