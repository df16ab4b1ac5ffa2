// Draws a question with its answer: the text with its marks, what to beware of, sources, timings. Knows nothing of how
// an answer comes or where it is kept.

import { arrange, copyButton, el, icon, iconButton, phrase, unseen, visible } from "./dom.js";
import { parseAnswer, readingOrder, isUncited, plainText, renumberMarks, displayNumber } from "./parse.js";
import { placeNodes } from "./passage_panel.js";
import { ratingButtons } from "./rating.js";
import { comma, headingsOf, number, place, quoted, seconds, t } from "./i18n.js";

/**
 * The element of a turn (see history.js) that is over or about to begin.
 * `actions`: open(turn, number, button), retry(turn), alone(turn) without what was before, edit(turn) its question, goOn(turn)
 * with an answer that was cut, keep(turn) after a rating.
 */
export function drawTurn(turn, actions) {
  const node = el("article", { class: "turn", "data-turn": turn.id ?? null, "aria-busy": String(turn.state === "asking") },
    el("div", { class: "question-line" },
      el("h2", { class: "question" }, unseen(`${t("you_asked")} `), el("span", { dir: "auto" }, turn.question)),
      turn.state === "asking" ? null : iconButton("edit", t("edit"), () => actions.edit(turn), { class: "icon edit" })));
  if (turn.folders?.length) node.append(el("p", { class: "note" }, phrase(t("only_in", { folders: turn.folders.join(comma()) }))));
  const reading = readAs(turn);
  if (reading) node.append(drawReadTogether(turn, reading, actions));
  if (turn.state === "asking") node.append(...drawAsking());
  else node.append(...drawFinished(turn, actions));
  return node;
}

/** A new subject taken for a follow-up answers the wrong question: seen here, and put right with a click. */
function drawReadTogether(turn, reading, actions) {
  return el("div", { class: "before" },
    el("p", { class: "note" }, phrase(t("read_as", { question: reading }))),
    el("button", { type: "button", class: "plain small", onclick: () => actions.alone(turn) }, t("ask_alone")));
}

/** How a follow-up was read, with the question before it. Empty where it stands alone. */
function readAs({ asked, question }) {
  return asked && asked !== question ? asked : "";
}

/** What stands below the question while the answer comes; filled by `showProgress`, `showQuote`, `showPassages` and `showText`. */
function drawAsking() {
  return [
    el("div", { class: "quoted" }),
    el("p", { class: "progress" }, el("span", { class: "pulse" }), el("span", { class: "progress-text" }, el("span"))),
    el("div", { class: "answer", dir: "auto" }),
    el("div", { class: "found" }),
  ];
}

/** `action`: a button beside the text; the same one stays as it is, so that it can be pressed while the text counts down. */
export function showProgress(node, text, action = null) {
  node.querySelector(".progress").hidden = !text;
  const holder = node.querySelector(".progress-text");
  holder.firstChild.textContent = text;
  arrange(holder, [holder.firstChild, action].filter(Boolean));
}

/** The passages, as soon as they are found: they can be read while the model reads them. Numbered anew as they are cited. */
export function showPassages(node, turn, actions) {
  const order = readingOrder(turn);
  const holder = node.querySelector(".found");
  if (holder.dataset.order === String(order)) return;
  holder.dataset.order = String(order);
  holder.replaceChildren(...drawList(turn, order, t("passages_read"), actions));
}

/** A passage's words, which stand before the model has read the passages. */
export function showQuote(node, turn, actions) {
  node.querySelector(".quoted").replaceChildren(...drawQuote(turn, actions));
}

/** The words of a passage above an answer that a model writes; an answer that is a quote says them itself. */
function drawQuote(turn, actions) {
  const { quote } = turn;
  if (!quote || turn.refused || (turn.kind && turn.kind !== "written") || !turn.passages[quote.passage - 1]) return [];
  const mark = drawPiece({ kind: "cite", number: quote.passage }, turn, actions);
  return [el("h3", { class: "list-heading" }, t("quote_heading")),
    el("blockquote", { class: "quote", dir: "auto" }, `${quoted(quote.text)} `, mark)];
}

