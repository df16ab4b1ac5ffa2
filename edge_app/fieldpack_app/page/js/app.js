// The page's state, and which part acts when. Drawing, asking, storing and wording are in modules of their own.

import * as answers from "./answer_view.js";
import * as api from "./api.js";
import { answer } from "./answer_stream.js";
import * as composer from "./composer.js";
import * as banner from "./banner.js";
import { closeOpenDrawer, openDrawer, isCovering, closeDrawer, watchWidth } from "./drawers.js";
import { chooseExpert, showAbout, confirm } from "./dialogs.js";
import { announce, arrange, byId, el, iconButton, phrase } from "./dom.js";
import * as history from "./history.js";
import { drawHistory } from "./history_view.js";
import { setLacking } from "./original.js";
import * as panel from "./passage_panel.js";
import * as transfer from "./transfer.js";
import { drawWelcome } from "./welcome.js";
import { LANGUAGES, comma, formatNow, preferredLanguage, loadLanguage, currentLanguage, reasonOf, t, translate } from "./i18n.js";

const page = {
  served: { current: "", bundles: [] }, // /api/bundles
  about: null, // /api/about
  chosen: "", // the id of the expert that this window is going over to
  conversation: history.newConversation(),
  running: null, // {turn, controller, bundle} while an answer comes
  hasRoom: true, // was there room for the last turn?
  loaded: false, // were the models asked for?
  pause: 0, // the timer that waits for a pause in typing
  folders: [], // those that questions and searches are held to; all where there is none
  editing: null, // the turn whose question is being written anew
  typed: "", // what was in the box before that
  leaves: false, // is the page going away?
};

const PAUSE = 400; // milliseconds without a key
const SLOW = 1500; // milliseconds without a passage: then something is still opening

const actions = {
  open: (turn, number, button) => panel.open(turn, number, button),
  retry: (turn) => ask(turn.question, { instead: turn, alone: turn.alone, folders: turn.folders ?? [] }),
  alone: (turn) => ask(turn.question, { instead: turn, alone: true, folders: turn.folders ?? [] }),
  edit: (turn) => edit(turn),
  goOn: (turn) => goOn(turn),
};

/** Of `act` one call runs at a time: whoever calls it meanwhile gets what that one gives. */
function oneAtATime(act) {
  let running = null;
  return () => {
    running ??= act().finally(() => { running = null; });
    return running;
  };
}

// --- asking --------------------------------------------------------------------------------------------------------

/**
 * Asks a question, in place of the turn `instead` if that is the last one. `alone`: without the question before; `folders`:
 * which may answer; `typed`: whether it stands in the box, which it then leaves.
 */
async function ask(question, { instead = null, alone = false, folders = page.folders, typed = false } = {}) {
  if (page.running || !page.about) return;
  const { conversation, served: { current: bundle } } = page;
  if (instead && isLast(instead)) history.deleteTurn(bundle, conversation, conversation.turns.pop());
  const previous = alone ? null : history.previousOf(conversation);
  const turn = { ...history.newTurn(question, alone), ...(folders?.length ? { folders: [...folders] } : {}) };
  if (typed) emptyBox();
  page.editing = null;
  conversation.turns.push(turn);
  conversation.at = turn.at;
  await run(turn, previous);
}

const isLast = (turn) => page.conversation.turns.at(-1)?.id === turn.id;

/** What is in the box was sent or is not wanted: what was in it before an edit comes back. */
function emptyBox() {
  composer.setText(page.typed);
  history.saveDraft(page.typed);
  page.typed = "";
}

/** Goes on with the last answer where a limit cut it. */
async function goOn(turn) {
  const { turns } = page.conversation;
  if (page.running || !page.about || turns.at(-1) !== turn) return;
  const previous = turn.alone ? null : history.previousOf({ turns: turns.slice(0, -1) });
  turn.state = "asking";
  delete turn.problem;
  await run(turn, previous, turn.text);
}

/** Puts a turn's question into the box; it is asked in place of the turn if that is still the last one. */
function edit(turn) {
  if (!page.editing) page.typed = composer.text();
  page.editing = turn;
  composer.setText(turn.question);
  drawScope();
  composer.focus();
}

