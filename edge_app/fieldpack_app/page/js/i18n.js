// The page's own words, in the reader's language: texts, plurals, numbers, dates. Knows nothing of answers or documents.

import * as api from "./api.js";
import { withoutColumns } from "./parse.js";

export const LANGUAGES = {
  en: "English", de: "Deutsch", fr: "Français", es: "Español", pt: "Português", it: "Italiano", pl: "Polski",
  uk: "Українська", sk: "Slovenčina", ar: "العربية", zh: "中文",
};
const RIGHT_TO_LEFT = new Set(["ar"]);

let language = "en";
let locale = "en";
let words = {};
let wanted = null; // the language that was asked for last

/** The first language of the browser's that there are words for. */
export function preferredLanguage(tags = navigator.languages) {
  const known = tags.map((tag) => tag.toLowerCase().split("-")[0]).find((tag) => tag in LANGUAGES);
  return known ?? "en";
}

/**
 * Takes a language's words, and sets the document's language and direction. Of several that are on their way the one that
 * was wanted last is taken, whichever comes first; false for the others, which change nothing.
 */
export async function loadLanguage(chosen) {
  wanted = chosen;
  const taken = await api.words(chosen);
  if (wanted !== chosen) return false;
  words = taken;
  language = chosen;
  // The reader's own region writes the numbers where the language is theirs: 1'000 in de-CH, 1.000 in de-DE.
  locale = navigator.languages.find((tag) => tag.toLowerCase().split("-")[0] === chosen) ?? chosen;
  document.documentElement.lang = chosen;
  document.documentElement.dir = RIGHT_TO_LEFT.has(chosen) ? "rtl" : "ltr";
  return true;
}

export const currentLanguage = () => language;

/** The text of `key` with `{name}` filled in; `n` chooses the plural. Numbers are written as the language writes them. */
export function t(key, values = {}) {
  const entry = words[key] ?? key;
  const text = typeof entry === "string" ? entry : entry[new Intl.PluralRules(locale).select(values.n)] ?? entry.other;
  return text.replace(/\{(\w+)\}/g, (all, name) => (name in values ? isolated(values[name]) : all));
}

/** The text of a document between the language's quotation marks. Not isolated: the whole has the text's own direction. */
export const quoted = (text) => words["quoted"].replace("{text}", () => text);

function isolated(value) {
  if (typeof value === "number") return number(value);
  // Isolated, so that an English file name does not turn an Arabic sentence around, nor an Arabic question an English one.
  return RIGHT_TO_LEFT.has(language) || /\p{Script=Arabic}|\p{Script=Hebrew}/u.test(value) ? `\u2068${value}\u2069` : String(value);
}

export const number = (value, options = {}) => new Intl.NumberFormat(locale, options).format(value);

export const percent = (share) => number(share, { style: "percent", maximumFractionDigits: 0 });

/** Milliseconds as people read them: "0.04s", "2.1s", "14s". */
export function seconds(ms) {
  const digits = ms < 1_000 ? 2 : ms < 10_000 ? 1 : 0;
  return number(ms / 1000, {
    style: "unit", unit: "second", unitDisplay: "narrow", minimumFractionDigits: digits, maximumFractionDigits: digits,
  });
}

export function bytes(count) {
  const units = [["gigabyte", 1e9], ["megabyte", 1e6], ["kilobyte", 1e3]];
  const [unit, size] = units.find(([, least]) => count >= least) ?? units.at(-1);
  return number(count / size, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: count >= 1e9 ? 1 : 0 });
}

/** Today's moment as a time, another day's as a date. */
export function when(moment) {
  const then = new Date(moment);
  const today = then.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(locale, today ? { timeStyle: "short" } : { dateStyle: "medium" }).format(then);
}

/** This moment with its date, for a printed page. */
export const formatNow = () => new Intl.DateTimeFormat(locale, { dateStyle: "long", timeStyle: "short" }).format(new Date());

/** "2025-03-31" as a date of the reader's; what is no such date stays as it is. An Arabic one has no marks of direction: it is isolated. */
export function day(text) {
  const then = new Date(`${text}T12:00:00`);
  if (Number.isNaN(then.getTime())) return text;
  return new Intl.DateTimeFormat(locale, { dateStyle: "medium" }).format(then).replace(/[\u200e\u200f]/g, "");
}

/** The first and the last date of a library's documents; null for none, or for one, which says little of a library. */
export function range([from, to]) {
  return from && to && from !== to ? t("dated", { from: day(from), to: day(to) }) : null;
}

const PAGES = { odp: "slide", pptx: "slide", ods: "sheet", xlsm: "sheet", xlsx: "sheet" }; // what `page` counts there, as the runtime's citations have it

const kindOf = (name) => PAGES[name.split(".").pop().toLowerCase()] ?? "page";

/** "page 3", "sheet Travel" (a sheet's name is its outermost heading); empty for a document without pages. */
export function pageOf({ document: name, page, heading = [] }) {
  const kind = kindOf(name);
  return page === null || page === undefined ? "" : t(kind, { n: (kind === "sheet" && heading[0]) || page });
}

/** The titles and headings that a passage stands below, outermost first: without a table's column heads and what `pageOf` has. */
export function headingsOf({ document: name, heading = [] }) {
  const own = withoutColumns(heading);
  return kindOf(name) === "sheet" ? own.slice(1) : own;
}

/** "12 pages"; empty for a document without pages. */
export function pagesOf(name, count) {
  const suffix = name.split(".").pop().toLowerCase();
  return count > 0 && !(suffix in PAGES) ? t("pages", { n: count }) : "";
}

export const comma = () => ({ ar: "، ", zh: "，" })[language] ?? ", ";

/** Where a passage stands, as people name it: "fees.pdf, page 3". */
export function place(passage) {
  const page = pageOf(passage);
  return page ? `${isolated(passage.document)}${comma()}${page}` : isolated(passage.document);
}

/** Why a call failed (an ApiError or Lost), in the page's own words where it has any. */
export function reasonOf(error) {
  if (error instanceof api.Lost) return t("lost");
  if (error.status === 401) return t("no_key");
  return error.code === "bundle_changed" ? t("other_expert") : error.message;
}

/** Writes the words into all below `root` that names them: data-t, data-t-label, data-t-title. */
export function translate(root = document) {
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of root.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", t(node.dataset.tLabel));
  for (const node of root.querySelectorAll("[data-t-title]")) node.title = t(node.dataset.tTitle);
}