/** The text so far. Pieces before the last one do not change any more and stay as they are, with their focus. */
export function showText(node, turn, actions) {
  const answer = node.querySelector(".answer");
  const pieces = parseAnswer(turn.text, turn.passages.length);
  while (answer.childNodes.length >= pieces.length && answer.lastChild) answer.lastChild.remove();
  if (answer.lastChild?.nodeType === Node.TEXT_NODE) answer.lastChild.remove();
  answer.append(...pieces.slice(answer.childNodes.length).map((piece) => drawPiece(piece, turn, actions)));
  showPassages(node, turn, actions);
}

function drawFinished(turn, actions) {
  const parts = [...drawUnknown(turn), ...(turn.refused ? drawRefusal(turn) : drawText(turn, actions))];
  if (turn.state === "done") return [...parts, ...drawSources(turn, actions), drawFoot(turn, actions)];
  const broken = turn.problem ?? { text: t(turn.text ? "stopped" : "stopped_empty") };
  return [
    ...parts,
    el("div", { class: "notice problem" }, icon("warn"),
      el("p", {}, phrase(problemText(broken))),
      turn.cut ? goOnButton(turn, actions) : null, // an answer that was being gone on with
      el("button", { type: "button", class: "plain small", onclick: () => actions.retry(turn) }, icon("retry"), t("retry"))),
    ...drawList(turn, readingOrder(turn), t("passages_read"), actions),
  ];
}

/** Words of the question that the library nowhere has: the answer is hardly about them, and a refusal has its reason here. */
function drawUnknown({ state, unknown = [] }) {
  if (state !== "done" || !unknown.length) return [];
  return [el("div", { class: "notice warn unknown" }, icon("warn"), el("p", {}, phrase(unknownText(unknown))))];
}

const unknownText = (unknown) => t("unknown_words", { words: unknown.map(quoted).join(comma()) });

function problemText({ text, code, message }) {
  if (code === "lost") return t("lost_turn");
  if (code === "queue_full") return t("busy");
  if (code === "no_token") return t("failed", { why: t("no_key") });
  if (code === "bundle_changed") return t("failed", { why: t("other_expert") });
  return text ?? t("failed", { why: message });
}

function drawRefusal(turn) {
  return [el("div", { class: "refusal" },
    icon("none"),
    el("div", {},
      el("p", { class: "refusal-title" }, t(turn.kind === "unsure" ? "unsure" : "refused")),
      el("p", { class: "refusal-text", dir: "auto" }, turn.text),
      el("p", { class: "note" }, t(turn.kind === "unsure" ? "unsure_why" : "refused_why"))))];
}

function drawText(turn, actions) {
  if (!turn.text) return [];
  const pieces = parseAnswer(turn.text, turn.passages.length, turn.unsupported ?? []);
  const answer = el("div", { class: "answer", dir: "auto" }, ...pieces.map((piece) => drawPiece(piece, turn, actions)));
  const cut = turn.cut && turn.state === "done" ? [drawCut(turn, actions)] : [];
  return [...drawQuote(turn, actions), answer, ...cut, ...drawWarnings(turn, pieces)];
}

/** An answer that met the bundle's limit can be gone on with, as long as it is the last. */
function drawCut(turn, actions) {
  return el("div", { class: "notice problem cut" }, icon("warn"), el("p", {}, t("cut")), goOnButton(turn, actions));
}

const goOnButton = (turn, actions) =>
  el("button", { type: "button", class: "plain small go-on", onclick: () => actions.goOn(turn) }, t("go_on"));

function drawWarnings(turn, pieces) {
  if (turn.state !== "done") return [];
  const figures = pieces.filter(({ kind }) => kind === "unsupported").length;
  const warn = (text) => el("div", { class: "notice warn" }, icon("warn"), el("p", {}, text));
  return [
    ...(turn.kind === "related" ? [warn(t("quoted_only"))] : []),
    ...(figures ? [warn(t("unsupported", { n: figures }))] : []),
    ...((turn.citations.length && !isUncited(turn)) || !turn.text ? [] : [warn(t(turn.passages.length ? "no_citation" : "no_passages"))]),
  ];
}

function drawPiece({ kind, text, number: n }, turn, actions) {
  if (kind === "text") return document.createTextNode(visible(text));
  if (kind === "unsupported") return el("span", { class: "unsupported", title: t("unsupported", { n: 1 }) }, text);
  const label = displayNumber(turn, n);
  const button = el("button", { type: "button", class: "cite", "data-passage": n }, number(label));
  button.setAttribute("aria-label", t("open_passage", { n: label, place: place(turn.passages[n - 1]) }));
  button.addEventListener("click", () => actions.open(turn, n, button));
  return button;
}

