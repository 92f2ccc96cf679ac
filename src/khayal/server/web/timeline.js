// A span of a video, chosen on a strip of its frames. Time runs as the player shows it, left to right.

import * as api from "./api.js";
import { el } from "./dom.js";
import { seconds, t } from "./i18n.js";

const SHEET = { columns: 4, count: 16, gap: 4 };
const STRIP = { width: 960, height: 96 };

/** An element with `span()`, [from, to] in seconds. `onmove` is told of the second that is looked at. */
export function spanChooser(job, [from, to], onmove = () => {}) {
  const { seconds: length, fps } = job.result;
  const step = 1 / fps;
  const strip = el("canvas", { ...STRIP, "aria-hidden": "true" });
  drawStrip(strip, job);
  const start = end("from", from);
  const stop = end("to", to);
  const chosen = el("div", { class: "chosen-span", "aria-hidden": "true" });
  const told = el("output", { class: "told-span" });
  const rail = el("div", { class: "rail", dir: "ltr" }, strip, chosen, start, stop);
  const box = el("div", { class: "timeline" }, rail, told);

  function end(name, value) {
    return el("input", {
      type: "range", min: 0, max: length.toFixed(3), step: "any", value, class: `end ${name}`, "aria-label": t(name),
      oninput: (event) => move(event.target),
      onkeydown: (event) => nudge(event),
    });
  }

  function nudge(event) {
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -8, PageUp: 8 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.target.value = Number(event.target.value) + by * step;
    move(event.target);
  }

  function move(moved) {
    if (Number(start.value) > Number(stop.value) - step) {
      if (moved === start) start.value = Math.max(0, Number(stop.value) - step);
      else stop.value = Math.min(length, Number(start.value) + step);
    }
    show();
    onmove(Number(moved.value));
  }

  function show() {
    const [first, last] = [start, stop].map((one) => Number(one.value));
    chosen.style.left = `${(100 * first) / length}%`;
    chosen.style.width = `${(100 * (last - first)) / length}%`;
    start.setAttribute("aria-valuetext", seconds(first));
    stop.setAttribute("aria-valuetext", seconds(last));
    told.textContent = t("span", { from: seconds(first), to: seconds(last) });
  }

  box.span = () => [start, stop].map((one) => Math.round(Number(one.value) * 1000) / 1000);
  show();
  return box;
}

/** The sheet of a video's frames, cut and laid out in a row. */
async function drawStrip(canvas, job) {
  const sheet = new Image();
  try {
    sheet.src = await api.content(job.id, "spritesheet");
    await sheet.decode();
  } catch {
    return; // the span can be chosen without it
  }
  const count = Math.min(SHEET.count, job.result.num_frames);
  const columns = Math.min(SHEET.columns, count);
  const rows = Math.ceil(count / SHEET.columns);
  const width = (sheet.naturalWidth - SHEET.gap) / columns - SHEET.gap;
  const height = (sheet.naturalHeight - SHEET.gap) / rows - SHEET.gap;
  const shown = Math.max(1, Math.min(count, Math.round(STRIP.width / (STRIP.height * (width / height)))));
  const place = STRIP.width / shown;
  const scale = Math.max(place / width, STRIP.height / height);
  const [cutWidth, cutHeight] = [place / scale, STRIP.height / scale];
  const context = canvas.getContext("2d");
  for (let index = 0; index < shown; index += 1) {
    const frame = Math.round(((index + 0.5) * count) / shown - 0.5);
    const left = SHEET.gap + (frame % SHEET.columns) * (width + SHEET.gap) + (width - cutWidth) / 2;
    const top = SHEET.gap + Math.floor(frame / SHEET.columns) * (height + SHEET.gap) + (height - cutHeight) / 2;
    context.drawImage(sheet, left, top, cutWidth, cutHeight, index * place, 0, place + 1, STRIP.height);
  }
}
