// One of the cast: a name that shots say in braces, and what stands for it.

import * as api from "./api.js";
import { face } from "./characters.js";
import { button, el, field } from "./dom.js";
import { t } from "./i18n.js";
import { still } from "./stills.js";

/** A row with `read()`. One who comes from a clip is shown by it, else by a picture or by words alone. */
export function castRow(one, onchange) {
  const name = el("input", { type: "text", value: one.name ?? "", maxlength: 40, autocomplete: "off", dir: "auto" });
  const description = el("input", { type: "text", value: one.description ?? "", maxlength: 2000, autocomplete: "off", dir: "auto" });
  const picture = one.clip ? clipOf(one.clip.id) : still({ label: t("cast-picture"), onchange });
  if (one.image) picture.show(one.image);
  const drop = button({ label: t("remove-cast"), image: "trash", kind: "icon quiet", onclick: () => { row.remove(); onchange(); } });
  const row = el("li", {}, field(t("name"), name), field(t("looks"), description, { kind: "field wide" }), picture, drop);
  row.read = () => ({
    name: name.value.trim(),
    description: description.value.trim(),
    image: picture.picture ?? undefined,
    clip: one.clip,
  });
  return row;
}

/** A character of the library as one of the cast: shots call them by one word. */
export const asCast = ({ id, name }) => ({
  name: name.replaceAll(/[^\p{L}\p{M}\p{N}_]+/gu, "_").replaceAll(/^[\d_]+|_+$/g, "") || "somebody",
  description: name,
  clip: { id },
});

/** What a character, or a video, looks like. */
function clipOf(id) {
  if (id.startsWith("char_")) return el("div", { class: "still", role: "img", "aria-label": t("cast-video") }, face(id));
  const image = el("img", { alt: t("cast-video") });
  api.content(id, "thumbnail").then((url) => (image.src = url), () => {});
  return el("div", { class: "still" }, el("a", { href: `#/${id}` }, image));
}
