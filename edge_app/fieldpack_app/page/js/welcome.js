// What stands where no question was asked yet: what this expert knows, how it answers, a few questions to begin with.

import { el, icon } from "./dom.js";
import { drawChanges } from "./changes.js";
import { drawLibrary } from "./library.js";
import { bytes, range, t } from "./i18n.js";

const MOST_FOLDERS = 12;

/**
 * Fills `node` from /api/about; `ask(question)` is called for an example, `open(turn, number, button)` for a passage,
 * `filter(folders)` when other folders are chosen than `folders`.
 */
export function drawWelcome(node, about, { ask, open, folders, filter }) {
  const { documents, dates = [] } = about.knowledge ?? {};
  const facts = [
    documents ? t("knows", { n: documents }) : null,
    range(dates),
    about.bytes ? bytes(about.bytes) : null,
  ].filter(Boolean);
  const library = documents ? drawLibrary(open, folders) : null;
  const choose = (chosen) => { library?.filter(chosen); filter(chosen); };
  node.replaceChildren(
    el("h2", { class: "welcome-name", dir: "auto" }, about.name, " ", el("span", { class: "version" }, about.version)),
    ...(about.description ? [el("p", { class: "welcome-text", dir: "auto" }, about.description)] : []),
    el("ul", { class: "facts" }, ...facts.map((fact) => el("li", {}, fact))),
    drawChanges(),
    ...drawFolders(about.knowledge?.folders ?? {}, folders, choose),
    ...examples(about.examples ?? [], ask),
    ...(library ? [library.node] : []),
    el("ul", { class: "how" }, ...[["send", t("how_ask")], ["page", t("how_source")], ["none", refusing(about.measured)]].map(([picture, text]) =>
      el("li", {}, icon(picture), text))),
  );
}

/** How well it refuses what the documents do not say, as the build measured it; a warning where that is not known. */
function refusing({ refused_right: share } = {}) {
  return typeof share === "number" ? t("how_refuse_measured", { refused: Math.round(100 * share) }) : t("how_refuse");
}

/** The library's folders: what it is about, in its owner's words. Those that are pressed are all that is searched and asked. */
function drawFolders(counts, chosen, choose) {
  const names = Object.keys(counts).filter(Boolean);
  if (names.length < 2) return [];
  const pressed = new Set(chosen);
  return [el("ul", { class: "topics", "aria-label": t("folders") }, ...names.slice(0, MOST_FOLDERS).map((name) => {
    const button = el("button", { type: "button", dir: "auto", "aria-pressed": String(pressed.has(name)), title: t("knows", { n: counts[name] }) },
      name.replaceAll(/[-_]/g, " "));
    button.addEventListener("click", () => {
      if (!pressed.delete(name)) pressed.add(name);
      button.setAttribute("aria-pressed", String(pressed.has(name)));
      choose(names.filter((one) => pressed.has(one)));
    });
    return el("li", {}, button);
  }))];
}

function examples(questions, ask) {
  if (!questions.length) return [];
  return [
    el("h3", { class: "list-heading" }, t("examples")),
    el("ul", { class: "examples" }, ...questions.slice(0, 4).map((question) =>
      el("li", {}, el("button", { type: "button", dir: "auto", onclick: () => ask(question) }, question)))),
  ];
}
