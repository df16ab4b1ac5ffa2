// Reads an answer's text and a page's text into pieces to be shown. Knows nothing of elements.

/** Begins the last heading of a table's later pieces, as the index has it. */
export const COLUMNS = "Columns: ";

/** A passage's headings as a reader knows them: without the index's own one, which names a table's columns. */
export const withoutColumns = (heading) => heading.filter((part) => !part.startsWith(COLUMNS));

const MARK = /\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]/g;

/**
 * Returns the answer as [{kind, text, number}]: kind is "text", "cite" (a mark that points to one of `count` passages) or
 * "unsupported" (a figure that stands in no passage read; `spans` count code points, as Python does).
 */
export function parseAnswer(text, count, spans = []) {
  const marks = toUtf16Spans(text, spans).map(([start, end]) => ({ start, end, kind: "unsupported" }));
  for (const mark of text.matchAll(MARK)) {
    const numbers = mark[1].split(",").map(Number).filter((n) => n >= 1 && n <= count);
    if (numbers.length) marks.push({ start: mark.index, end: mark.index + mark[0].length, kind: "cite", numbers });
  }
  marks.sort((a, b) => a.start - b.start);
  const pieces = [];
  let at = 0;
  for (const { start, end, kind, numbers } of marks) {
    if (start < at) continue;
    if (start > at) pieces.push({ kind: "text", text: text.slice(at, start) });
    if (kind === "cite") pieces.push(...numbers.map((number) => ({ kind, number, text: `[${number}]` })));
    else pieces.push({ kind, text: text.slice(start, end) });
    at = end;
  }
  if (at < text.length) pieces.push({ kind: "text", text: text.slice(at) });
  return pieces;
}

/** Returns the numbers that the marks of `text` name, each once, in their order. */
function markedNumbers(text, count) {
  const numbers = [...text.matchAll(MARK)].flatMap((mark) => mark[1].split(",").map(Number));
  return [...new Set(numbers)].filter((n) => n >= 1 && n <= count);
}

/** Returns the numbers of a turn's passages in the order that a reader meets them: those that the answer cites, as it cites
 * them, then the others in rank order. */
export function readingOrder({ text, passages, citations = [] }) {
  const all = passages.map((_, i) => i + 1);
  const cited = citations.map((one) => one.passage).filter((n) => n <= all.length);
  return [...new Set([...markedNumbers(text, all.length), ...cited, ...all])];
}

/** Returns the number of the passage that a turn's answer cites first, 0 where it cites none. Without a mark in the text it is
 * the one that holds most of its words. */
export function citedFirst({ text, passages, citations = [] }) {
  return markedNumbers(text, passages.length)[0] ?? citations.find((one) => one.passage <= passages.length)?.passage ?? 0;
}

/** Returns the number that a reader sees for passage `n`. */
export const displayNumber = (turn, n) => readingOrder(turn).indexOf(n) + 1;

/** Returns whether the answer itself names no source; a passage that is cited then only holds most of its words. */
export const isUncited = ({ text, passages, citations = [] }) => citations.length > 0 && !markedNumbers(text, passages.length).length;

/** Returns the text with its marks numbered as the reader sees them. */
export function renumberMarks(turn) {
  const order = readingOrder(turn);
  return turn.text.replace(MARK, (mark, list) => {
    const numbers = list.split(",").map(Number);
    return numbers.every((n) => order.includes(n)) ? `[${numbers.map((n) => order.indexOf(n) + 1).join(", ")}]` : mark;
  });
}

