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

async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", redirect: "error", ...options });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Lost(String(error));
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response) {
  const body = await response.json().catch(() => null); // a body that is no JSON says nothing we could show
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const { code = "http_" + response.status, message = response.statusText } = body?.error ?? {};
  return new ApiError(response.status, code, message, Number.isNaN(seconds) ? null : seconds);
}

const post = (path, body, options = {}) =>
  call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), ...options });

const json = async (path) => (await call(path)).json();

/** The page's own texts in a language. */
export const words = (language) => json(`/static/locales/${language}.json`);
export const about = () => json("/api/about");
/** What the last update changed, or null. */
export const changes = () => json("/api/changes");
export const bundles = () => json("/api/bundles");
/** A passage with its page's text around it; `end` as the passage has it, which may be joined of two. */
export const passage = ({ chunk_id: id, end }) => json(`/api/passages/${id}${end ? `?end=${end}` : ""}`);
/** The page of its PDF, and where `quote` stands on it. */
export const original = async ({ chunk_id, end }, quote) => (await post("/api/originals", { chunk_id, end, quote })).json();
/** What the library holds; the passages of one of its documents, without their texts; those nearest to some words. */
export const documents = () => json("/api/documents");
export const outline = (document) => json(`/api/passages?document=${encodeURIComponent(document)}`);
export const search = (words, folders = []) =>
  json(`/api/search?${new URLSearchParams([["q", words], ["k", "8"], ...folders.map((one) => ["folder", one])])}`);
export const health = () => json("/health");
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
    for await (const event of events(response)) {
      yield event;
      if (event.event === "done" || event.event === "error") return;
    }
  } catch (error) {
    throw error.name === "AbortError" ? error : new Lost(String(error));
  }
  throw new Lost("the stream ended before the answer did");
}