/** Has the last turn answered, from the text on that it has `begun` with. */
async function run(turn, previous, begun = "") {
  const { conversation, served: { current: bundle } } = page;
  const controller = new AbortController();
  clearTimeout(page.pause);
  panel.stayAsItIs();
  page.running = { turn, controller, bundle };
  draw();
  saveTurn(bundle, conversation, turn);
  history.rememberOpen(bundle, conversation.id);
  history.rememberAsking(bundle, turn);
  drawList();
  scrollTo(nodeOf(turn));
  setTimeout(() => showOpening(turn), SLOW);
  try {
    await answer(turn, previous, controller.signal, progressOf(turn), begun);
    if (page.leaves) return; // the browser broke it off: what is stored is that it is being asked
  } finally {
    if (page.running?.turn === turn) { // else the conversation was left, and perhaps another question is being asked
      page.running = null;
      if (!page.leaves) history.rememberAsking(bundle, null);
    }
    // Stopped because the conversation was left or deleted: then it is not on the page, and perhaps not to be kept.
    if (!page.leaves && history.isStillWanted(bundle, conversation, turn)) saveTurn(bundle, conversation, turn);
    if (conversation === page.conversation) finishTurn(turn);
  }
  if (turn.problem?.code !== "bundle_changed" || !(await checkBundle())) return;
  if (!composer.text()) composer.setText(turn.question); // to be asked of the other expert, if the reader wants that
}

/** Says once that there is no room: what is on the page stays there, and goes with it. */
function saveTurn(bundle, conversation, turn) {
  sayIfFull(history.saveTurn(bundle, conversation, turn));
}

function sayIfFull(saved) {
  if (!saved && page.hasRoom) banner.showMessage(t("not_kept"));
  page.hasRoom = saved;
}

/** Another window kept, rated or deleted something. */
function mergeStored({ key }) {
  if (!page.about || !history.isTurnKey(page.served.current, key)) return;
  if (history.mergeStored(page.served.current, page.conversation, page.running?.turn)) draw();
  drawList();
}

const drawn = new WeakMap(); // turn -> {node, look}: what was drawn of it, and of which state in which language

/** The element of a turn of this page's. A redraw replaces it: after a change of language, say. */
const nodeOf = (turn) => drawn.get(turn).node;

/** A first question waits for the models to open: half a minute on a slow disk, and nothing else would tell. */
async function showOpening(turn) {
  const waits = () => page.running?.turn === turn && !turn.passages.length && !turn.text;
  if (!waits()) return;
  try {
    const { status } = await api.health();
    if (status === "loading" && waits()) answers.showProgress(nodeOf(turn), t("opening"));
  } catch (error) {
    if (!api.expected(error)) throw error; // the question itself will say that the server is away
  }
}

/** What is drawn while the answer comes. */
function progressOf(turn) {
  let askNow = null;
  const button = el("button", { type: "button", class: "plain small", onclick: () => askNow() });
  return {
    queued: (position) => answers.showProgress(nodeOf(turn), position ? t("queued", { n: position }) : t("searching")),
    passages: () => {
      answers.showProgress(nodeOf(turn), turn.passages.length ? t("reading", { n: turn.passages.length }) : t("searching"));
      answers.showPassages(nodeOf(turn), turn, actions);
      panel.markOpen();
    },
    quote: () => answers.showQuote(nodeOf(turn), turn, actions),
    text: () => {
      answers.showProgress(nodeOf(turn), "");
      answers.showText(nodeOf(turn), turn, actions);
    },
    waiting: (n, now) => {
      askNow = now;
      button.textContent = t("ask_now");
      answers.showProgress(nodeOf(turn), `${t("busy")} ${t("busy_wait", { n })}`, button);
    },
  };
}

function finishTurn(turn) {
  const before = nodeOf(turn);
  const node = drawTurn(turn);
  const focused = before.contains(document.activeElement) ? document.activeElement.dataset.passage : null;
  before.replaceWith(node);
  if (focused) node.querySelector(`[data-passage="${focused}"]`)?.focus();
  panel.finish(turn);
  panel.markOpen();
  const notices = [...node.querySelectorAll(".notice p, .refusal-title")].map((one) => one.textContent);
  announce([turn.text && `${t("answer_ready")} ${turn.text}`, ...notices].filter(Boolean).join(" "));
  composer.running(false);
}

function stop() {
  page.running?.controller.abort();
  composer.focus();
}

