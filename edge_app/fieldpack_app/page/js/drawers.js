// Side panels: beside the talk where there is room, over it where there is none. Knows nothing of what they hold.

import { byId } from "./dom.js";

// As in panels.css. The history needs more room to stand beside the talk, as a passage may stand there too.
const BESIDE = { history: "(min-width: 75rem)", passage: "(min-width: 56rem)" };

let closing = null; // what Escape and the backdrop do while a panel covers the talk

const covers = (panel) => !matchMedia(BESIDE[panel.id]).matches;

/** Shows `panel`; where it covers the talk, what is below can be neither reached nor read until it is closed. */
export function openDrawer(panel, close) {
  panel.hidden = false;
  byId("room").classList.add(`with-${panel.id}`);
  if (!covers(panel)) return;
  closing = close;
  panel.classList.add("covering");
  byId("backdrop").hidden = false;
  setInert(panel, true);
}

export function closeDrawer(panel) {
  panel.hidden = true;
  panel.classList.remove("covering");
  byId("room").classList.remove(`with-${panel.id}`);
  if (document.querySelector(".covering")) return;
  closing = null;
  byId("backdrop").hidden = true;
  setInert(panel, false);
}

function setInert(panel, inert) {
  for (const node of [document.querySelector(".bar"), byId("talk"), byId("history"), byId("passage")]) {
    if (node !== panel || !inert) node.inert = inert;
  }
}

export const isCovering = () => closing !== null;
export const closeOpenDrawer = () => closing?.();

/** The window grew or shrank past a width: a panel that covered stands beside now, or the other way round. */
export function watchWidth(panel, close) {
  matchMedia(BESIDE[panel.id]).addEventListener("change", () => {
    if (panel.hidden) return;
    if (covers(panel)) openDrawer(panel, close);
    else {
      closeDrawer(panel);
      openDrawer(panel, close);
    }
  });
}
