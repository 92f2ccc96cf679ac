// The jobs that the page knows, kept fresh: those that run are asked for often, the list now and then.

import * as api from "./api.js";

const LIST_MS = 10_000;
const HIDDEN_MS = 5_000;
const FEWEST_MS = 250;
const ASKED_AT_ONCE = 6;

export const isOver = (job) => job.status === "completed" || job.status === "failed";

class Jobs extends EventTarget {
  #known = new Map();
  #order = [];
  #timer = 0;
  #listedAt = 0;
  search = "";
  hasMore = false;
  isLoaded = false;

  /** In the order of the library. */
  get all() {
    return this.#order.map((id) => this.#known.get(id));
  }

  get(id) {
    return this.#known.get(id);
  }

  /** A job that need not be in the list. */
  async find(id) {
    if (!this.#known.has(id)) {
      this.#known.set(id, (await api.job(id)).job);
      this.#again(FEWEST_MS);
    }
    return this.#known.get(id);
  }

  /** The first page of a search; "" is everything. */
  async load(search = "") {
    this.search = search;
    const page = await api.jobs({ search });
    if (search !== this.search) return; // a later search was faster
    const unlisted = [...this.#known.values()].filter((job) => !isOver(job));
    this.#known = new Map([...unlisted, ...page.data].map((job) => [job.id, job]));
    this.#order = page.data.map((job) => job.id);
    this.hasMore = page.has_more;
    this.isLoaded = true;
    this.#listedAt = Date.now();
    this.#tell("list");
    this.#again(FEWEST_MS);
  }

  /** The next page. */
  async more() {
    const search = this.search;
    const page = await api.jobs({ search, after: this.#order.at(-1) });
    if (search !== this.search) return;
    for (const job of page.data) {
      if (!this.#known.has(job.id)) this.#order.push(job.id);
      this.#known.set(job.id, job);
    }
    this.hasMore = page.has_more;
    this.#tell("list");
  }

  /** A job that was just asked for. */
  add(job) {
    if (!this.#known.has(job.id)) this.#order.unshift(job.id);
    this.#known.set(job.id, job);
    this.#tell("list");
    this.#again(FEWEST_MS);
  }

  /** A job as it is by now. */
  update(job) {
    const before = this.#known.get(job.id);
    this.#known.set(job.id, job);
    this.dispatchEvent(new CustomEvent("job", { detail: job }));
    if (before && !isOver(before) && isOver(job)) this.dispatchEvent(new CustomEvent("over", { detail: job }));
  }

  forget(id) {
    this.#known.delete(id);
    this.#order = this.#order.filter((one) => one !== id);
    this.#tell("list");
  }

  /** Begin to look. */
  start() {
    document.addEventListener("visibilitychange", () => document.hidden || this.#again(0));
  }

  #tell(name) {
    this.dispatchEvent(new CustomEvent(name));
  }

  #again(pause) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), pause);
  }

  async #look() {
    const active = [...this.#known.values()].filter((job) => !isOver(job));
    active.sort((one, other) => one.created_at - other.created_at); // the oldest is made first
    let pause = active.length ? 1000 : LIST_MS;
    try {
      const asked = active.slice(0, ASKED_AT_ONCE).map((job) => this.#ask(job.id));
      pause = Math.min(pause, ...(await Promise.all(asked)));
      if (Date.now() - this.#listedAt > LIST_MS) await this.#list();
      this.#tell("reached");
    } catch (error) {
      this.dispatchEvent(new CustomEvent("lost", { detail: error }));
      pause = 3000;
    }
    this.#again(document.hidden ? Math.max(HIDDEN_MS, pause) : Math.max(FEWEST_MS, pause));
  }

  async #ask(id) {
    try {
      const { job, pause } = await api.job(id);
      if (this.#known.has(id)) this.update(job);
      return pause;
    } catch (error) {
      if (error.status !== 404) throw error;
      this.forget(id); // deleted elsewhere
      return LIST_MS;
    }
  }

  /** What others made meanwhile. */
  async #list() {
    this.#listedAt = Date.now();
    const search = this.search;
    const page = await api.jobs({ search });
    if (search !== this.search) return;
    const fresh = page.data.filter((job) => !this.#known.has(job.id));
    if (!fresh.length) return;
    for (const job of fresh) this.#known.set(job.id, job);
    this.#order = [...fresh.map((job) => job.id), ...this.#order];
    this.#tell("list");
  }
}

export const jobs = new Jobs();
