// The public API, and nothing else: what any other program could call as well.

import { t } from "./i18n.js";

const KEY = "khayal-key";
const KEPT_BLOBS = 80;
const PICTURE_SECONDS = 30 * 86_400; // the longest that the Files API keeps what is to go by itself

/** What the server refused, in its own sentence. */
export class ApiError extends Error {
  constructor(message, { status = 0, code = null, param = null } = {}) {
    super(message);
    Object.assign(this, { status, code, param });
  }
}

/** The API key of this tab; it is gone with the tab. */
export const key = {
  get: () => sessionStorage.getItem(KEY) || "",
  set: (secret) => {
    forgetBlobs();
    if (secret) sessionStorage.setItem(KEY, secret);
    else sessionStorage.removeItem(KEY);
  },
};

const refused = new EventTarget();

/** Call `listener` whenever the server asks for another key. */
export const onKeyRefused = (listener) => refused.addEventListener("refused", listener);

async function ask(method, path, { body, headers = {} } = {}) {
  const sent = { ...headers };
  if (key.get()) sent.authorization = `Bearer ${key.get()}`;
  const isForm = body instanceof FormData; // a browser names the boundary of a form itself
  if (body !== undefined && !isForm) sent["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers: sent, body: isForm || body === undefined ? body : JSON.stringify(body) });
  } catch {
    throw new ApiError(t("no-server"));
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  const { message, code, param } = told.error ?? {};
  if (answer.status === 401) refused.dispatchEvent(new Event("refused"));
  throw new ApiError(message ?? t("no-answer"), { status: answer.status, code, param });
}

const form = (fields) => {
  const made = new FormData();
  for (const [name, value] of Object.entries(fields)) made.append(name, value);
  return made;
};

const json = async (...args) => (await ask(...args)).json();

function once() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return { "idempotency-key": [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("") };
}

export const health = () => json("GET", "/health");
export const models = async () => (await json("GET", "/v1/khayal/models")).data;
export const cancel = (id) => json("POST", `/v1/khayal/jobs/${id}/cancel`);
export const remove = (id) => json("DELETE", `/v1/khayal/jobs/${id}`);

/** Ask for one of the eight tasks; the job that it becomes. */
export const make = (task, fields) => json("POST", `/v1/khayal/${task}`, { body: fields, headers: once() });

/** Ask for a video that shows characters, in the fields of the Videos API; the job that it becomes. */
export async function create(fields) {
  const { id } = await json("POST", "/v1/videos", { body: fields, headers: once() });
  return (await job(id)).job;
}

/** The characters that are kept, the newest first. */
export const characters = async () => (await json("GET", "/v1/khayal/characters")).data;
export const removeCharacter = (id) => json("DELETE", `/v1/khayal/characters/${id}`);

/** Keep a character: `video` is `{id}` of a finished video, or a file. */
export const keepCharacter = (name, video) =>
  json("POST", "/v1/videos/characters", { body: video instanceof File ? form({ name, video }) : { name, video } });

/** Leave a picture with the server, to be named by its id. It is there for a month, so that it can be used again. */
export async function upload(file) {
  const kept = { "expires_after[anchor]": "created_at", "expires_after[seconds]": PICTURE_SECONDS };
  return (await json("POST", "/v1/files", { body: form({ file, purpose: "vision", ...kept }) })).id;
}

/** Jobs, the newest first, with {data, has_more, last_id}. */
export function jobs({ after, search, limit = 24 } = {}) {
  const query = new URLSearchParams({ limit });
  if (after) query.set("after", after);
  if (search) query.set("search", search);
  return json("GET", `/v1/khayal/jobs?${query}`);
}

/** A job, and the pause after which the server likes to be asked again. */
export async function job(id) {
  const answer = await ask("GET", `/v1/khayal/jobs/${id}`);
  return { job: await answer.json(), pause: Number(answer.headers.get("openai-poll-after-ms")) || 1000 };
}

/** What a video looks like so far, as a URL that its user has to revoke; null where it failed in this moment. */
export async function preview(id) {
  const answer = await ask("GET", `/v1/khayal/jobs/${id}/preview`);
  return answer.status === 204 ? null : URL.createObjectURL(await answer.blob());
}

/** A finished video as a file in memory, whose URL its user has to revoke. */
export const file = async (id) => URL.createObjectURL(await (await ask("GET", `/v1/videos/${id}/content`)).blob());

const blobs = new Map();

function forgetBlobs() {
  for (const url of blobs.values()) url.then(URL.revokeObjectURL, () => {});
  blobs.clear();
}

/** Where a finished video or a picture of it is. */
export const content = (id, variant = "video") => media(`/v1/videos/${id}/content?variant=${variant}`);
export const pictureOf = (fileId) => media(`/v1/files/${fileId}/content`);
export const clipOf = (characterId) => media(`/v1/khayal/characters/${characterId}/content`);

/** A browser sends no key for media: then they are fetched here. */
function media(path) {
  if (!key.get()) return Promise.resolve(path);
  if (!blobs.has(path)) {
    const url = ask("GET", path).then((answer) => answer.blob()).then(URL.createObjectURL);
    url.catch(() => blobs.delete(path));
    blobs.set(path, url);
    const [oldest] = blobs.keys();
    if (blobs.size > KEPT_BLOBS) {
      blobs.get(oldest).then(URL.revokeObjectURL, () => {});
      blobs.delete(oldest);
    }
  }
  return blobs.get(path);
}
