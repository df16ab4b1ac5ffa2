// The list of conversations kept in this browser. Knows nothing of where they are kept.

import { byId, el, iconButton } from "./dom.js";
import { t, when } from "./i18n.js";

/** `open(conversation)`, `remove(conversation)`. */
export function drawHistory(list, currentId, { open, remove }) {
  byId("history-clear").hidden = !list.length;
  byId("history-export").hidden = !list.length;
  byId("history-list").replaceChildren(...(list.length ? list.map(row) : [el("li", { class: "note" }, t("history_empty"))]));

  function row(conversation) {
    const title = conversation.turns[0].question;
    return el("li", { class: conversation.id === currentId ? "current" : null },
      el("button", {
        type: "button", class: "conversation", "aria-current": conversation.id === currentId ? "true" : null,
        onclick: () => open(conversation),
      }, el("span", { class: "conversation-title", dir: "auto" }, title), el("span", { class: "note" }, when(conversation.at))),
      iconButton("trash", t("delete_one", { title }), () => remove(conversation)));
  }
}
