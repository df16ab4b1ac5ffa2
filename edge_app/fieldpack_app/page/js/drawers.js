// Side panels: beside the talk where there is room, over it where there is none. Knows nothing of what they hold.

import { byId } from "./dom.js";

// As in panels.css. The history needs more room to stand beside the talk, as a passage may stand there too.
const BESIDE = { history: "(min-width: 75rem)", passage: "(min-width: 56rem)" };

const covering = new Map(); // panels that cover the talk, the topmost last, with what Escape and the backdrop do to them

const covers = (panel) => !matchMedia(BESIDE[panel.id]).matches;

/** Shows `panel`; where it covers the talk, what is below can be neither reached nor read until it is closed. */
export function openDrawer(panel, close) {
  panel.hidden = false;
  byId("room").classList.add(`with-${panel.id}`);
  if (!covers(panel)) return;
  panel.classList.add("covering");
  covering.delete(panel);
  covering.set(panel, close);
  shutOff();
}

export function closeDrawer(panel) {
  panel.hidden = true;
  panel.classList.remove("covering");
  byId("room").classList.remove(`with-${panel.id}`);
  covering.delete(panel);
  shutOff();
}

/** What is below the topmost panel that covers takes no clicks and no keys. */
function shutOff() {
  const top = [...covering.keys()].at(-1);
  byId("backdrop").hidden = !top;
  for (const node of [document.querySelector(".bar"), byId("talk"), byId("history"), byId("passage")]) {
    node.inert = top !== undefined && node !== top;
  }
}

export const isCovering = () => covering.size > 0;
export const closeOpenDrawer = () => [...covering.values()].at(-1)?.();

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
