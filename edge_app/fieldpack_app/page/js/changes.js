// What the last update changed: documents added, changed and removed, and measured figures. Stands on the start page
// until it is put away, once a release.

import * as api from "./api.js";
import { el, iconButton } from "./dom.js";
import { number, t } from "./i18n.js";

const WORDS = { added: "documents_added", changed: "documents_changed", removed: "documents_removed" };
const PUT_AWAY = "fieldpack-changes"; // the release whose changes were put away, in this browser

/** The section; empty and hidden where nothing changed, or it was put away. */
export function drawChanges() {
  const section = el("section", { class: "changes", hidden: true });
  fill(section).catch((error) => { if (!api.expected(error)) throw error; }); // the page says itself when it cannot work
  return section;
}

async function fill(section) {
  const changes = await api.changes();
  if (!changes || putAway() === changes.release) return;
  const rows = [...Object.keys(WORDS).map((kind) => drawKind(kind, changes[kind])), drawFigures(changes.figures)];
  const shown = rows.filter(Boolean);
  if (!shown.length) return;
  const close = iconButton("close", t("close"), () => {
    remember(changes.release);
    section.hidden = true;
  });
  section.append(
    el("div", { class: "changes-head" }, el("h3", { class: "list-heading" }, t("changes_since", { version: changes.before })), close),
    ...shown,
  );
  section.hidden = false;
}

function drawKind(kind, { count, documents }) {
  if (!count) return null;
  const names = documents.map((name) => el("li", { dir: "auto" }, name));
  const more = count - documents.length;
  if (more) names.push(el("li", {}, t("more_documents", { n: more })));
  return el("details", {}, el("summary", {}, t(WORDS[kind], { n: count })), el("ul", {}, ...names));
}

function drawFigures(figures) {
  const moved = Object.entries(figures).filter(([, [before, now]]) => before !== now);
  if (!moved.length) return null;
  const two = (value) => number(value, { maximumFractionDigits: 2 });
  return el("ul", { class: "facts" }, ...moved.map(([name, [before, now]]) =>
    el("li", {}, `${t(`m_${name}`)}: ${two(before)} → ${two(now)}`)));
}

function putAway() {
  try {
    return localStorage.getItem(PUT_AWAY);
  } catch {
    return null; // a browser that keeps nothing shows it each time
  }
}

function remember(release) {
  try {
    localStorage.setItem(PUT_AWAY, release);
  } catch { /* as above */ }
}
