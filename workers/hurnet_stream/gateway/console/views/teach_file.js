// Teach a file: paste or drop it, look at its rows, have it tried, and only then teach it.
//
//   file  ->  first rows (here)  ->  v1/rehearsals: rejects and accuracy  ->  v1/files: taught, then answerable

import { call, requestName } from "../core/api.js";
import { el, fill, foreign, uniqueId } from "../core/dom.js";
import { announce } from "../core/notices.js";
import { duration, number, phrase, share, t } from "../core/texts.js";
import { troubleBox } from "../core/troubles.js";
import { answerable } from "../parts/answerable.js";
import { contextField, labelled, working } from "../parts/fields.js";
import { formatOf, peek } from "../parts/rows.js";

const MOST_BYTES = 8 * 1024 * 1024; // what the gateway takes
const REJECTS_SHOWN = 50;
const REHEARSAL_MS = 180_000;

/** The panel for files. `names` are the contexts that there are. */
export function filePanel(names) {
  const context = contextField(names);
  const pasted = el("textarea", { rows: 6, dir: "auto", spellcheck: "false", placeholder: t("file.example") });
  const chosen = el("input", { type: "file", accept: ".csv,.tsv,.txt,.jsonl,.ndjson,text/csv,application/x-ndjson" });
  const place = el("div", { "aria-live": "polite" });
  const panel = el(
    "section.card.drop", { "aria-label": t("file.title") },
    el("h2", {}, t("file.title")), el("p", {}, t("file.help")),
    labelled(t("file.paste"), pasted), labelled(t("file.choose"), chosen),
    labelled(t("teach.context"), context.field, t("file.context_help")), context.list, place,
  );
  const look = (text) => text.trim() ? preview(place, text, () => context.field.value) : fill(place);
  pasted.addEventListener("input", () => look(pasted.value));
  chosen.addEventListener("change", () => chosen.files[0] && void read(chosen.files[0]));
  panel.addEventListener("dragover", (event) => (event.preventDefault(), panel.classList.add("over")));
  panel.addEventListener("dragleave", () => panel.classList.remove("over"));
  panel.addEventListener("drop", (event) => {
    event.preventDefault();
    panel.classList.remove("over");
    const file = event.dataTransfer.files[0];
    if (file) void read(file);
    else look((pasted.value = event.dataTransfer.getData("text/plain")));
  });
  return panel;

  async function read(file) {
    if (file.size > MOST_BYTES) return void fill(place, el("p.trouble", { role: "alert" }, t("file.too_large", { count: file.size })));
    const text = await file.text();
    pasted.value = text.length <= 100_000 ? text : ""; // a text area with megabytes makes typing slow
    return look(text);
  }
}

function preview(place, text, context) {
  const { head, rows } = peek(text);
  const result = el("div", {});
  const body = { body: text, type: formatOf(text) };
  const tryIt = el("button.primary", { type: "button", click: () => rehearse(result, body, context(), rows[0]) }, t("file.try"));
  const format = t(`file.format.${body.type === "text/csv" ? "csv" : "jsonl"}`);
  const table = el(
    "table", {}, el("caption", {}, t("file.first_rows", { format })),
    el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col" }, foreign(name, 40))))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el("td", {}, foreign(cell, 120)))))),
  );
  fill(place, el("div.scroll", { tabindex: "0", role: "region", "aria-label": t("file.first_rows", { format }) }, table), el("div.actions", {}, tryIt), result);
}

async function rehearse(place, body, context) {
  working(place, t("file.trying"));
  try {
    const told = await call("POST", `v1/rehearsals?context=${encodeURIComponent(context)}`, { ...body, patience_ms: REHEARSAL_MS });
    fill(place, ...rehearsed(told, body, context));
    announce(t("file.tried", { count: told.rows }));
  } catch (trouble) {
    fill(place, troubleBox(trouble, () => rehearse(place, body, context)));
  }
}

// What the trial has shown. Rows that are no texts are left out when the others are taught.
function rehearsed(told, body, context) {
  const rejects = told.rejects ?? [];
  const result = el("div", {});
  const teach = el("button.primary", { type: "button", disabled: !told.rows, click: () => teachFile(result, body, context, told) }, t("file.teach", { count: told.rows }));
  return [
    el("p", {}, t("file.rows", { count: told.rows })),
    told.without_answer > 0 && el("p", {}, t("file.without_answer", { count: told.without_answer })),
    accuracy(told),
    rejects.length > 0 && rejectTable(rejects, told.rejected ?? rejects.length),
    el("div.actions", {}, teach),
    rejects.length > 0 && el("p.muted", {}, t("file.mend")),
    result,
  ];
}

function accuracy(told) {
  if (told.accuracy === null || told.accuracy === undefined) return el("p.muted", {}, t("file.no_accuracy"));
  return el("p.accuracy", {}, el("strong", {}, share(told.accuracy)), " ", t("file.accuracy", { count: told.rehearsed ?? told.rows }));
}

function rejectTable(rejects, count) {
  const head = ["line", "reason", "right"].map((name) => el("th", { scope: "col" }, t(`file.${name}`)));
  const rows = rejects.slice(0, REJECTS_SHOWN).map((each) =>
    el("tr", {}, el("td.figure", {}, number(each.line)), el("td", {}, foreign(each.reason, 100)), el("td", {}, foreign(each.message, 300))),
  );
  return el(
    "div.scroll.trouble", { tabindex: "0", role: "region", "aria-label": t("file.rejects", { count }) },
    el("table", {}, el("caption", {}, t("file.rejects", { count })), el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows)),
  );
}

async function teachFile(place, body, context, told, name = requestName()) {
  const began = performance.now();
  const bar = el("progress", { "aria-label": t("file.progress") });
  const step = el("p", { role: "status" }, t("file.sending", { count: told.rows }));
  fill(place, step, bar);
  try {
    const written = await call("POST", `v1/files?context=${encodeURIComponent(context)}`, { ...body, headers: { "Idempotency-Key": name }, patience_ms: REHEARSAL_MS });
    fill(step, phrase("file.written", { took: duration(performance.now() - began) }));
    const first = firstText(told, body);
    fill(place, await answerable(written.watermarks, { text: first.text, context: first.context ?? context }, began));
  } catch (trouble) {
    fill(place, troubleBox(trouble, () => teachFile(place, body, context, told, name)));
  }
}

// Any of its texts will do to see that they are answerable: the first one.
function firstText(told, body) {
  if (told.preview?.[0]?.text) return told.preview[0];
  const { head, rows } = peek(body.body, 1);
  const at = (column) => rows[0]?.[head.findIndex((name) => name.trim().toLowerCase() === column)];
  return { text: at("text") || rows[0]?.[0] || "?", context: at("context") || undefined };
}
