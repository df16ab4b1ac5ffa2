// The list of conversations kept in this browser. Knows nothing of where they are kept.

import { byId, el, iconButton } from "./dom.js";
import { t, when } from "./i18n.js";

/** `open(id)`, `remove(id)`: what is kept of a conversation may be another by the time that it is pressed. */
export function drawHistory(list, currentId, { open, remove }) {
  byId("history-clear").hidden = !list.length;
  byId("history-export").hidden = !list.length;
  byId("history-list").replaceChildren(...(list.length ? list.map(row) : [el("li", { class: "note" }, t("history_empty"))]));

  function row(conversation) {
    const title = conversation.turns[0].question;
    return el("li", { class: conversation.id === currentId ? "current" : null },
      el("button", {
        type: "button", class: "conversation", "aria-current": conversation.id === currentId ? "true" : null,
        onclick: () => open(conversation.id),
      }, el("span", { class: "conversation-title", dir: "auto" }, title), el("span", { class: "note" }, when(conversation.at))),
      // The second click of a double click meets the row below, which has moved up.
      iconButton("trash", t("delete_one", { title }), (event) => { if (event.detail < 2) remove(conversation.id); }));
  }
}
