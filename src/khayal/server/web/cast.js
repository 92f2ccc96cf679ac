// One of the cast: a name that shots say in braces, and what stands for it.

import { button, el, field } from "./dom.js";
import { t } from "./i18n.js";
import { still } from "./stills.js";

/** A row with `read()`. */
export function castRow(one, onchange) {
  const name = el("input", { type: "text", value: one.name ?? "", maxlength: 40, autocomplete: "off", dir: "auto" });
  const description = el("input", { type: "text", value: one.description ?? "", maxlength: 2000, autocomplete: "off", dir: "auto" });
  const picture = still({ label: t("cast-picture") });
  const drop = button({ label: t("remove-cast"), image: "trash", kind: "icon quiet", onclick: () => { row.remove(); onchange(); } });
  const row = el("li", {}, field(t("name"), name), field(t("looks"), description, { kind: "field wide" }), picture, drop);
  row.read = () => ({ name: name.value.trim(), description: description.value.trim(), image: picture.url ?? undefined });
  return row;
}
