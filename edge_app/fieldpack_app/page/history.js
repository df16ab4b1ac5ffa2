// Conversations kept in this browser, a list for each bundle. Knows nothing of servers or of how anything looks.
//
// A conversation: {id, at, turns}. A turn: {question, at, state, text, refused, citations, passages, asked, unsupported,
// timings, kind, quote, rating, problem, alone}; its state is asking, done, stopped or failed.

const MOST = 50; // conversations of a bundle: with three passages a turn, a megabyte or two of the usual five
const listOf = (bundle) => `fieldpack:conversations:${bundle}`;
const openOf = (bundle) => `fieldpack:open:${bundle}`;

/** What is stored under `key`, or `otherwise` where storage is off or holds something that is not ours. */
function read(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? otherwise;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof DOMException) return otherwise;
    throw error;
  }
}

/** True if it could be stored: false where storage is off or full. */
function write(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
    return true;
  } catch (error) {
    if (error instanceof DOMException) return false;
    throw error;
  }
}

const isConversation = (one) => typeof one?.id === "string" && Array.isArray(one.turns) && one.turns.length > 0;

/** Latest first. */
export function conversations(bundle) {
  const kept = read(listOf(bundle), []);
  return Array.isArray(kept) ? kept.filter(isConversation).sort((a, b) => b.at - a.at) : [];
}

export function begin() {
  const random = crypto.getRandomValues(new Uint32Array(2));
  return { id: `${Date.now()}-${random.join("-")}`, at: Date.now(), turns: [] };
}

/** What no longer fits goes, oldest first. */
export function keep(bundle, conversation) {
  const others = conversations(bundle).filter((one) => one.id !== conversation.id);
  let list = [conversation, ...others].slice(0, MOST);
  while (!write(listOf(bundle), list) && list.length > 1) list = list.slice(0, Math.ceil(list.length / 2));
}

export const isKept = (bundle, conversation) => conversations(bundle).some((one) => one.id === conversation.id);

export function forget(bundle, id) {
  write(listOf(bundle), conversations(bundle).filter((one) => one.id !== id));
}

export function forgetAll(bundle) {
  write(listOf(bundle), []);
}

/** Which conversation a reload shows again; null for a new one. */
export function remember(bundle, id) {
  write(openOf(bundle), id);
}

/** The conversation that was open, a turn that was running when the page went away as stopped; null if there is none. */
export function reopen(bundle) {
  const id = read(openOf(bundle), null);
  const found = conversations(bundle).find((one) => one.id === id);
  for (const turn of found?.turns ?? []) if (turn.state === "asking") turn.state = "stopped";
  return found ?? null;
}

/** What a follow-up goes on from: the last question that was answered, null if none was. */
export function previous(conversation) {
  const last = conversation.turns.findLast((turn) => turn.state === "done" && !turn.refused);
  return last ? { question: last.asked ?? last.question, passages: last.passages.map((one) => one.chunk_id) } : null;
}

/** A setting of the page's, such as its language; null if it was never set. */
export const setting = (name) => read(`fieldpack:${name}`, null);
export const set = (name, value) => write(`fieldpack:${name}`, value);
