// Makes elements out of plain text. The one place that builds nodes, and no way through it to HTML: what a document, a
// model or a server says stays text.

const SVG = "http://www.w3.org/2000/svg";

// What changes the order of letters or is not seen at all: as `render.py` has it for terminals.
const HIDDEN = /[\u180e\u200b\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u0080-\u009f\u{e0000}-\u{e0fff}]|(?<![\u0300-\u036f\u0590-\u{10ffff}])[\u200c-\u200f]/gu;

/** Text to be shown: hidden characters as escapes, so that "fees\u202efdp.exe" is read as it is. What is copied keeps them. */
export const visible = (text) => text.replace(HIDDEN, (one) => `\\u{${one.codePointAt(0).toString(16)}}`);

const ISOLATED = /(\u2068[^\u2066-\u2069]*\u2069)/u;

/** One of the page's own sentences (`t`), in which names are isolated: closed, an isolate moves nothing around it. */
export const phrase = (text) => document.createTextNode(text.split(ISOLATED).map((part, i) =>
  (i % 2 ? `\u2068${visible(part.slice(1, -1))}\u2069` : visible(part))).join(""));

/** An element; `props` are attributes, but for functions, which are listeners ({onclick}), and false or null, left away. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value === true ? "" : value);
  }
  const shown = children.filter((child) => child !== null && child !== undefined);
  node.append(...shown.map((child) => (typeof child === "string" ? visible(child) : child)));
  return node;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

export const byId = (id) => document.getElementById(id);

/** Text that only a screen reader says. */
export const unseen = (text) => el("span", { class: "unseen" }, text);

export function iconButton(name, label, onclick, props = {}) {
  return el("button", { type: "button", class: "icon", "aria-label": label, title: label, onclick, ...props }, icon(name));
}

/** Says a sentence to screen readers once the one before is over. */
export function announce(text) {
  const status = byId("status");
  status.textContent = "";
  requestAnimationFrame(() => { status.textContent = text; });
}

/** Makes `nodes` what `holder` holds. Those that are there already are not moved, and keep the focus and what is typed in them. */
export function arrange(holder, nodes) {
  for (const old of [...holder.childNodes]) if (!nodes.includes(old)) old.remove();
  nodes.forEach((node, i) => { if (holder.childNodes[i] !== node) holder.insertBefore(node, holder.childNodes[i] ?? null); });
}

/**
 * Copies text; where the page is served without TLS to another machine, or the browser refuses, there is only the older way.
 * False where neither did.
 */
async function copyText(text) {
  try {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
      return true;
    }
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
  }
  const hidden = el("textarea", { class: "unseen", readonly: true });
  const focused = document.activeElement;
  hidden.value = text;
  document.body.append(hidden);
  hidden.select();
  const copied = document.execCommand("copy");
  hidden.remove();
  focused?.focus();
  return copied;
}

/** A button that copies what `text()` gives and says whether it did. */
export function copyButton({ label, done, failed }, text) {
  const words = el("span", {}, label);
  const holder = el("button", { type: "button", class: "plain small" }, icon("copy"), words);
  holder.addEventListener("click", async () => {
    const said = (await copyText(text())) ? done : failed;
    words.textContent = said;
    announce(said);
    setTimeout(() => { words.textContent = label; }, 2000);
  });
  return holder;
}
