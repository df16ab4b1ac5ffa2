// Thumbs up and down below an answer, with a note if someone wants to write one.

import * as api from "./api.js";
import { announce, el, icon } from "./dom.js";
import { reasonOf, t } from "./i18n.js";
import { citedFirst } from "./parse.js";

/** Two buttons. A press is sent at once, and opens a line for a note, which may be left empty; a press of the other one is
 * a change of mind. `keep()` after something was sent. */
export function ratingButtons(turn, keep) {
  const holder = el("div", { class: "rating" });
  let pressed = null; // what is on its way, or null
  let before = Promise.resolve(); // what was sent before: the last that was said must also arrive last
  // The focus is taken only where the reader still is at it, not out of the box that the next question is typed into.
  const isHere = () => holder.contains(document.activeElement) || document.activeElement === document.body;
  const isOn = (rating) => String((pressed ?? turn.rating) === rating);
  const thumb = (rating, label) => el("button", {
    type: "button", class: "icon", "aria-label": t(label), title: t(label), "data-rating": rating,
    "aria-pressed": isOn(rating), onclick: () => press(rating),
  }, icon(rating));
  const redraw = (...more) => holder.replaceChildren(thumb("up", "good"), thumb("down", "bad"), ...more);
  const thanks = () => el("span", { class: "note" }, t("thanks"));
  const send = (rating, note) => {
    const sent = before.then(() => api.feedback(feedbackOf(turn, rating, note))).then(() => {
      turn.rating = rating;
      keep();
      announce(t("thanks"));
    });
    before = sent.catch(() => {}); // who sent it hears of that
    return sent;
  };
  const close = () => {
    const takesFocus = isHere();
    redraw(thanks());
    if (takesFocus) holder.querySelector("[aria-pressed=true]")?.focus();
  };
  const press = async (rating) => {
    if (pressed === rating) return; // a double click
    pressed = rating;
    for (const button of holder.querySelectorAll("[data-rating]")) button.setAttribute("aria-pressed", isOn(button.dataset.rating));
    const form = noteForm(rating, async (note) => {
      if (note) await send(rating, note);
      close();
    }, close);
    let problem = null;
    try {
      await send(rating, "");
    } catch (error) {
      problem = problemOf(error);
    }
    if (pressed !== rating) return; // the other one was pressed since
    pressed = null;
    const takesFocus = isHere();
    if (problem === null) redraw(thanks(), form);
    else redraw(el("span", { class: "note failed", role: "alert" }, problem));
    if (!takesFocus) return;
    (problem === null ? form.querySelector("input") : holder.querySelector(`[data-rating=${rating}]`)).focus({ preventScroll: true });
    form.scrollIntoView({ block: "nearest" });
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
  return reasonOf(error);
}

function noteForm(rating, send, cancel) {
  const label = t(rating === "up" ? "note_good" : "note_bad");
  const note = el("input", { type: "text", "aria-label": label, placeholder: label, maxlength: "1000", dir: "auto" });
  const problem = el("p", { class: "note", role: "alert" });
  const submit = el("button", { type: "submit", class: "plain small filled" }, t("send_note"));
  const form = el("form", { class: "note-form" },
    note, submit,
    el("button", { type: "button", class: "plain small", onclick: cancel }, t("cancel")),
    problem);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (submit.disabled) return;
    submit.disabled = true;
    try {
      await send(note.value.trim());
    } catch (error) {
      problem.textContent = problemOf(error);
    } finally {
      submit.disabled = false;
    }
  });
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    cancel();
  });
  return form;
}