const MARKUP = [
  [/!\[([^\]]*)\]\([^)\s]*\)/g, "$1"], // an image
  [/\[([^\]]+)\]\([^)\s]*\)/g, "$1"], // a link
  [/\*\*(?=\S)(.+?)(?<=\S)\*\*/g, "$1"], // bold
  [/(?<!\w)__(?=\S)(.+?)(?<=\S)__(?!\w|\.\w)/g, "$1"],
  [/(?<![\w*])\*(?=[^\s*])([^*]+?)(?<=[^\s*])\*(?![\w*])/g, "$1"], // italics
  [/(?<!\w)_(?=[^\s_])([^_]+?)(?<=[^\s_])_(?!\w)/g, "$1"],
  [/`([^`]+)`/g, "$1"], // code
  [/\\([\\`*_{}[\]()#+.!|>-])/g, "$1"], // what was escaped so that it is no markup
];

/** Returns lines of Markdown as a reader would write them down: without signs for headings, emphasis and links, a table's row
 * with dots between its cells. */
export function plainText(text) {
  const lines = text.split("\n").filter((line) => line.trim() && !isRule(line)).map((line) => {
    const bare = line.trim().replace(/^(#{1,6}|>) +/, "").replace(/^[-*+] +(\[[ xX]\] +)?/, "• ");
    const isTable = / \| |^\|.*\|$/.test(bare);
    const cells = isTable ? bare.replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim()).filter(Boolean).join(" · ") : bare;
    return MARKUP.reduce((all, [sign, replacement]) => all.replace(sign, replacement), cells);
  });
  return lines.length === 1 ? lines[0].replace(/^• /, "") : lines.join("\n");
}

/** Returns spans of code points as spans of UTF-16 units: an emoji is one there and two here. */
function toUtf16Spans(text, spans) {
  const at = [0];
  for (const character of text) at.push(at.at(-1) + character.length);
  return spans.filter(([start, end]) => start < end && end < at.length).map(([start, end]) => [at[start], at[end]]);
}

/**
 * Returns a page's text as blocks: {kind: "lines", start, end}, {kind: "heading", start, end} without its #s, {kind: "list",
 * items: [{start, end, sign, level}]} for lines that begin with a sign or a number, and {kind: "table", rows: [{head, start,
 * end, cells: [[start, end]]}]} for lines with cells between bars. All offsets point into `text`.
 */
export function parsePage(text) {
  const blocks = [];
  for (const line of linesOf(text)) {
    const last = blocks.at(-1);
    if (!text.slice(line.start, line.end).trim()) blocks.push({ kind: "gap" });
    else if (isRow(text, line)) addRow(text, blocks, last, line);
    else if (/^#{1,6} /.test(text.slice(line.start, line.end))) blocks.push(headingOf(text, line));
    else if (ITEM.test(text.slice(line.start, line.end))) addItem(text, blocks, last, line);
    else if (last?.kind === "list" && goesOn(text, last, line)) last.items.at(-1).end = line.end;
    else if (last?.kind === "lines") last.end = line.end;
    else blocks.push({ kind: "lines", ...line });
  }
  return blocks.filter((block) => block.kind !== "gap");
}

const ITEM = /^([^\S\n]*)([-*+•–]|\(?(?:\d{1,3}|[A-Za-z])[.)])[^\S\n]+(?=\S)/; // indent and sign of an item
const BEGINS = /^\s*([-*•–]|\(?[\dA-Za-z]{1,3}[.)])\s/; // an item of a list

/** Returns `text`, of the same length, with a space for each line's end at which a PDF only broke a paragraph: the line is about
 * as long as its paragraph's longest. Lists and short lines stay as they are. */
export function unwrapLines(text) {
  const lines = text.split("\n");
  const widest = lines.map((line) => line.length);
  for (let i = 1; i < lines.length; i += 1) if (lines[i].trim() && lines[i - 1].trim()) widest[i] = Math.max(widest[i], widest[i - 1]);
  for (let i = lines.length - 2; i >= 0; i -= 1) if (lines[i].trim() && lines[i + 1].trim()) widest[i] = Math.max(widest[i], widest[i + 1]);
  return lines.reduce((all, line, i) => {
    const before = lines[i - 1];
    const broken = before.length >= 50 && before.length >= 0.75 * widest[i - 1] && line.trim() && !BEGINS.test(line);
    return `${all}${broken ? " " : "\n"}${line}`;
  });
}

function linesOf(text) {
  let start = 0;
  return text.split("\n").map((line) => {
    const place = { start, end: start + line.length };
    start = place.end + 1;
    return place;
  });
}

const isRow = (text, { start, end }) => / \| |^\s*\|.*\|\s*$/.test(text.slice(start, end));
const isRule = (line) => /^\s*\|?[\s:|-]*-[\s:|-]*\|?\s*$/.test(line);

/** A line of a list, its sign and its text parted. */
function addItem(text, blocks, last, line) {
  const [all, indent, sign] = ITEM.exec(text.slice(line.start, line.end));
  const list = last?.kind === "list" ? last : { kind: "list", items: [] };
  if (list !== last) blocks.push(list);
  list.items.push({
    start: line.start + all.length, end: line.end, level: Math.min(Math.floor(indent.length / 2), 4),
    sign: /^[-*+•–]$/.test(sign) ? "•" : sign,
  });
}

/** Does a line without a sign belong to the item before it? It is indented, or the item's line was broken in a sentence. */
function goesOn(text, list, { start, end }) {
  const before = text.slice(list.items.at(-1).start, list.items.at(-1).end);
  return /^\s{2,}/.test(text.slice(start, end)) || (before.length >= 50 && !/[.!?:;]\s*$/.test(before));
}

// A link to a place; what has another scheme, such as javascript:, is shown as it stands, and so is an image.
const LINK = /(?<!!)(\[)([^\]\n]+)(\]\((?:(?:https?:\/\/|mailto:)[^)\s]*|[^)\s:]*[a-z/#][^)\s:]*)\))/gi;

/**
 * Returns what of a page's text are only signs for emphasis, code and links, as [[start, end]]: not shown, and part of what
 * is marked and copied all the same.
 */
export function markupOf(text) {
  const hidden = [];
  const hide = (start, length) => { if (length) hidden.push([start, start + length]); };
  for (const match of text.matchAll(LINK)) {
    hide(match.index, match[1].length);
    hide(match.index + match[1].length + match[2].length, match[3].length);
  }
  for (const match of text.matchAll(/(?<!\*)\*\*(?=[^\s*])([^\n]+?)(?<=[^\s*])\*\*(?!\*)|(?<!`)`([^`\n]+)`(?!`)/g)) {
    const sign = match[1] === undefined ? 1 : 2;
    hide(match.index, sign);
    hide(match.index + match[0].length - sign, sign);
  }
  return hidden.sort((a, b) => a[0] - b[0]);
}

function headingOf(text, { start, end }) {
  return { kind: "heading", start: start + text.slice(start, end).indexOf(" ") + 1, end };
}

function addRow(text, blocks, last, line) {
  const table = last?.kind === "table" ? last : { kind: "table", rows: [] };
  if (table !== last) blocks.push(table);
  if (isRule(text.slice(line.start, line.end))) for (const row of table.rows) row.head = true;
  else table.rows.push({ head: false, ...line, cells: cellsOf(text, line) });
}

function cellsOf(text, { start, end }) {
  const cells = [];
  let at = start;
  for (const part of text.slice(start, end).split("|")) {
    const inner = part.trim();
    const from = at + (inner ? part.indexOf(inner) : 0);
    cells.push([from, from + inner.length]);
    at += part.length + 1;
  }
  const line = text.slice(start, end).trim();
  return cells.slice(line.startsWith("|") ? 1 : 0, line.endsWith("|") ? -1 : undefined);
}

/** Returns [start, end] of `quote` in `text`, looked for from `from` on, then anywhere; null if it is not there. */
export function findQuote(text, quote, from = 0) {
  if (!quote) return null;
  const near = text.indexOf(quote, from);
  const at = near >= 0 ? near : text.indexOf(quote);
  return at < 0 ? null : [at, at + quote.length];
}
