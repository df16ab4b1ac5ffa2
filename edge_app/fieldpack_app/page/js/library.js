// What the library holds, on the start page: its documents to page through, its passages to search without a model.
// Knows nothing of questions and answers.

import { drawList } from "./answer_view.js";
import * as api from "./api.js";
import { el, icon } from "./dom.js";
import { readingOrder } from "./parse.js";
import { openFirst } from "./passage_panel.js";
import { comma, day, pagesOf, reasonOf, t } from "./i18n.js";

const FIRST = 5; // documents that stand there unfolded

/**
 * The section, {node, filter(folders)}; `open(turn, number, button)` shows passage `number` of what is laid out as a turn
 * without an answer. Of `folders` alone, where there are any.
 */
export function drawLibrary(open, folders = []) {
  const results = el("div", { class: "library-results" });
  const field = el("input", {
    type: "search", "aria-label": t("search_documents"), placeholder: t("search_documents"), dir: "auto", autocomplete: "off",
    maxlength: "500",
  });
  const problem = el("p", { class: "note", role: "alert" });
  const reason = (error) => {
    if (!api.expected(error)) throw error;
    return reasonOf(error);
  };
  let latest = 0; // the request that was made last is shown, or why it failed, whichever answer comes last
  const showLatest = async (load) => {
    const mine = ++latest;
    let [nodes, why] = [[], ""];
    try {
      nodes = await load();
    } catch (error) {
      why = reason(error);
    }
    if (mine !== latest) return;
    problem.textContent = why;
    results.replaceChildren(...nodes);
  };
  const isChosen = ({ document: name }) => !folders.length || folders.includes(name.split("/")[0]);
  const page = async (name, button) => {
    button.setAttribute("aria-busy", "true");
    try {
      await openFirst(async () => asTurn(await api.outline(name)), button);
      problem.textContent = "";
    } catch (error) {
      problem.textContent = reason(error);
    } finally {
      button.removeAttribute("aria-busy");
    }
  };
  const list = () => showLatest(async () => drawDocuments((await api.documents()).filter(isChosen), page));
  const search = () => showLatest(async () => {
    const turn = asTurn(await api.search(field.value.trim(), folders));
    const rows = drawList(turn, readingOrder(turn), null, { open });
    return rows.length ? rows : [el("p", { class: "note" }, t("none_read"))];
  });
  const form = el("form", { class: "library-search", role: "search" }, field,
    el("button", { type: "submit", class: "plain" }, t("search")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (field.value.trim()) search();
  });
  field.addEventListener("input", () => { if (!field.value.trim()) list(); });
  list();
  const node = el("section", { class: "library" }, el("h3", { class: "list-heading" }, t("library")), form, problem, results);
  const filter = (chosen) => {
    folders = chosen;
    if (field.value.trim()) search();
    else list();
  };
  return { node, filter };
}

const asTurn = (passages) => ({ text: "", passages, citations: [], browsing: true });

function drawDocuments(documents, page) {
  const rows = documents.map((one) => el("li", {}, drawDocument(one, page)));
  const rest = rows.slice(FIRST);
  return [
    el("ul", { class: "documents" }, ...rows.slice(0, FIRST)),
    ...(rest.length ? [el("details", { class: "others" },
      el("summary", {}, t("more_documents", { n: rest.length })), el("ul", { class: "documents" }, ...rest))] : []),
  ];
}

function drawDocument({ document: name, title, pages, date }, page) {
  const about = [title === name ? "" : title, pagesOf(name, pages), date ? day(date) : ""].filter(Boolean);
  const button = el("button", { type: "button", class: "document" }, icon("page"),
    el("span", { class: "document-text" }, el("bdi", { class: "document-name" }, name),
      el("span", { class: "note" }, ...about.flatMap((part, i) => [i ? comma() : "", el("bdi", {}, part)]))));
  button.addEventListener("click", () => page(name, button));
  return button;
}
