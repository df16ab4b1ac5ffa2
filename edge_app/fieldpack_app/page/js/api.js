// What the page asks of its server, and what can go wrong with it. Knows nothing of how anything looks.

import { events } from "./sse.js";

/** A refusal of the server's: `code` and `message` as it says them, `retryAfter` in seconds or null. */
export class ApiError extends Error {
  constructor(status, code, message, retryAfter = null) {
    super(message);
    Object.assign(this, { status, code, retryAfter });
  }
}

/** The server did not answer, or stopped in the middle. */
export class Lost extends Error {}

/** Is it one of the two that a call may end with? All else is a mistake of ours and is thrown on. */
export const expected = (error) => error instanceof ApiError || error instanceof Lost;

const PATIENCE = 30_000; // milliseconds that a server in good health may take to say so
const AWAY = [502, 503, 504]; // of a proxy whose server is away, or of a server that takes no more connections

let shown = ""; // the id of the bundle that the page shows
let hear = () => {};

/** From now on the server refuses (409, bundle_changed) what is asked of it while another bundle is open than this one. */
export const askOf = (id) => { shown = id; };

/** `listener(error)` gets each Lost and ApiError also, whoever called: what they mean for the whole page is its business. */
export const listen = (listener) => { hear = listener; };

function heard(error) {
  hear(error);
  return error;
}

async function reach(path, { headers, ...options } = {}) {
  const named = shown ? { "X-Fieldpack-Bundle": encodeURIComponent(shown) } : {};
  try {
    return await fetch(path, { credentials: "same-origin", redirect: "error", ...options, headers: { ...named, ...headers } });
  } catch (error) {
    throw error.name === "AbortError" ? error : heard(new Lost(String(error)));
  }
}

async function call(path, options = {}) {
  const response = await reach(path, options);
  if (!response.ok) throw heard(await refusal(response));
  return response;
}

async function refusal(response) {
  const body = await response.json().catch(() => null); // a body that is no JSON says nothing we could show
  if (!body?.error && AWAY.includes(response.status)) return new Lost(response.statusText);
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const { code = "http_" + response.status, message = response.statusText } = body?.error ?? {};
  return new ApiError(response.status, code, message, Number.isNaN(seconds) ? null : seconds);
}

/** The JSON of a body; Lost where it broke off, or is not what our server says. */
async function bodyOf(response) {
  try {
    return await response.json();
  } catch (error) {
    throw error.name === "AbortError" ? error : heard(new Lost(String(error)));
  }
}

const post = (path, body, options = {}) =>
  call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), ...options });

const json = async (path) => bodyOf(await call(path));

/** The page's own texts in a language. */
export const words = (language) => json(`/static/locales/${language}.json`);
export const about = () => json("/api/about");
/** What the last update changed, or null. */
export const changes = () => json("/api/changes");
export const bundles = () => json("/api/bundles");
/** A passage with its page's text around it; `end` as the passage has it, which may be joined of two. */
export const passage = ({ chunk_id: id, end }) => json(`/api/passages/${id}${end ? `?end=${end}` : ""}`);
/** The page of its PDF, and where `quote` stands on it. */
export const original = async ({ chunk_id, end }, quote) => bodyOf(await post("/api/originals", { chunk_id, end, quote }));
/** What the library holds; the passages of one of its documents, without their texts; those nearest to some words. */
export const documents = () => json("/api/documents");
export const outline = (document) => json(`/api/passages?document=${encodeURIComponent(document)}`);
export const search = (words, folders = []) =>
  json(`/api/search?${new URLSearchParams([["q", words], ["k", "8"], ...folders.map((one) => ["folder", one])])}`);
/** {status}; also of a server whose bundle is damaged, which says so with 503. */
export const health = async () => bodyOf(await reach("/health", { signal: AbortSignal.timeout(PATIENCE) }));
/** Opens the models, and reads ahead for a question that is still being typed. */
export const load = (question, previous) => post("/api/load", { question, previous });
export const choose = (id) => post("/api/bundles/current", { id });
export const feedback = (rating) => post("/api/feedback", rating);

/**
 * Yields the events of one question, {question, previous, folders, begun}, until `done` or `error`. Throws ApiError, Lost,
 * or AbortError when stopped.
 */
export async function* ask(asked, signal) {
  const response = await post("/api/ask", asked, { signal });
  try {
    for await (const event of events(response, health)) {
      yield event;
      if (event.event === "done" || event.event === "error") return;
    }
  } catch (error) {
    throw error.name === "AbortError" ? error : heard(new Lost(String(error)));
  }
  throw heard(new Lost("the stream ended before the answer did"));
}
