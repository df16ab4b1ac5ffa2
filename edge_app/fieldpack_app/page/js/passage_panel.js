// The passage beside the answer: a page's text with the passage in it and the quote marked, and where the bundle carries it
// the page as it looks. Knows nothing of asking.

import * as api from "./api.js";
import { openDrawer, closeDrawer } from "./drawers.js";
import { byId, copyButton, el, icon, iconButton, phrase } from "./dom.js";
import { getSetting, saveSetting } from "./history.js";
import { fill, newHolder, scrollToLight } from "./original.js";
import { findQuote, readingOrder, isUncited, markupOf, parsePage, unwrapLines, withoutColumns } from "./parse.js";
import { drawTable, fitTables } from "./table.js";
import { comma, pageOf, place, reasonOf, t } from "./i18n.js";

let shown = null; // {turn, number, opener, lacks: whether its page's text did not come}
let latest = 0; // counts what was opened, wanted and closed: the last of it is what the reader means

export const isOpen = () => shown !== null;

const quoteOf = (turn, number) => turn.citations?.find((one) => one.passage === number)?.quote ?? "";

/** Opens the first passage of what `load()` gives, unless something was opened or closed before that came. */
export async function openFirst(load, opener) {
  latest += 1;
  const mine = latest;
  const turn = await load();
  if (mine === latest) open(turn, 1, opener);
}

/** What is still to be opened is not wanted any more. */
export function stayAsItIs() {
  latest += 1;
}

/**
 * Shows passage `number` (from 1) of `turn`; closing gives the focus back to `opener`. Without `focus` the focus stays where
 * it is, if that is not in the panel.
 */
export async function open(turn, number, opener, { focus = true } = {}) {
  latest += 1;
  shown = { turn, number, opener: opener ?? shown?.opener };
  const passage = turn.passages[number - 1];
  const quote = quoteOf(turn, number);
  const takesFocus = focus || byId("passage").contains(document.activeElement);
  const body = el("div", { class: "page", id: "view-text", dir: "auto", tabindex: "0", "aria-labelledby": "passage-title" });
  const views = el("div", { class: "views" }, body);
  drawPanel(turn, number, passage, quote, views);
  new ResizeObserver(() => fitTables(body) && scrollToMark(body)).observe(body);
  openDrawer(byId("passage"), close); // before the text, which is laid out and scrolled for its place
  draw(body, { before: "", text: passage.text, after: "" }, passage, quote);
  shown.opener = buttonFor(shown);
  if (takesFocus) byId("passage-title").focus({ preventScroll: true });
  markOpen();
  await drawAround(views, body, passage, quote);
}

export function close() {
  latest += 1;
  if (!shown) return;
  const opener = buttonFor(shown);
  shown = null;
  markOpen();
  byId("room").classList.remove("with-original");
  closeDrawer(byId("passage"));
  byId("passage").replaceChildren();
  if (opener?.isConnected) opener.focus();
  else byId("question").focus();
}

/** After a change of language. */
export const redraw = () => shown && open(shown.turn, shown.number, shown.opener, { focus: false });

/** The server is back: what it could not give is asked for again. */
export const complete = () => shown?.lacks && redraw();

/** The answer that the open passage was read for is whole: whether it cites the passage is known only now. */
export function finish(turn) {
  if (shown?.turn !== turn) return;
  if (quoteOf(turn, shown.number)) open(turn, shown.number, shown.opener, { focus: false });
  else {
    const [head, foot] = [".passage-head", ".passage-foot .note"].map((one) => byId("passage").querySelector(one));
    head.replaceWith(drawHead(turn, shown.number));
    foot.textContent = restOf(turn, "");
  }
}

/** The page's text around the passage, when the server gives it; without it the passage itself stands there already. */
async function drawAround(views, body, passage, quote) {
  try {
    const around = await api.passage(passage);
    passage.text ||= around.text; // of a document that is paged through, it comes only now
    draw(body, around, passage, quote);
    if (around.original && views.isConnected) await drawOriginal(views, passage, quote);
  } catch (error) {
    if (!api.expected(error)) throw error;
    if (!views.isConnected) return;
    shown.lacks = true;
    views.after(el("p", { class: "note" }, phrase(t("context_failed", { why: reasonOf(error) }))));
  }
}

/** Puts the page as it looks before its text. Both are there where there is room; else one of them, as the reader chose last. */
async function drawOriginal(views, passage, quote) {
  const holder = newHolder();
  holder.id = "view-page";
  const choose = (view) => {
    views.dataset.view = view;
    for (const tab of tabs.children) tab.setAttribute("aria-pressed", String(tab.dataset.view === view));
    scrollToLight(holder.querySelector(".paper"));
  };
  const tabs = el("div", { class: "tabs", role: "group", "aria-label": t("views") }, ...[["page", t("view_page")], ["text", t("view_text")]].map(([view, label]) =>
    el("button", {
      type: "button", "data-view": view, "aria-controls": `view-${view}`,
      onclick: () => { choose(view); saveSetting("view", view); },
    }, label)));
  views.before(tabs);
  views.prepend(holder);
  byId("room").classList.add("with-original");
  choose(getSetting("view") === "text" ? "text" : "page");
  const isDrawn = await fill(holder, passage, quote);
  if (isDrawn || !views.isConnected) return;
  choose("text"); // and below it, why
  views.after(holder);
  tabs.remove();
  byId("room").classList.remove("with-original");
}

