// Conversations saved in this browser, those of each bundle by themselves. Knows nothing of servers or of how anything looks.
//
// A conversation: {id, at, turns}. A turn: {id, question, at, state, text, refused, citations, passages, asked, unsupported,
// unknown, timings, kind, quote, cut, folders, rating, problem, alone}; its state is asking, done, stopped or failed.
//
// Each turn is a record of its own, written by the window that asked it: two windows on one conversation cannot overwrite
// each other's turns, and what was saved stays when a later one finds no room. Nothing is thrown away but what the reader
// deletes.

const recordsOf = (bundle) => `fieldpack:turn:${bundle}:`;
const turnsOf = (bundle, id) => `${recordsOf(bundle)}${id}:`;
const listOf = (bundle) => `fieldpack:conversations:${bundle}`; // all in one record, as earlier versions kept them
const openOf = (bundle) => `fieldpack:open:${bundle}`;
const askingOf = (bundle) => `fieldpack:asking:${bundle}`;
const DRAFT = "fieldpack:draft";

const unsaved = new WeakSet(); // turns that found no room

/** What is stored under `key`, or `otherwise` where storage is off or holds something that is not ours. */
function read(key, otherwise, storage = () => localStorage) {
  try {
    return JSON.parse(storage().getItem(key)) ?? otherwise;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof DOMException) return otherwise;
    throw error;
  }
}

/** True if it could be stored: false where storage is off or full. */
function write(key, value, storage = () => localStorage) {
  try {
    storage().setItem(key, JSON.stringify(value));
    return true;
  } catch (error) {
    if (error instanceof DOMException) return false;
    throw error;
  }
}

function keysOf(prefix) {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith(prefix));
  } catch (error) {
    if (error instanceof DOMException) return [];
    throw error;
  }
}

function remove(keys) {
  for (const key of keys) localStorage.removeItem(key);
}

