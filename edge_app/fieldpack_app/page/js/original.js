// The page of a PDF as it looks, the quote lit on it. Knows nothing of the text beside it, nor of who draws the picture.

import * as api from "./api.js";
import { el, iconButton, phrase } from "./dom.js";
import { place, reasonOf, t } from "./i18n.js";

let lacking = ""; // the package that this machine needs to draw pages; empty where it is there

export const setLacking = (name) => { lacking = name; };

/** An empty holder, which `fill` fills. */
export const newHolder = () => el("div", { class: "original" });

/**
 * Fills `holder` with the page of `passage`, scrolled to the lit `quote`, or to the passage where there is none. Returns
 * false where there is no picture to see: the holder then says why.
 */
export async function fill(holder, passage, quote) {
  const say = (text) => { holder.replaceChildren(el("p", { class: "note", role: "status" }, phrase(text))); };
  if (lacking) {
    say(t("pages_missing", { package: lacking }));
    return false;
  }
  say(t("drawing_page"));
  try {
    await draw(holder, await api.original(passage, quote), passage, quote);
    return true;
  } catch (error) {
    if (!api.expected(error)) throw error;
    say(t("page_failed", { why: reasonOf(error) }));
    return false;
  }
}

/** Draws the page; throws Lost where its picture does not come. */
async function draw(holder, { picture, width, height, boxes }, passage, quote) {
  const lights = boxes.map((box) => light(box, quote ? "lit" : "lit own"));
  const image = el("img", { width, height, alt: t("page_picture", { place: place(passage) }) });
  const loaded = new Promise((resolve, reject) => {
    image.addEventListener("load", resolve);
    image.addEventListener("error", () => reject(new api.Lost(`${picture} did not come`)));
  });
  image.src = picture;
  const sheet = el("div", { class: "sheet" }, image, ...lights);
  const paper = el("div", { class: "paper", tabindex: "0", role: "group", "aria-label": image.alt }, sheet);
  const toggle = iconButton("zoom", t("enlarge"), () => {
    const isLarge = sheet.classList.toggle("large");
    toggle.setAttribute("aria-pressed", String(isLarge));
    scrollToLight(paper, lights[0]);
  }, { "aria-pressed": "false" });
  holder.replaceChildren(...[paper, toggle, boxes.length ? null : el("p", { class: "note" }, t("not_lit"))].filter(Boolean));
  scrollToLight(paper, lights[0]);
  await loaded;
}

/** A box on the page; its place is in shares of the page, so that it fits at every size. */
function light([left, top, right, bottom], kind) {
  const node = el("span", { class: kind, "aria-hidden": "true" });
  const percent = (share) => `${share * 100}%`;
  // Physical sides: a page in Arabic is not mirrored.
  Object.assign(node.style, { left: percent(left), top: percent(top), width: percent(right - left), height: percent(bottom - top) });
  return node;
}

/** Brings the first light into the upper third of what is seen, and its middle to the middle. */
export function scrollToLight(paper, node = paper?.querySelector(".lit")) {
  if (!node) return;
  const seen = paper.getBoundingClientRect();
  const box = node.getBoundingClientRect();
  paper.scrollTop += box.top - seen.top - seen.height / 3;
  paper.scrollLeft += box.left + box.width / 2 - seen.left - seen.width / 2;
}
