// The page's state, and which part acts when. Drawing, asking, storing and wording are in modules of their own.

import * as answers from "./answer_view.js";
import * as api from "./api.js";
import { answer } from "./answer_stream.js";
import * as composer from "./composer.js";
import * as banner from "./banner.js";
import { closeOpenDrawer, openDrawer, isCovering, closeDrawer, watchWidth } from "./drawers.js";
import { chooseExpert, showAbout, confirm } from "./dialogs.js";
import { announce, byId, el } from "./dom.js";
import * as history from "./history.js";
import { drawHistory } from "./history_view.js";
import { setLacking } from "./original.js";
import * as panel from "./passage_panel.js";
import { drawWelcome } from "./welcome.js";
import { LANGUAGES, formatNow, preferredLanguage, loadLanguage, currentLanguage, t, translate } from "./i18n.js";

const page = {
  served: { current: "", bundles: [] }, // /api/bundles
  about: null, // /api/about
  conversation: history.newConversation(),
  running: null, // {turn, controller} while an answer comes
  hasRoom: true, // was there room for the last turn?
  loaded: false, // were the models asked for?
  pause: 0, // the timer that waits for a pause in typing
};

const PAUSE = 400; // milliseconds without a key
const SLOW = 1500; // milliseconds without a passage: then something is still opening

const actions = {
  open: (turn, number, button) => panel.open(turn, number, button),
  retry: (turn) => ask(turn.question, { instead: turn, alone: turn.alone }),
  alone: (turn) => ask(turn.question, { instead: turn, alone: true }),
  keep: (turn) => saveTurn(page.served.current, page.conversation, turn),
};

// --- asking --------------------------------------------------------------------------------------------------------

/** Asks a question, in place of the turn `instead` if that is the last one. `alone`: without the question before. */
async function ask(question, { instead = null, alone = false } = {}) {
  if (page.running || !page.about) return;
  const { conversation, served: { current: bundle } } = page;
  if (instead && conversation.turns.at(-1) === instead) history.deleteTurn(bundle, conversation, conversation.turns.pop());
  const previous = alone ? null : history.previousOf(conversation);
  const turn = history.newTurn(question, alone);
  const controller = new AbortController();
  clearTimeout(page.pause);
  conversation.turns.push(turn);
  conversation.at = turn.at;
  page.running = { turn, controller };
  composer.setText("");
  draw();
  saveTurn(bundle, conversation, turn);
  history.rememberOpen(bundle, conversation.id);
  drawList();
  scrollTo(lastNode());
  setTimeout(() => showOpening(turn), SLOW);
  try {
    const problem = await answer(turn, previous, controller.signal, progressOf(turn));
    banner.reportError(problem, start);
  } finally {
    page.running = null;
    // Stopped because the conversation was left or deleted: then it is not on the page, and perhaps not to be kept.
    if (history.isStillWanted(bundle, conversation, turn)) saveTurn(bundle, conversation, turn);
    if (conversation === page.conversation) finishTurn(turn);
    else composer.running(false);
  }
  if (turn.problem?.code === "bundle_changed") await checkBundle();
}

/** Says once that there is no room: what is on the page stays there, and goes with it. */
function saveTurn(bundle, conversation, turn) {
  const saved = history.saveTurn(bundle, conversation, turn);
  if (!saved && page.hasRoom) banner.showMessage(t("not_kept"));
  page.hasRoom = saved;
}

/** Another window kept, rated or deleted something. */
function mergeStored({ key }) {
  if (!page.about || !history.isTurnKey(page.served.current, key)) return;
  if (history.mergeStored(page.served.current, page.conversation, page.running?.turn)) draw();
  drawList();
}

/** The element of the turn that is being answered. A redraw replaces it: after a change of language, say. */
const lastNode = () => byId("turns").lastElementChild;

/** A first question waits for the models to open: half a minute on a slow disk, and nothing else would tell. */
async function showOpening(turn) {
  const waits = () => page.running?.turn === turn && !turn.passages.length && !turn.text;
  if (!waits()) return;
  try {
    const { status } = await api.health();
    if (status === "loading" && waits()) answers.showProgress(lastNode(), t("opening"));
  } catch (error) {
    if (!api.expected(error)) throw error; // the question itself will say that the server is away
  }
}

/** What is drawn while the answer comes. */
function progressOf(turn) {
  return {
    queued: (position) => answers.showProgress(lastNode(), position ? t("queued", { n: position }) : t("searching")),
    passages: () => {
      answers.showProgress(lastNode(), turn.passages.length ? t("reading", { n: turn.passages.length }) : t("searching"));
      answers.showPassages(lastNode(), turn, actions);
    },
    quote: () => answers.showQuote(lastNode(), turn, actions),
    text: () => {
      answers.showProgress(lastNode(), "");
      answers.showText(lastNode(), turn, actions);
    },
    waiting: (n, now) => answers.showProgress(lastNode(), `${t("busy")} ${t("busy_wait", { n })}`,
      el("button", { type: "button", class: "plain small", onclick: now }, t("ask_now"))),
  };
}