// --- drawing -------------------------------------------------------------------------------------------------------

function draw() {
  const { turns } = page.conversation;
  arrange(byId("turns"), turns.map(drawTurn));
  panel.markOpen();
  byId("welcome").hidden = turns.length > 0 || !page.about;
  if (!byId("welcome").hidden) drawWelcome(byId("welcome"), page.about, {
    ask: (question) => ask(question), open: actions.open, folders: page.folders, filter: (folders) => { page.folders = folders; drawScope(); },
  });
  composer.running(page.running !== null);
  composer.follows(turns.length > 0);
  drawScope();
}

/**
 * The element of a turn, with what has come of its answer so far. What is drawn already stays, with what was unfolded or is
 * being written in it.
 */
function drawTurn(turn) {
  const look = `${currentLanguage()} ${turn.state}`;
  const before = drawn.get(turn);
  if (before?.look === look) return before.node;
  const { conversation, served: { current: bundle } } = page;
  const keep = () => sayIfFull(history.saveRating(bundle, conversation, turn));
  const node = answers.drawTurn(turn, { ...actions, keep });
  drawn.set(turn, { node, look });
  if (page.running?.turn === turn) {
    const show = progressOf(turn);
    show.passages();
    if (turn.quote) show.quote();
    if (turn.text) show.text();
  }
  return node;
}

function drawBundle() {
  const { name, version } = page.about;
  const several = page.served.bundles.length > 1;
  document.title = name;
  byId("name").textContent = name;
  byId("name").classList.toggle("unseen", several);
  byId("switch-button").hidden = !several;
  byId("switch-button").title = t("experts");
  byId("switch-name").textContent = `${name} ${version}`;
}

/** Above the box: what a question would be held to, and which one it would take the place of. Each can be put away. */
function drawScope() {
  const part = (words, drop) => el("span", { class: "scope-part" }, el("span", {}, phrase(words)), iconButton("close", t("drop"), drop));
  const folders = page.folders.length ? [part(t("only_in", { folders: page.folders.join(comma()) }), () => {
    page.folders = [];
    draw();
    composer.focus();
  })] : [];
  const edited = page.editing && isLast(page.editing) ? [part(t("editing"), stopEditing)] : [];
  byId("scope").replaceChildren(...folders, ...edited);
  byId("scope").hidden = !folders.length && !edited.length;
}

function stopEditing() {
  page.editing = null;
  emptyBox();
  drawScope();
  composer.focus();
}

/** Who said it and when: nobody knows that of a sheet of paper. */
function drawPrinted() {
  const { name, version } = page.about ?? {};
  byId("printed").textContent = page.about ? t("printed", { name: `${name} ${version}`, date: formatNow() }) : "";
}

function drawList() {
  drawHistory(history.conversations(page.served.current), page.conversation.id, {
    open: (id) => {
      const kept = history.find(page.served.current, id);
      if (kept && id !== page.conversation.id) show(kept); // this one is there, perhaps with its answer on the way
      if (isCovering()) closeOpenDrawer();
    },
    remove: (id) => {
      history.deleteConversation(page.served.current, id);
      if (id === page.conversation.id) history.discardUnsaved(page.conversation);
      if (id === page.conversation.id) show(history.newConversation());
      drawList();
      byId("history-close").focus();
    },
  });
}

const scrollTo = (node) => node?.scrollIntoView({ block: "start" });

/** Another conversation takes the place of this one; a running answer is stopped, and a question can be asked at once. */
function show(conversation) {
  if (page.running) {
    page.running.controller.abort();
    history.rememberAsking(page.running.bundle, null);
    page.running = null;
  }
  if (page.editing) emptyBox();
  page.editing = null;
  panel.close();
  page.conversation = conversation;
  history.rememberOpen(page.served.current, conversation.turns.length ? conversation.id : null);
  draw();
  drawList();
  scrollTo(byId("turns").lastElementChild);
  composer.focus();
}

// --- bundles -------------------------------------------------------------------------------------------------------

