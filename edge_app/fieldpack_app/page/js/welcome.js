// What stands where no question was asked yet: what this expert knows, how it answers, a few questions to begin with.

import { el, icon } from "./dom.js";
import { drawChanges } from "./changes.js";
import { drawLibrary } from "./library.js";
import { bytes, range, t } from "./i18n.js";

/** Fills `node` from /api/about; `ask(question)` is called for an example, `open(turn, number, button)` for a passage. */
export function drawWelcome(node, about, ask, open) {
  const { documents, dates = [] } = about.knowledge ?? {};
  const facts = [
    documents ? t("knows", { n: documents }) : null,
    range(dates),
    about.bytes ? bytes(about.bytes) : null,
  ].filter(Boolean);
  node.replaceChildren(
    el("h2", { class: "welcome-name", dir: "auto" }, about.name, " ", el("span", { class: "version" }, about.version)),
    ...(about.description ? [el("p", { class: "welcome-text", dir: "auto" }, about.description)] : []),
    el("ul", { class: "facts" }, ...facts.map((fact) => el("li", {}, fact))),
    drawChanges(),
    ...topics(about.knowledge?.folders ?? {}),
    ...examples(about.examples ?? [], ask),
    ...(documents ? [drawLibrary(open)] : []),
    el("ul", { class: "how" }, ...[["new", "how_ask"], ["page", "how_source"], ["none", "how_refuse"]].map(([picture, key]) =>
      el("li", {}, icon(picture === "new" ? "send" : picture), t(key)))),
  );
}

/** The library's folders: what it is about, in its owner's words. */
function topics(folders) {
  const names = Object.keys(folders).filter(Boolean);
  if (names.length < 2) return [];
  return [el("ul", { class: "topics" }, ...names.slice(0, 12).map((name) => el("li", { dir: "auto" }, name.replaceAll(/[-_]/g, " "))))];
}

function examples(questions, ask) {
  if (!questions.length) return [];
  return [
    el("h3", { class: "list-heading" }, t("examples")),
    el("ul", { class: "examples" }, ...questions.slice(0, 4).map((question) =>
      el("li", {}, el("button", { type: "button", dir: "auto", onclick: () => ask(question) }, question)))),
  ];
}
