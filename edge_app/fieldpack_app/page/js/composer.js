// The box a question is typed into: grows with it, sends on Enter, says when it is too long. Knows nothing of answers.

import { byId } from "./dom.js";
import { t } from "./i18n.js";

let longest = Infinity; // characters a question may have

const field = () => byId("question");
const excess = () => [...field().value.trim()].length - longest;

/** `send(question)`, `typing()` at each change, `stop()`. */
export function connect({ send, typing, stop }) {
  field().addEventListener("input", () => { fit(); typing(); });
  field().addEventListener("keydown", (event) => {
    // While an input method composes a word, Enter takes the word.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId("ask").requestSubmit();
  });
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!byId("send").disabled && !byId("send").hidden) send(field().value.trim());
  });
  // Stop stands where send stood: the second click of a double click is none of its own.
  byId("stop").addEventListener("click", (event) => { if (event.detail < 2) stop(); });
  fit();
}

export function fit() {
  const node = field();
  node.style.height = "auto";
  node.style.height = `${node.scrollHeight}px`; // what is more than max-height scrolls
  const over = excess();
  byId("send").disabled = !node.value.trim() || over > 0;
  byId("hint-text").textContent = over > 0 ? t("too_long", { n: over }) : t("hint");
  byId("hint").classList.toggle("over", over > 0);
}

export function limit(characters) {
  longest = characters ?? Infinity;
  fit();
}

export function setText(text) {
  field().value = text;
  fit();
}

export const text = () => field().value.trim();

export function focus() {
  field().focus();
}

/** Stop in place of send while an answer comes. */
export function running(is) {
  byId("send").hidden = is;
  byId("stop").hidden = !is;
}

export function follows(is) {
  field().placeholder = t(is ? "ask_more" : "ask_first");
}
