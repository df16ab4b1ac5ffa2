// Conversations as a file, to be kept elsewhere or taken to another browser. Knows nothing of where they are stored.

const KIND = "fieldpack-conversations";
const LARGEST = 64 << 20; // bytes; a browser stores some 5 million characters

/** The file's name and text. `bundle`: id of the expert that they were asked of. */
export function toFile(bundle, conversations) {
  const data = { kind: KIND, version: 1, bundle, saved: new Date().toISOString(), conversations };
  return { name: `${bundle}-${data.saved.slice(0, 10)}.json`, text: `${JSON.stringify(data, null, 1)}\n` };
}

/**
 * The conversations of a file: {bundle, conversations}; null if it is no such file. What it says is foreign: turns are made
 * anew of the fields that are known, each held to its type, and one that misses something is left out.
 */
export async function fromFile(file) {
  if (file.size > LARGEST) return null;
  let data;
  try {
    data = JSON.parse(await file.text());
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof DOMException) return null; // it went away, or may not be read
    throw error;
  }
  if (data?.kind !== KIND || data.version !== 1 || typeof data.bundle !== "string") return null;
  const conversations = list(data.conversations, (one) => {
    const turns = list(one?.turns, turnOf);
    return isId(one?.id) && turns.length ? { id: one.id, turns } : null;
  });
  return { bundle: data.bundle, conversations };
}

const isId = (value) => typeof value === "string" && /^[\w-]{1,80}$/.test(value);
const text = (value) => (typeof value === "string" ? value : "");
const whole = (value) => (Number.isSafeInteger(value) && value >= 0 ? value : null);
const list = (values, make) => (Array.isArray(values) ? values.map(make).filter((one) => one !== null) : []);

/** Offers a file to be saved. */
export function save({ name, text: content }) {
  const address = URL.createObjectURL(new Blob([content], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

function turnOf(one) {
  const at = whole(one?.at);
  if (!isId(one?.id) || at === null || typeof one.question !== "string" || !["done", "stopped", "failed"].includes(one.state)) return null;
  const passages = list(one.passages, passageOf);
  if (passages.length !== (one.passages?.length ?? 0)) return null; // numbers would point to others
  return {
    id: one.id, question: one.question, alone: one.alone === true, at, state: one.state, text: text(one.text), asked: text(one.asked),
    refused: one.refused === true, cut: one.cut === true, kind: text(one.kind), passages,
    citations: list(one.citations, (cited) => citationOf(cited, passages.length)),
    unsupported: list(one.unsupported, spanOf),
    unknown: list(one.unknown, (word) => (typeof word === "string" ? word : null)),
    folders: list(one.folders, (name) => (typeof name === "string" ? name : null)),
    rating: ["up", "down"].includes(one.rating) ? one.rating : null,
    quote: one.quote ? citationOf(one.quote, passages.length) : null,
    timings: timingsOf(one.timings),
  };
}

function passageOf(one) {
  if (typeof one?.document !== "string" || typeof one.text !== "string" || whole(one.chunk_id) === null) return null;
  return {
    chunk_id: one.chunk_id, document: one.document, title: text(one.title), page: whole(one.page), text: one.text,
    heading: list(one.heading, (part) => (typeof part === "string" ? part : null)), start: whole(one.start) ?? 0, end: whole(one.end) ?? 0,
  };
}

function citationOf(one, count) {
  const n = whole(one?.passage);
  return n >= 1 && n <= count ? { passage: n, quote: text(one.quote), text: text(one.text) } : null;
}

const spanOf = (one) => (Array.isArray(one) && one.length === 2 && one.every((at) => whole(at) !== null) ? one : null);

function timingsOf(one) {
  const names = ["first_token_ms", "total_ms", "tokens", "prompt_tokens", "cached_tokens"];
  return Object.fromEntries(names.filter((name) => Number.isFinite(one?.[name])).map((name) => [name, one[name]]));
}
