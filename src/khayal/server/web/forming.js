// A picture that forms: what the server has of it so far, swapped in when it is loaded.

import * as api from "./api.js";
import { el } from "./dom.js";

/** An element with `show(job)`; it is asked for a new picture only where the job made a step. */
export function forming() {
  const image = el("img", { alt: "", hidden: true });
  const box = el("div", { class: "forming" }, image);
  let seen = null;
  let isAsking = false;

  async function look(job) {
    isAsking = true;
    try {
      const url = await api.preview(job.id);
      if (url === null) return;
      const loaded = new Image();
      loaded.src = url;
      await loaded.decode();
      image.onload = () => URL.revokeObjectURL(url);
      image.src = url;
      image.hidden = false;
    } catch {
      seen = null; // the next step brings another
    } finally {
      isAsking = false;
    }
  }

  box.show = (job) => {
    box.style.setProperty("--haze", `${Math.max(0, 1 - job.progress / 80).toFixed(2)}`);
    box.classList.toggle("waiting", job.status === "queued");
    if (job.status !== "running" || !job.has_preview || job.is_cancelled || isAsking || seen === job.step) return;
    seen = job.step;
    look(job);
  };
  return box;
}
