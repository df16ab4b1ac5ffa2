// Thumbs up and down below an answer, with a note if someone wants to write one.

import * as api from "./api.js";
import { announce, el, icon } from "./dom.js";
import { t } from "./i18n.js";
import { citedFirst } from "./parse.js";

/** Two buttons. A press is sent at once, and opens a line for a note, which may be left empty; a press of the other one is
 * a change of mind. `keep()` after something was sent. */
export function ratingButtons(turn, keep) {
  const holder = el("div", { class: "rating" });
  const redraw = (...more) => holder.replaceChildren(thumb("up", "good"), thumb("down", "bad"), ...more);
  const thanks = () => el("span", { class: "note" }, t("thanks"));
  const thumb = (rating, label) => el("button", {
    type: "button", class: "icon", "aria-label": t(label), title: t(label), "data-rating": rating,
    "aria-pressed": String(turn.rating === rating), onclick: () => press(rating),
  }, icon(rating));
  const send = async (rating, note) => {
    await api.feedback(feedbackOf(turn, rating, note));
    turn.rating = rating;
    keep();
    announce(t("thanks"));
  };
  const close = () => {
    redraw(thanks());
    holder.querySelector("[aria-pressed=true]")?.focus();
  };
  const press = async (rating) => {
    const form = noteForm(rating, async (note) => {
      if (note) await send(rating, note);
      close();
    }, close);
    try {
      await send(rating, "");
      redraw(thanks(), form);
      form.querySelector("input").focus({ preventScroll: true });
      form.scrollIntoView({ block: "nearest" });
    } catch (error) {
      redraw(el("span", { class: "note", role: "alert" }, problemOf(error)));
    }
  };
  redraw(...(turn.rating ? [thanks()] : []));
  return holder;
}

/** What is sent: `answer_id` is the same each time, so that the last that was said of an answer counts; `cited`: the passage
 * that a test question made of it will name. */
function feedbackOf(turn, rating, note) {
  const cited = turn.passages[citedFirst(turn) - 1];
  return {
    question: turn.question, answer: turn.text, rating, refused: Boolean(turn.refused),
    passages: turn.passages.map((one) => one.chunk_id), cited: cited?.chunk_id ?? null, ...(turn.id ? { answer_id: turn.id } : {}), ...(note ? { note } : {}),
  };
}

function problemOf(error) {
  if (!api.expected(error)) throw error;
  return error instanceof api.Lost ? t("lost") : error.message;
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
      problem.textContent = problemOf(error);
    }
  });
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    cancel();
  });
  return form;
}
