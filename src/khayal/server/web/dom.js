// Elements are made here and nowhere from text, so that what a user wrote can never become markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `on*` are listeners, `data*` go into the dataset, true and false are bare attributes. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  set(made, attributes);
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** Change attributes of an element. */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "muted") element[name] = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value === false || value === null || value === undefined) element.removeAttribute(name);
    else element.setAttribute(name, String(value));
  }
  return element;
}

/** The element with an id. */
export const byId = (id) => document.getElementById(id);

const PATHS = {
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 2-2 5 5M15.5 9.5h.01",
  sliders: "M4 8h9m5 0h2M4 16h3m5 0h8M13 6v4h5V6zM7 14v4h5v-4z",
  sun: "M12 8a4 4 0 100 8 4 4 0 000-8zM12 2v2m0 16v2M2 12h2m16 0h2M5 5l1.5 1.5m11 11L19 19M5 19l1.5-1.5m11-11L19 5",
  moon: "M20 14.5A8.5 8.5 0 119.5 4 7 7 0 0020 14.5z",
  key: "M14.5 3.5a6 6 0 11-4.3 10.2L3 21v-3l1.5-1.5M15.5 8.5h.01M10.2 13.8L8 16l2 2",
  download: "M12 4v11m-5-5l5 5 5-5M5 20h14",
  again: "M4 12a8 8 0 0114-5.3L20 9m0-5v5h-5M20 12a8 8 0 01-14 5.3L4 15m0 5v-5h5",
  trash: "M5 7h14M9 7V4h6v3m-8 0l1 13h8l1-13",
  stop: "M7 7h10v10H7z",
  send: "M12 19V5m-6 6l6-6 6 6",
  extend: "M3 6h9v12H3zM16 12h5m-2.5-2.5L21 12l-2.5 2.5",
  fill: "M3 6h5v12H3zM16 6h5v12h-5zM10 9h4m-4 3h4m-4 3h4",
  character: "M12 4a4 4 0 100 8 4 4 0 000-8zM4.5 20a7.5 7.5 0 0115 0",
  loop: "M17 4l3 3-3 3M4 11V9a2 2 0 012-2h14M7 20l-3-3 3-3m13-1v2a2 2 0 01-2 2H4",
  connect: "M3 7h6v10H3zM15 7h6v10h-6zM9 12h6",
  remix: "M5 19L16 8m-2-2l4 4M17 3v3m-1.5-1.5h3M6 5v4M4 7h4M18 15v4m-2-2h4",
  back: "M14 6l-6 6 6 6",
  forth: "M10 6l6 6-6 6",
  info: "M12 3a9 9 0 100 18 9 9 0 000-18zM12 11v5M12 8h.01",
  film: "M4 5h16v14H4zM8 5v14M16 5v14M4 9h4m8 0h4M4 15h4m8 0h4",
};

/** One of the icons; it says nothing to screen readers. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  set(svg, { viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" });
  return svg;
}

/** A button with a text, an icon, or both; a button of an icon alone needs a label. */
export function button({ text, label, image, kind = "", type = "button", ...rest }) {
  const made = el("button", { type, class: kind || null, "aria-label": label, title: label, ...rest });
  if (image) made.append(icon(image));
  if (text) made.append(el("span", {}, text));
  return made;
}

let numbers = 0;

/** A label with its control; `hint` is read with it. */
export function field(label, control, { kind = "field", hint } = {}) {
  control.id ||= `control-${++numbers}`;
  const parts = [el("label", { for: control.id }, label), control];
  if (hint) {
    const told = el("small", { id: `${control.id}-hint` }, hint);
    control.setAttribute("aria-describedby", told.id);
    parts.push(told);
  }
  return el("div", { class: kind }, parts);
}

/** A list to choose from; options are [value, text]. */
export function choice(options, value, attributes = {}) {
  const made = el("select", attributes, options.map(([key, text]) => el("option", { value: key }, text)));
  made.value = value;
  return made;
}

/** The direction of what somebody wrote; the name of one of the cast, in braces, says nothing of it. */
export const direction = (text) => (/^\P{L}*\p{Script=Arabic}/u.test(text.replaceAll(/\{[^}]*\}/g, "")) ? "rtl" : "auto");

/** A text area that grows with its text. */
export function growing(attributes) {
  const made = el("textarea", { rows: 1, dir: "auto", ...attributes });
  const grow = () => {
    made.dir = direction(made.value);
    if (!made.isConnected) return;
    made.style.blockSize = "auto";
    made.style.blockSize = `${Math.min(made.scrollHeight + 2, 220)}px`;
  };
  made.addEventListener("input", grow);
  made.write = (text) => {
    made.value = text;
    grow();
  };
  return made;
}