/** Reads which expert this is, and shows the conversation that was open with it. The same one again leaves what is on the page. */
const start = oneAtATime(async () => {
  let served = null;
  let about = null;
  try {
    do {
      served = await api.bundles();
      about = await api.about();
    } while (about.id !== served.current); // another window switched in between
  } catch (error) {
    if (!api.expected(error)) throw error;
    if (!banner.reportError(error, start)) banner.showMessage(reasonOf(error));
    return;
  }
  const before = page.about === null ? null : page.served.current;
  Object.assign(page, { served, about, loaded: false });
  api.askOf(served.current);
  banner.hide("key");
  drawBundle();
  setLacking(about.lacks ?? "");
  composer.limit(about.limits?.max_question_chars);
  if (before === served.current) return comeBack();
  page.folders = [];
  show(history.restoreOpen(served.current) ?? history.newConversation());
  if (before !== null && page.chosen !== served.current) banner.showMessage(t("switched", { name: `${about.name} ${about.version}` }));
  resume();
});

/** The same expert answers again: what it could not give is asked for anew, and nothing says any more that it is away. */
function comeBack() {
  if (!page.conversation.turns.length) draw(); // the start page reads the library
  panel.complete();
  for (const note of document.querySelectorAll(".rating .failed")) note.remove();
}

/** Asks again what this window was waiting for when it was reloaded: the prompt is read already, so little time is lost. */
function resume() {
  const last = page.conversation.turns.at(-1);
  if (last?.state !== "stopped" || !history.wasAsking(page.served.current, last)) return;
  history.rememberAsking(page.served.current, null);
  if (last.cut) goOn(last);
  else actions.retry(last);
}

async function change(bundle) {
  page.chosen = bundle.id;
  try {
    await api.choose(bundle.id);
    panel.close();
    await start();
    if (page.served.current !== bundle.id) await start(); // the first one had been on its way before
  } finally {
    page.chosen = "";
  }
}

/** Goes over to the expert that the server has open, if another window or an update has changed that; true if it did. */
const checkBundle = oneAtATime(async () => {
  if (page.running || document.visibilityState === "hidden") return false;
  try {
    const served = await api.bundles();
    banner.hide("key"); // another window may have brought one
    if (page.about && served.current === page.served.current) {
      page.served = served;
      return false;
    }
    if (page.running) return false; // asked meanwhile: the server says it itself
  } catch (error) {
    if (!api.expected(error)) throw error;
    return false;
  }
  const before = page.served.current;
  await start();
  return before !== "" && page.served.current !== before;
});

/** What a call that failed means for the whole page, whoever called. */
function onTrouble(error) {
  if (page.leaves) return; // the browser broke it off
  if (error.code === "bundle_changed") checkBundle();
  else banner.reportError(error, start);
}

/** While the question is being typed the models open, and after a pause the passages that it seems to want are read. */
function onTyping() {
  history.saveDraft(composer.text());
  clearTimeout(page.pause);
  page.pause = setTimeout(readAhead, page.loaded ? PAUSE : 0);
}

async function readAhead() {
  if (page.running || !page.about) return;
  page.loaded = true;
  try {
    await api.load(composer.text(), history.previousOf(page.conversation));
  } catch (error) {
    if (!api.expected(error)) throw error;
    page.loaded = false;
  }
}

// --- history, theme, language, keys ---------------------------------------------------------------------------------

function openHistory() {
  byId("history-button").setAttribute("aria-expanded", "true");
  openDrawer(byId("history"), closeHistory);
  if (isCovering()) byId("history-close").focus();
}

function closeHistory() {
  const within = byId("history").contains(document.activeElement);
  byId("history-button").setAttribute("aria-expanded", "false");
  closeDrawer(byId("history"));
  if (within) byId("history-button").focus();
}

function toggleHistory() {
  const opens = byId("history").hidden;
  if (opens) openHistory();
  else closeHistory();
  history.saveSetting("history", opens ? "open" : "closed");
}

async function clearHistory() {
  const bundle = page.served.current; // not of one that another window switches to before the answer
  if (!(await confirm(t("delete_sure"), t("delete_sure_text"), t("delete")))) return;
  history.deleteAll(bundle);
  if (bundle !== page.served.current) return;
  history.discardUnsaved(page.conversation);
  show(history.newConversation());
}

function exportHistory() {
  const kept = history.conversations(page.served.current);
  if (kept.length) transfer.save(transfer.toFile(page.served.current, kept));
}