function drawHead(turn, number) {
  const order = readingOrder(turn);
  const at = order.indexOf(number);
  const step = (name, label, to) => iconButton(name, t(label), () => open(turn, order[to]), { disabled: !(to in order) });
  return el("div", { class: "passage-head" },
    el("p", { class: "count" }, t("passage_of", { n: at + 1, all: order.length })),
    step("before", "passage_before", at - 1),
    step("after", "passage_after", at + 1),
    iconButton("close", t("close"), close));
}

/** What the colours mean. While the answer comes nobody knows yet what it will cite. */
function restOf(turn, quote) {
  if (turn.browsing || turn.state === "asking") return t("grey_around");
  return t(!quote ? "not_cited" : isUncited(turn) ? "marked_related" : "marked");
}

function drawPanel(turn, number, passage, quote, views) {
  byId("room").classList.remove("with-original");
  byId("passage").replaceChildren(
    drawHead(turn, number),
    el("h2", { id: "passage-title", tabindex: "-1", class: "place" }, icon("page"), el("span", {}, ...placeNodes(passage))),
    drawTrail(passage),
    views,
    el("div", { class: "passage-foot" },
      el("p", { class: "note" }, restOf(turn, quote)),
      copyButton({ label: t("copy_passage"), done: t("copied"), failed: t("copy_failed") },
        () => `${passage.text}\n\n${place(passage)}`)),
  );
}

/** As `place`, the folder and the page in a lighter hand than the document's name. */
export function placeNodes({ document: name, page, heading }) {
  const at = name.lastIndexOf("/") + 1;
  const path = el("bdi", {}, ...(at ? [el("span", { class: "folder" }, name.slice(0, at))] : []), name.slice(at));
  const words = pageOf({ document: name, page, heading });
  return words ? [path, el("span", { class: "of-page" }, comma(), phrase(words))] : [path];
}

/** Title and headings above the passage, outermost first, each once. */
export function drawTrail({ title, heading = [] }) {
  const parts = [...new Set([title, ...withoutColumns(heading)].filter(Boolean))];
  return parts.length ? el("p", { class: "trail", dir: "auto" }, parts.join(" › ")) : null;
}

/** Replaces what `body` shows: the page's text around grey, the quote marked and scrolled to. */
function draw(body, { before, text, after }, passage, quote) {
  const page = before + text + after;
  const own = findQuote(page, passage.text, Math.max(0, before.length - passage.text.length)) ?? [before.length, before.length + text.length];
  const marked = findQuote(page, quote, own[0]);
  const paint = painter(unwrapLines(page), own, marked, markupOf(page));
  const isQuoted = ({ cells }) => marked !== null && marked[0] <= cells[0][0] && cells.at(-1)[1] <= marked[1];
  const table = (block) => drawTable(block, page, { own, heading: passage.heading ?? [], paint, isQuoted });
  body.replaceChildren(...parsePage(page).map((block) => (block.kind === "table" ? table(block) : drawBlock(block, paint))));
  fitTables(body);
  scrollToMark(body);
}

function scrollToMark(body) {
  const target = body.querySelector("mark") ?? body.querySelector(".own");
  if (target) body.scrollTop += target.getBoundingClientRect().top - body.getBoundingClientRect().top - body.clientHeight / 3;
}

function drawBlock(block, paint) {
  if (block.kind === "heading") return el("p", { class: "page-heading" }, ...paint(block.start, block.end));
  if (block.kind === "lines") return el("p", {}, ...paint(block.start, block.end));
  return el("ul", { class: "page-list" }, ...block.items.map(({ start, end, sign, level }) =>
    el("li", { class: level ? `level-${level}` : null }, el("span", { class: "sign" }, sign), el("span", {}, ...paint(start, end)))));
}

/**
 * A function from a slice of the page to its nodes: the quote in <mark>, the passage in .own, the rest in .around, and
 * nothing of what is `hidden`.
 */
function painter(page, own, marked, hidden) {
  const edges = [...new Set([...own, ...(marked ?? []), ...hidden.flat()])];
  const within = (at, range) => range !== null && at >= range[0] && at < range[1];
  return (start, end) => {
    const cuts = [start, ...edges.filter((at) => at > start && at < end).sort((a, b) => a - b), end];
    return cuts.slice(1).map((stop, i) => {
      const from = cuts[i];
      if (hidden.some((range) => within(from, range))) return null;
      if (within(from, marked)) return el("mark", {}, page.slice(from, stop));
      return el("span", { class: within(from, own) ? "own" : "around" }, page.slice(from, stop));
    });
  };
}

/** The button of the same answer that opens `number`: the focus goes back there, also when the answer was drawn anew. */
function buttonFor({ turn, number, opener }) {
  if (opener?.isConnected && opener.dataset.passage === String(number)) return opener;
  const answer = turn.id && [...document.querySelectorAll(".turn")].find((one) => one.dataset.turn === turn.id);
  return (answer && answer.querySelector(`[data-passage="${number}"]`)) ?? opener;
}

/** The button whose passage is open looks so. */
export function markOpen() {
  for (const button of document.querySelectorAll("[data-open]")) button.removeAttribute("data-open");
  if (shown) buttonFor(shown)?.setAttribute("data-open", "");
}