/** Cited passages with their quotes; the others that were read below them, folded. */
function drawSources(turn, actions) {
  const all = readingOrder(turn);
  const cited = all.filter((n) => turn.citations.some((one) => one.passage === n));
  const others = all.filter((n) => !cited.includes(n));
  if (!all.length) return turn.refused ? [el("p", { class: "note" }, t("none_read"))] : [];
  if (!cited.length) return drawList(turn, others, t("passages_read"), actions);
  const list = drawList(turn, cited, t(isUncited(turn) ? "related" : "sources"), actions);
  if (others.length) {
    list.push(el("details", { class: "others" },
      el("summary", {}, t("others", { n: others.length })),
      ...drawList(turn, others, null, actions)));
  }
  return list;
}

/** Passages as buttons that open them; `actions`: open(turn, number, button). */
export function drawList(turn, numbers, heading, actions) {
  if (!numbers.length) return [];
  const rows = numbers.map((n) => el("li", {}, drawSource(turn, n, actions)));
  return [...(heading ? [el("h3", { class: "list-heading" }, heading)] : []), el("ul", { class: "sources" }, ...rows)];
}

function drawSource(turn, n, actions) {
  const passage = turn.passages[n - 1];
  const quote = turn.citations?.find((one) => one.passage === n)?.quote;
  const headings = headingsOf(passage);
  const button = el("button", { type: "button", class: "source", "data-passage": n },
    el("span", { class: "source-number", "aria-hidden": "true" }, number(displayNumber(turn, n))),
    el("span", { class: "source-body" },
      unseen(`${t("passage")} ${number(displayNumber(turn, n))}: `),
      el("span", { class: "source-place" }, ...placeNodes(passage)),
      headings.length ? el("span", { class: "source-trail", dir: "auto" }, headings.join(" › ")) : null,
      el("span", { class: quote ? "source-quote" : "source-start", dir: "auto" }, quote ? quoted(plainText(quote)) : startOf(passage))));
  button.addEventListener("click", () => actions.open(turn, n, button));
  return button;
}

/** A passage's beginning on one line. The style sheet cuts what is too long. */
const startOf = ({ text }) => plainText(text.slice(0, 240)).replaceAll("\n", " ");

function drawFoot(turn, actions) {
  const took = timingText(turn.timings ?? {});
  return el("div", { class: "foot" },
    copyButton({ label: t("copy"), done: t("copied"), failed: t("copy_failed") }, () => withSources(turn)),
    ratingButtons(turn, () => actions.keep(turn)),
    took ? el("span", { class: "timings" },
      el("button", { type: "button", class: "icon", "aria-label": t("timings"), "aria-describedby": `took-${turn.id}` }, icon("clock")),
      el("span", { class: "tip", role: "tooltip", id: `took-${turn.id}` }, took)) : null);
}

/** "first word 0.52s · whole answer 0.91s · read 880 tokens, 412 kept"; of a refusal that the model had no part in, only how long. */
function timingText({ first_token_ms: first, total_ms: total, tokens, prompt_tokens: read, cached_tokens: cached }) {
  return [
    ...(first > 0 && tokens > 0 ? [t("first_word", { time: seconds(first) })] : []),
    ...(total > 0 ? [t("whole", { time: seconds(total) })] : []),
    ...(read > 0 ? [t("read_tokens", { n: read }) + (cached > 0 ? `${comma()}${t("kept_tokens", { n: cached })}` : "")] : []),
  ].join(" · ");
}

/** The answer as text for a letter or a log: question, answer, numbered sources with their quotes. */
export function withSources(turn) {
  const quoteOf = (n) => turn.citations.find((one) => one.passage === n)?.quote;
  const sources = readingOrder(turn).filter(quoteOf)
    .map((n) => `[${displayNumber(turn, n)}] ${place(turn.passages[n - 1])}: ${quoted(plainText(quoteOf(n)))}`);
  const heading = t(isUncited(turn) ? "related" : "sources");
  const unknown = turn.unknown?.length ? [unknownText(turn.unknown)] : [];
  return [turn.question, ...unknown, renumberMarks(turn), ...(sources.length ? [`${heading}\n${sources.join("\n")}`] : [])].join("\n\n");
}
