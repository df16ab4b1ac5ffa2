// What opens over the page: about this expert, the choice of another one, are you sure.

import { expected } from "./api.js";
import { byId, el, icon, iconButton } from "./dom.js";
import { bytes, number, percent, range, reasonOf, t } from "./i18n.js";

function show(title, ...content) {
  const dialog = byId("dialog");
  dialog.replaceChildren(
    el("div", { class: "dialog-head" },
      el("h2", { id: "dialog-title", tabindex: "-1", dir: "auto" }, title),
      iconButton("close", t("close"), () => dialog.close())),
    ...content.filter(Boolean));
  // Outside it, on the backdrop. In braces: a handler that returns false keeps links from being followed.
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
  if (!dialog.open) dialog.showModal();
  byId("dialog-title").focus();
  return dialog;
}

/** Resolves to true if it was confirmed. */
export function confirm(title, text, action) {
  return new Promise((resolve) => {
    const close = (answer) => { resolve(answer); byId("dialog").close(); };
    const dialog = show(title, el("p", {}, text), el("div", { class: "dialog-foot" },
      el("button", { type: "button", class: "plain", onclick: () => close(false) }, t("cancel")),
      el("button", { type: "button", class: "plain filled danger", onclick: () => close(true) }, action)));
    dialog.addEventListener("close", () => resolve(false), { once: true });
  });
}

/**
 * `choose(bundle)` is called for another one than the current; it throws what the server refuses. `tell(text)`: where the
 * reader has closed the choice meanwhile.
 */
export function chooseExpert({ current, bundles }, choose, tell) {
  const problem = el("p", { class: "note", role: "alert" });
  const isOpen = () => problem.isConnected && byId("dialog").open; // and not another dialog since
  const press = async (bundle) => {
    const buttons = [...list.querySelectorAll("button")];
    for (const button of buttons) button.disabled = true; // one after the other
    problem.textContent = t("switching", { name: `${bundle.name} ${bundle.version}` });
    try {
      await choose(bundle);
      if (isOpen()) byId("dialog").close();
    } catch (error) {
      if (!expected(error)) throw error;
      if (isOpen()) problem.textContent = reasonOf(error);
      else tell(reasonOf(error));
      for (const button of buttons) button.disabled = false;
    }
  };
  const list = el("ul", { class: "experts" }, ...bundles.map((bundle) =>
    el("li", {}, expertCard(bundle, bundle.id === current, () => press(bundle)))));
  show(t("experts"), list, problem);
}

function expertCard(bundle, isCurrent, onclick) {
  const use = isCurrent
    ? el("span", { class: "in-use" }, icon("check"), t("in_use"))
    : el("button", { type: "button", class: "plain filled", "aria-label": `${t("use")} ${bundle.name} ${bundle.version}` }, t("use"));
  if (!isCurrent) use.addEventListener("click", onclick);
  return el("div", { class: "expert" },
    el("div", { class: "expert-text" },
      el("p", { class: "expert-name", dir: "auto" }, bundle.name, " ", el("span", { class: "version" }, bundle.version)),
      bundle.description ? el("p", { dir: "auto" }, bundle.description) : null,
      el("p", { class: "note" }, ...holdingOf(bundle).flatMap((part, i) => [i ? " · " : "", el("bdi", {}, part)]))),
    use);
}

/** What tells two bundles of one name apart: what they hold, from when to when, their size, and else their folder. */
function holdingOf({ id, name, version, documents, dates, size }) {
  return [
    documents ? t("knows", { n: documents }) : null, range(dates), size ? bytes(size) : null,
    id === `${name}-${version}` ? null : id.split("@").at(-1),
  ].filter(Boolean);
}

export function showAbout(about) {
  const { documents, chunks, dates = [] } = about.knowledge ?? {};
  const holds = [
    documents ? t("knows", { n: documents }) : null,
    chunks ? t("knows_passages", { n: chunks }) : null,
    range(dates),
  ].filter(Boolean).join(", ");
  show(about.name,
    about.description ? el("p", { dir: "auto" }, about.description) : null,
    facts([
      [t("version"), about.version], [t("holds"), holds], [t("size"), about.bytes ? bytes(about.bytes) : ""],
      [t("model"), modelOf(about)], [t("licences"), licencesOf(about)], [t("runs_on"), runtimeOf(about)],
    ]),
    ...measured(about));
}

function facts(rows) {
  return el("dl", { class: "about" }, ...rows.filter(([, value]) => value).flatMap(([name, value]) =>
    [el("dt", {}, name), el("dd", { dir: "auto" }, String(value))]));
}

const modelOf = (about) => about.provenance?.recipe?.base?.model ?? about.provenance?.model?.source;

function licencesOf(about) {
  return Object.entries(about.provenance?.licences ?? {}).filter(([, name]) => name).map(([part, name]) => `${part}: ${name}`).join(", ");
}

function runtimeOf(about) {
  return Object.entries(about.runtime ?? {}).filter(([, one]) => typeof one !== "object").map(([name, version]) => `${name} ${version}`).join(", ");
}

const SHARES = ["value_match", "citations_right", "citations_valid", "refused_right", "refused_wrong"];

/** What the build promises of questions like its test's; nothing for a bundle of an older build. Bounds are cut, not rounded up. */
function promised(card) {
  const known = ["answered_of_100", "right_of_100", "sure", "questions", "answered", "right"];
  if (!known.every((name) => typeof card[name] === "number")) return [];
  return [el("p", { class: "guarantee" }, t("guarantee", {
    least_answered: Math.floor(card.answered_of_100), least_right: Math.floor(card.right_of_100), sure: percent(card.sure),
    questions: card.questions, answered: card.answered, right: card.right,
  })), ...(card.made_up === true ? [el("p", { class: "note" }, t("guarantee_made_up"))] : [])];
}

/** What the build measured of the arm that ships, and the way to its whole report. */
function measured(about) {
  const arm = about.measured ?? {};
  const isShare = (name) => typeof arm[name] === "number";
  const rows = SHARES.filter(isShare).map((name) => [t(`m_${name}`), percent(arm[name])]);
  if (isShare("f1")) rows.push([t("m_f1"), number(arm.f1, { minimumFractionDigits: 2, maximumFractionDigits: 2 })]);
  const link = el("a", { class: "plain", href: "/report", target: "_blank", rel: "noopener" }, icon("page"), t("report"));
  return [
    ...(rows.length ? [el("h3", { class: "list-heading" }, t("measured")), facts(rows)] : []),
    ...(rows.length && arm.questions ? [el("p", { class: "note" }, t("measured_on", { n: arm.questions }))] : []),
    ...promised(about.guarantee ?? {}),
    about.report ? el("p", {}, link) : el("p", { class: "note" }, t("no_report")),
  ];
}
