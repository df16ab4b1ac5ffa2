// What stands across the page when it cannot work: no key, no server. Knows how to wait for a server that is away.

import * as api from "./api.js";
import { byId, el, icon, iconButton, phrase } from "./dom.js";
import { t } from "./i18n.js";

const EVERY = 3000; // milliseconds between two looks: a server takes about as long to start

let shown = null; // which one stands there: "key", "lost" or "message"
let isWatching = false;

function show(kind, title, text, ...more) {
  const banner = byId("banner");
  banner.replaceChildren(icon("warn"), el("p", {}, el("strong", {}, phrase(title)), " ", phrase(text)), ...more);
  banner.hidden = false;
  shown = kind;
}

/** Takes the banner away if it is of this kind. */
export function hide(kind) {
  if (shown !== kind) return;
  byId("banner").hidden = true;
  byId("banner").replaceChildren();
  shown = null;
}

const showLost = () => show("lost", t("lost"), t("lost_text"));

export function showMissingKey() {
  show("key", t("no_key"), t("no_key_text"), el("a", { class: "plain small", href: "/" }, t("key_enter")));
}

/** A sentence that can be put away. */
export function showMessage(text) {
  show("message", text, "", iconButton("close", t("close"), () => {
    hide("message");
    if (isWatching) showLost();
  }));
}

/** Says that the server is away and looks for it until it answers; `back()` then. */
async function waitForServer(back) {
  if (isWatching) return;
  isWatching = true;
  showLost();
  do await new Promise((resolve) => { setTimeout(resolve, EVERY); });
  while (!(await isThere()));
  isWatching = false;
  hide("lost");
  back();
}

/** Does the server answer at all? One look at a time: on a slow line two of them would call it back twice. */
async function isThere() {
  try {
    await api.health();
    return true;
  } catch (error) {
    if (!api.expected(error)) throw error;
    return false;
  }
}

/** What an ApiError or Lost means for the whole page; false if nothing. */
export function reportError(error, back) {
  if (error instanceof api.Lost) waitForServer(back);
  else if (error?.status === 401) showMissingKey();
  else return false;
  return true;
}
