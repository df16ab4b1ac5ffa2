// Asks one question and fills its turn with the server's events, to the end. Knows nothing of elements.

import * as api from "./api.js";

const TRIES = 4; // a server that is still busy after the fourth is left to the person
const USUAL_WAIT = 5; // seconds, where a busy server does not say

/**
 * Asks `turn.question` and fills the turn, from its text on if it is `begun`: an answer that was cut. Its state is done, stopped or failed afterwards. `show` is called with what
 * changed: queued(position), passages(), quote(), text(), waiting(seconds left, now) where `now()` asks at once.
 * Returns an ApiError or Lost that ended it, for the page to tell more of; null otherwise.
 */
export async function answer(turn, previous, signal, show, begun = "") {
  try {
    await askUntilAnswered(turn, { question: turn.question, previous, folders: turn.folders, begun }, signal, show);
    return null;
  } catch (error) {
    if (signal.aborted) turn.state = "stopped";
    else if (api.expected(error)) fail(turn, error instanceof api.Lost ? { code: "lost" } : error);
    else throw error;
    return signal.aborted ? null : error;
  } finally {
    if (turn.state === "asking") turn.state = "failed";
  }
}

async function askUntilAnswered(turn, asked, signal, show) {
  for (let left = TRIES - 1; ; left -= 1) {
    try {
      for await (const { event, data } of api.ask(asked, signal)) {
        signal.throwIfAborted(); // an event that has arrived already is dropped: its place on the page may be gone
        applyEvent(turn, event, data, show);
      }
      return;
    } catch (error) {
      if (error.status !== 429 || left === 0) throw error;
      await waitToRetry(error.retryAfter ?? USUAL_WAIT, signal, show);
    }
  }
}

function applyEvent(turn, event, data, show) {
  if (event === "queued") show.queued(data.position);
  if (event === "passages") {
    turn.passages = data;
    show.passages();
  }
  if (event === "quote") {
    turn.quote = data;
    show.quote();
  }
  if (event === "text") {
    turn.text += data.text;
    show.text();
  }
  if (event === "done") finish(turn, data);
  if (event === "error") fail(turn, data);
}

function finish(turn, { answer: text, refused, citations, passages, asked, unsupported = [], unknown_words: unknown = [], timings, kind, quote, cut }) {
  Object.assign(turn, { state: "done", text, refused, citations, passages, asked, unsupported, unknown, timings, kind, quote, cut });
}

function fail(turn, { code, message }) {
  turn.state = "failed";
  turn.problem = { code, message };
}

/** Counts down, a call of `show.waiting` a second, until it is time or someone says now. Throws what stopping throws. */
async function waitToRetry(seconds, signal, show) {
  let now = false;
  for (let left = seconds; left > 0 && !now; left -= 1) {
    await new Promise((resolve) => {
      show.waiting(left, () => { now = true; resolve(); });
      signal.addEventListener("abort", resolve, { once: true });
      setTimeout(resolve, 1000);
    });
    signal.throwIfAborted();
  }
}