/** Takes the conversations of a file beside those that are kept; what is there already stays as it is. */
async function importHistory(event) {
  const [file] = event.target.files;
  event.target.value = ""; // so that the same file can be chosen again
  if (!file) return;
  const read = await transfer.fromFile(file);
  if (!read) return banner.showMessage(t("import_none"));
  if (read.bundle !== page.served.current) return banner.showMessage(t("import_other", { name: read.bundle }));
  const known = new Set(history.conversations(read.bundle).flatMap((one) => one.turns.map((turn) => turn.id)));
  let [added, isFull] = [0, false];
  for (const conversation of read.conversations) {
    for (const turn of conversation.turns.filter((one) => !known.has(one.id))) {
      if (history.saveTurn(read.bundle, conversation, turn)) added += 1;
      else isFull = true;
    }
  }
  if (history.mergeStored(read.bundle, page.conversation, page.running?.turn)) draw();
  drawList();
  banner.showMessage(isFull ? t("not_kept") : t("imported", { n: added }));
}

function changeTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  history.saveSetting("theme", root.dataset.theme);
}

async function changeLanguage(language) {
  try {
    if (!(await loadLanguage(language))) return;
  } catch (error) {
    if (!api.expected(error)) throw error;
    byId("language").value = currentLanguage();
    if (!banner.reportError(error, start)) banner.showMessage(reasonOf(error));
    return;
  }
  byId("language").value = language; // a choice before this one may have failed meanwhile
  history.saveSetting("language", language);
  translate();
  if (page.about) drawBundle();
  draw();
  drawList();
  composer.fit();
  panel.redraw();
}

function onKey(event) {
  const inText = event.target.matches?.("input, textarea, select");
  if (event.key === "/" && !inText && !byId("dialog").open && !isCovering()) {
    event.preventDefault();
    composer.focus();
  }
  if (event.key !== "Escape" || byId("dialog").open || event.defaultPrevented) return;
  if (isCovering()) closeOpenDrawer();
  else if (page.editing && event.target === byId("question")) stopEditing();
  else if (panel.isOpen() && (byId("passage").contains(event.target) || !page.running)) panel.close();
  else if (page.running) stop();
}

function connect() {
  const send = (question) => ask(question, { instead: page.editing, alone: Boolean(page.editing?.alone), typed: true });
  api.listen(onTrouble);
  composer.connect({ send, typing: onTyping, stop });
  const onClick = {
    "new-button": () => show(history.newConversation()),
    "about-button": () => page.about && showAbout(page.about),
    "switch-button": () => chooseExpert(page.served, change, banner.showMessage),
    "theme-button": changeTheme,
    "history-export": exportHistory, "history-import": () => byId("history-file").click(),
    "history-button": toggleHistory, "history-close": toggleHistory, "history-clear": clearHistory,
    backdrop: closeOpenDrawer,
  };
  for (const [id, act] of Object.entries(onClick)) byId(id).addEventListener("click", act);
  byId("language").append(...Object.entries(LANGUAGES).map(([tag, name]) => el("option", { value: tag, lang: tag }, name)));
  byId("language").value = currentLanguage();
  byId("language").addEventListener("change", (event) => changeLanguage(event.target.value));
  byId("history-file").addEventListener("change", importHistory);
  document.addEventListener("keydown", onKey);
  window.addEventListener("storage", mergeStored);
  window.addEventListener("beforeprint", drawPrinted);
  window.addEventListener("pagehide", () => { page.leaves = true; });
  window.addEventListener("pageshow", () => { page.leaves = false; });
  document.addEventListener("visibilitychange", checkBundle);
  window.addEventListener("focus", checkBundle);
  watchWidth(byId("history"), closeHistory);
  watchWidth(byId("passage"), panel.close);
}

/** Without words nothing can be said, not even that the server is away: they are asked for until they come. */
async function loadWords() {
  const chosen = history.getSetting("language");
  for (;;) {
    try {
      return await loadLanguage(chosen in LANGUAGES ? chosen : preferredLanguage());
    } catch (error) {
      if (!api.expected(error)) throw error;
      await new Promise((resolve) => { setTimeout(resolve, SLOW); });
    }
  }
}

await loadWords();
translate();
connect();
const draft = history.getDraft();
await start();
if (draft) composer.setText(draft);
const wantsList = history.getSetting("history") !== "closed" && history.conversations(page.served.current).length > 0;
if (wantsList && matchMedia("(min-width: 80rem)").matches) openHistory();
composer.focus();
