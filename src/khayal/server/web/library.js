// The wall of results: justified rows, the newest first.

import { byId, el } from "./dom.js";
import { card, notesOf, problemOf, short, title } from "./card.js";
import { onLanguage, t } from "./i18n.js";
import { jobs } from "./jobs.js";
import { complain, say, tell } from "./notices.js";

const IDEAS = 4;
const TYPING_MS = 250;

/** Bring the library to life. `onIdea` is given a prompt that somebody liked. */
export function startLibrary(onIdea) {
  const cards = new Map();
  const wall = byId("wall");

  function draw() {
    const shown = jobs.all;
    for (const [id, item] of cards) if (!shown.some((job) => job.id === id)) { item.remove(); cards.delete(id); }
    shown.forEach((job, index) => {
      if (!cards.has(job.id)) cards.set(job.id, card(job));
      const item = cards.get(job.id);
      item.show(job);
      if (wall.children[index] !== item) wall.insertBefore(item, wall.children[index] ?? null);
    });
    byId("more").hidden = !jobs.hasMore;
    drawEmpty(onIdea);
  }

  jobs.addEventListener("list", draw);
  jobs.addEventListener("job", ({ detail }) => cards.get(detail.id)?.show(detail));
  jobs.addEventListener("over", ({ detail }) => announce(detail));
  onLanguage(() => {
    cards.clear();
    wall.replaceChildren();
    draw();
  });
  byId("more").addEventListener("click", () => jobs.more().catch(complain));
  startSearch();
}

function drawEmpty(onIdea) {
  const empty = byId("empty");
  empty.hidden = !jobs.isLoaded || jobs.all.length > 0;
  if (empty.hidden) return;
  if (jobs.search) {
    empty.replaceChildren(el("p", {}, t("nothing-found", { words: jobs.search })));
    return;
  }
  const ideas = Array.from({ length: IDEAS }, (_, index) => t(`idea-${index + 1}`));
  empty.replaceChildren(
    el("h2", {}, t("welcome")),
    el("p", {}, t("welcome-more")),
    el("ul", { class: "ideas" }, ideas.map((idea) =>
      el("li", {}, el("button", { type: "button", onclick: () => onIdea(idea) }, idea)))),
  );
}

function startSearch() {
  let timer = 0;
  const search = () => {
    location.hash.startsWith("#/storyboard") && (location.hash = "#/");
    jobs.load(byId("search").value.trim()).catch(complain);
  };
  byId("search").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, TYPING_MS);
  });
  byId("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    search();
  });
}

function announce(job) {
  const isSeen = !document.hidden && !byId("library").hidden;
  if (job.status === "completed") {
    (isSeen ? say : tell)(t("is-ready", { title: short(title(job)) }));
    for (const note of notesOf(job)) if (note.includes("never taught")) tell(note);
  } else if (job.error?.code === "cancelled") tell(t("was-cancelled"));
  else complain({ message: problemOf(job), status: 500 });
}