const newId = () => `${Date.now()}-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;

export const newConversation = () => ({ id: newId(), at: Date.now(), turns: [] });

/** A turn that was not asked yet. */
export const newTurn = (question, alone) => ({
  id: newId(), question, alone, at: Date.now(), state: "asking", text: "", passages: [], citations: [], unsupported: [],
});

const isTurn = (one) => typeof one?.question === "string" && Array.isArray(one.passages);

/** Latest first. */
export function conversations(bundle) {
  migrate(bundle);
  const byId = new Map();
  for (const key of keysOf(recordsOf(bundle))) {
    const [id, turnId] = key.slice(recordsOf(bundle).length).split(":");
    const turn = read(key, null);
    if (!turnId || !isTurn(turn)) continue;
    if (!byId.has(id)) byId.set(id, { id, turns: [] });
    byId.get(id).turns.push({ ...turn, id: turnId });
  }
  for (const one of byId.values()) {
    one.turns.sort((a, b) => a.at - b.at);
    one.at = one.turns.at(-1).at;
  }
  return [...byId.values()].sort((a, b) => b.at - a.at);
}

/** Conversations that an earlier version saved in one record, each turn into its own. What finds no room stays there. */
function migrate(bundle) {
  let list = read(listOf(bundle), null);
  while (Array.isArray(list) && list.length) {
    const { id, at, turns = [] } = list.at(-1);
    const saved = turns.filter(isTurn).every((turn, i) => write(`${turnsOf(bundle, id)}${at}-${i}`, { at: at + i, ...turn }));
    if (!saved) return;
    list = list.slice(0, -1);
    write(listOf(bundle), list);
  }
  if (list !== null) remove([listOf(bundle)]);
}

/** False if there is no room for it. */
export function saveTurn(bundle, conversation, turn) {
  const saved = write(turnsOf(bundle, conversation.id) + turn.id, turn);
  if (saved) unsaved.delete(turn);
  else unsaved.add(turn);
  return saved;
}

/** Keeps a turn's rating, beside what another window may have made of the turn since; a turn that was deleted stays so. */
export function saveRating(bundle, conversation, turn) {
  const stored = read(turnsOf(bundle, conversation.id) + turn.id, null);
  if (unsaved.has(turn) || stored === null) return unsaved.has(turn) ? saveTurn(bundle, conversation, turn) : true;
  return write(turnsOf(bundle, conversation.id) + turn.id, { ...stored, rating: turn.rating });
}

/** Is a turn still wanted? Not if it was deleted, perhaps in another window. */
export const isStillWanted = (bundle, conversation, turn) =>
  unsaved.has(turn) || read(turnsOf(bundle, conversation.id) + turn.id, null) !== null;

export const deleteTurn = (bundle, conversation, turn) => remove([turnsOf(bundle, conversation.id) + turn.id]);
export const deleteConversation = (bundle, id) => remove(keysOf(turnsOf(bundle, id)));
export const deleteAll = (bundle) => remove(keysOf(recordsOf(bundle)));

/** Of a conversation that was deleted, what found no room is not wanted later either. */
export function discardUnsaved(conversation) {
  for (const turn of conversation.turns) unsaved.delete(turn);
}

/** Is `key` of a change in the store one of a bundle's turns? Null stands for all of the store. */
export const isTurnKey = (bundle, key) => key === null || key.startsWith(recordsOf(bundle));

/**
 * Takes what other windows saved, rated and deleted into `conversation`; true if that changed it. `running` is this window's
 * own turn. What another window is still asking comes when it is answered.
 */
export function mergeStored(bundle, conversation, running) {
  const stored = conversations(bundle).find((one) => one.id === conversation.id)?.turns ?? [];
  const own = (turn) => turn !== undefined && (turn === running || unsaved.has(turn));
  const here = new Map(conversation.turns.map((turn) => [turn.id, turn]));
  // A turn that says nothing new stays the same object: what is drawn of it stands, and what is being written below it.
  const kept = (turn) => turn.state === "asking" || JSON.stringify(turn) === JSON.stringify(here.get(turn.id));
  const others = stored.filter((turn) => !own(here.get(turn.id)) && (turn.state !== "asking" || here.has(turn.id)))
    .map((turn) => (kept(turn) ? here.get(turn.id) : turn));
  const turns = [...others, ...conversation.turns.filter(own)].sort((a, b) => a.at - b.at);
  const changed = turns.length !== conversation.turns.length || turns.some((turn, i) => turn !== conversation.turns[i]);
  if (changed) conversation.turns = turns;
  return changed;
}

/** Which conversation a reload of this window, or else a new window, shows again; null for a new one. */
export function rememberOpen(bundle, id) {
  write(openOf(bundle), id ?? "");
  write(openOf(bundle), id ?? "", () => sessionStorage);
}

/** A conversation as it is kept now, a turn that nobody of this window waits for as stopped; null if there is none. */
export function find(bundle, id) {
  const conversation = conversations(bundle).find((one) => one.id === id);
  for (const turn of conversation?.turns ?? []) if (turn.state === "asking") turn.state = "stopped";
  return conversation ?? null;
}

/** The conversation that was open; null if there is none. */
export const restoreOpen = (bundle) => find(bundle, read(openOf(bundle), null, () => sessionStorage) ?? read(openOf(bundle), null));

/** Which turn this window is waiting for, so that a reload of it asks again; null when it is over. */
export const rememberAsking = (bundle, turn) => write(askingOf(bundle), turn?.id ?? "", () => sessionStorage);

/** Is `turn` the one that this window waited for when it was reloaded? */
export const wasAsking = (bundle, turn) => Boolean(turn?.id) && read(askingOf(bundle), "", () => sessionStorage) === turn.id;

/** What was typed in this window and not sent. */
export const getDraft = () => read(DRAFT, "", () => sessionStorage);
export const saveDraft = (text) => write(DRAFT, text, () => sessionStorage);

/** What a follow-up goes on from: the last question that was answered, null if none was. */
export function previousOf(conversation) {
  const last = conversation.turns.findLast((turn) => turn.state === "done" && !turn.refused);
  return last ? { question: last.asked ?? last.question, passages: last.passages.map((one) => one.chunk_id) } : null;
}

/** A setting of the page's, such as its language; null if it was never set. */
export const getSetting = (name) => read(`fieldpack:${name}`, null);
export const saveSetting = (name, value) => write(`fieldpack:${name}`, value);
