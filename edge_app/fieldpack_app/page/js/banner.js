// What stands across the page when it cannot work: no key, no server. Knows how to wait for a server that is away.

import * as api from "./api.js";
import { byId, el, icon, iconButton, phrase } from "./dom.js";
import { t } from "./i18n.js";

const EVERY = 3000; // milliseconds between two looks: a server takes about as long to start

let watching = null;

function show(title, text, ...more) {
  const banner = byId("banner");
  banner.replaceChildren(icon("warn"), el("p", {}, el("strong", {}, phrase(title)), " ", phrase(text)), ...more);
  banner.hidden = false;
}

export function hide() {
  byId("banner").hidden = true;
  byId("banner").replaceChildren();
}

export function showMissingKey() {
  show(t("no_key"), t("no_key_text"), el("a", { class: "plain small", href: "/" }, t("key_enter")));
}

/** A sentence that can be put away. */
export function showMessage(text) {
  show(text, "", iconButton("close", t("close"), hide));
}

/** Says that the server is away and looks for it until it answers; `back()` then. */
export function waitForServer(back) {
  if (watching !== null) return;
  show(t("lost"), t("lost_text"));
  const look = async () => {
    try {
      await api.health();
    } catch (error) {
      watching = setTimeout(look, EVERY); // only now: a slow server is not asked twice at once, nor is it back twice
      if (!api.expected(error)) throw error;
      return;
    }
    watching = null;
    hide();
    back();
  };
  watching = setTimeout(look, EVERY);
}

/** What an ApiError or Lost means for the whole page; false if nothing. */
export function reportError(error, back) {
  if (error instanceof api.Lost) waitForServer(back);
  else if (error?.status === 401) showMissingKey();
  else return false;
  return true;
}