function finishTurn(turn) {
  const node = lastNode();
  const drawn = answers.drawTurn(turn, actions);
  const focused = node.contains(document.activeElement) ? document.activeElement.dataset.passage : null;
  node.replaceWith(drawn);
  if (focused) drawn.querySelector(`[data-passage="${focused}"]`)?.focus();
  const notices = [...drawn.querySelectorAll(".notice p, .refusal-title")].map((one) => one.textContent);
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
  byId("turns").replaceChildren(...turns.map((turn) => answers.drawTurn(turn, actions)));
  byId("welcome").hidden = turns.length > 0 || !page.about;
  if (!byId("welcome").hidden) drawWelcome(byId("welcome"), page.about, (question) => ask(question), actions.open);
  composer.running(page.running !== null);
  composer.follows(turns.length > 0);
  if (page.running && turns.includes(page.running.turn)) drawRunning(page.running.turn);
}

/** What has come of the running answer so far. */
function drawRunning(turn) {
  const show = progressOf(turn);
  show.passages();
  if (turn.text) show.text();
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

/** Who said it and when: nobody knows that of a sheet of paper. */
function drawPrinted() {
  const { name, version } = page.about ?? {};
  byId("printed").textContent = page.about ? t("printed", { name: `${name} ${version}`, date: formatNow() }) : "";
}

function drawList() {
  drawHistory(history.conversations(page.served.current), page.conversation.id, {
    open: (conversation) => { show(conversation); if (isCovering()) closeOpenDrawer(); },
    remove: (conversation) => {
      history.deleteConversation(page.served.current, conversation.id);
      if (conversation.id === page.conversation.id) history.discardUnsaved(page.conversation);
      if (conversation.id === page.conversation.id) show(history.newConversation());
      drawList();
      byId("history-close").focus();
    },
  });
}

const scrollTo = (node) => node?.scrollIntoView({ block: "start" });

/** Another conversation takes the place of this one; a running answer is stopped. */
function show(conversation) {
  page.running?.controller.abort();
  panel.close();
  page.conversation = conversation;
  history.rememberOpen(page.served.current, conversation.turns.length ? conversation.id : null);
  draw();
  drawList();
  scrollTo(byId("turns").lastElementChild);
  composer.focus();
}

// --- bundles -------------------------------------------------------------------------------------------------------

/** Reads which expert this is, and shows the conversation that was open with it. */
async function start() {
  try {
    page.served = await api.bundles();
    page.about = await api.about();
  } catch (error) {
    if (!api.expected(error)) throw error;
    if (!banner.reportError(error, start)) banner.showMessage(error.message);
    return;
  }
  page.loaded = false;
  drawBundle();
  setLacking(page.about.lacks ?? "");
  composer.limit(page.about.limits?.max_question_chars);
  show(history.restoreOpen(page.served.current) ?? history.newConversation());
}

async function change(bundle) {
  await api.choose(bundle.id);
  panel.close();
  await start();
}

/** Has another window switched to another expert meanwhile? */
async function checkBundle() {
  if (page.running || !page.about || document.visibilityState === "hidden") return;
  try {
    const served = await api.bundles();
    if (served.current === page.served.current) return;
    await start();
    banner.showMessage(t("switched", { name: page.about.name }));
  } catch (error) {
    if (!api.expected(error)) throw error;
    banner.reportError(error, start);
  }
}

/** While the question is being typed the models open, and after a pause the passages that it seems to want are read. */
function onTyping() {
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
    banner.reportError(error, start);
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
  if (!(await confirm(t("delete_sure"), t("delete_sure_text"), t("delete")))) return;
  history.deleteAll(page.served.current);
  history.discardUnsaved(page.conversation);
  show(history.newConversation());
}

function changeTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  history.saveSetting("theme", root.dataset.theme);
}

async function changeLanguage(language) {
  await loadLanguage(language);
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
  else if (panel.isOpen() && (byId("passage").contains(event.target) || !page.running)) panel.close();
  else if (page.running) stop();
}

function connect() {
  composer.connect({ send: (question) => ask(question), typing: onTyping, stop });
  const onClick = {
    "new-button": () => show(history.newConversation()),
    "about-button": () => page.about && showAbout(page.about),
    "switch-button": () => chooseExpert(page.served, change),
    "theme-button": changeTheme,
    "history-button": toggleHistory, "history-close": toggleHistory, "history-clear": clearHistory,
    backdrop: closeOpenDrawer,
  };
  for (const [id, act] of Object.entries(onClick)) byId(id).addEventListener("click", act);
  byId("language").append(...Object.entries(LANGUAGES).map(([tag, name]) => el("option", { value: tag, lang: tag }, name)));
  byId("language").value = currentLanguage();
  byId("language").addEventListener("change", (event) => changeLanguage(event.target.value));
  document.addEventListener("keydown", onKey);
  window.addEventListener("storage", mergeStored);
  window.addEventListener("beforeprint", drawPrinted);
  document.addEventListener("visibilitychange", checkBundle);
  window.addEventListener("focus", checkBundle);
  watchWidth(byId("history"), closeHistory);
  watchWidth(byId("passage"), panel.close);
}

const chosen = history.getSetting("language");
await loadLanguage(chosen in LANGUAGES ? chosen : preferredLanguage());
translate();
connect();
await start();
const wantsList = history.getSetting("history") !== "closed" && history.conversations(page.served.current).length > 0;
if (wantsList && matchMedia("(min-width: 80rem)").matches) openHistory();
composer.focus();
