// Thumbs up and down below an answer, with a note if someone wants to write one.

import * as api from "./api.js";
import { announce, el, icon } from "./dom.js";
import { t } from "./words.js";

/** Two buttons; the pressed one opens a line for a note, and sending it is what counts. `keep()` after it was sent. */
export function ratingButtons(turn, keep) {
  const holder = el("div", { class: "rating" });
  const redraw = (form = null) => {
    const done = turn.rating ? el("span", { class: "note" }, t("thanks")) : null;
    holder.replaceChildren(thumb("up", "good"), thumb("down", "bad"), ...[done, form].filter(Boolean));
  };
  const thumb = (rating, label) => el("button", {
    type: "button", class: "icon", "aria-label": t(label), title: t(label), disabled: Boolean(turn.rating),
    "aria-pressed": String(turn.rating === rating), onclick: () => write(rating),
  }, icon(rating));
  const write = (rating) => {
    const form = noteForm(rating, async (note) => {
      await api.feedback(said(turn, rating, note));
      turn.rating = rating;
      keep();
      redraw();
      announce(t("thanks"));
    }, () => redraw());
    redraw(form);
    form.querySelector("input").focus();
  };
  redraw();
  return holder;
}

function said(turn, rating, note) {
  return {
    question: turn.question, answer: turn.text, rating, refused: Boolean(turn.refused),
    passages: turn.passages.map((one) => one.chunk_id), ...(note ? { note } : {}),
  };
}

function noteForm(rating, send, cancel) {
  const label = t(rating === "up" ? "note_good" : "note_bad");
  const note = el("input", { type: "text", "aria-label": label, placeholder: label, maxlength: "1000", dir: "auto" });
  const problem = el("p", { class: "note", role: "alert" });
  const form = el("form", { class: "note-form" },
    note,
    el("button", { type: "submit", class: "plain small filled" }, t("send_note")),
    el("button", { type: "button", class: "plain small", onclick: cancel }, t("cancel")),
    problem);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await send(note.value.trim());
    } catch (error) {
      if (!api.expected(error)) throw error;
      problem.textContent = error instanceof api.Lost ? t("lost") : error.message;
    }
  });
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    cancel();
  });
  return form;
}
