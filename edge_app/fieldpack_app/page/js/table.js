// A table of a page's text with its column heads: as a table where whole words fit, else each row as lines of "head: cell".
// Knows nothing of passages beyond their headings.

import { el } from "./dom.js";
import { COLUMNS } from "./parse.js";

const columnsOf = (heading) => {
  const last = heading.at(-1) ?? "";
  return last.startsWith(COLUMNS) ? last.slice(COLUMNS.length).split("|").map((part) => part.trim()) : null;
};

/**
 * Marks in a block of `parsePage` the row of column heads, and puts it there where only the passage's headings name it: `page`
 * ends before the table begins, or the table began on an earlier page. `own`: the passage's [start, end] in `page`.
 */
function withHeads({ rows }, page, own, heading) {
  if (rows.some(({ head }) => head) || rows.at(-1).end <= own[0] || rows[0].start >= own[1]) return rows;
  const names = columnsOf(heading);
  const texts = rows[0].cells.map(([start, end]) => page.slice(start, end));
  const isFirst = names ? texts.join("|") === names.join("|") : rows[0].start >= own[0] && rows.length > 1;
  if (isFirst) return [{ ...rows[0], head: true }, ...rows.slice(1)];
  return names ? [{ head: true, names }, ...rows] : rows;
}

/** The table; `paint(start, end)` gives the nodes of a slice of `page`, `isQuoted(row)` says which rows are lit. */
export function drawTable(block, page, { own, heading, paint, isQuoted }) {
  const rows = withHeads(block, page, own, heading);
  const heads = rows.find(({ head }) => head);
  const names = heads && (heads.names ?? heads.cells.map(([start, end]) => page.slice(start, end)));
  const drawRow = (row) => {
    if (row.names) return el("tr", { class: "heads" }, ...row.names.map((name) => el("th", { scope: "col" }, el("span", { class: "around" }, name))));
    if (row.head) return el("tr", { class: "heads" }, ...row.cells.map(([start, end]) => el("th", { scope: "col" }, ...paint(start, end))));
    const isNamed = names?.length === row.cells.length;
    return el("tr", { class: isQuoted(row) ? "quoted" : null }, ...row.cells.map(([start, end], i) =>
      el("td", {}, isNamed ? el("span", { class: "cell-head" }, names[i] ? `${names[i]}: ` : "") : null, el("span", {}, ...paint(start, end)))));
  };
  const parts = [rows.filter(({ head }) => head), rows.filter(({ head }) => !head)].map((some) => some.map(drawRow));
  return el("div", { class: names ? "table with-heads" : "table" },
    el("table", {}, parts[0].length ? el("thead", {}, ...parts[0]) : null, el("tbody", {}, ...parts[1])));
}

/** Lays the tables below `node` out for its width now: those whose words do not fit are narrow. Returns whether one changed. */
export function fitTables(node) {
  let changed = false;
  for (const table of node.querySelectorAll(".table")) {
    const [room, was] = [table.clientWidth, table.classList.contains("narrow")];
    if (!room) continue; // not shown now
    table.classList.remove("narrow");
    changed = table.classList.toggle("narrow", table.firstElementChild.offsetWidth > room) !== was || changed;
  }
  return changed;
}
