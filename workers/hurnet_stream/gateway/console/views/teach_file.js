// Teach a file: paste or drop it, look at its rows, have it tried, and only then teach it.
//
//   file  ->  first rows (here)  ->  v1/rehearsals: rejects and accuracy  ->  v1/files: taught, then answerable
//
// A file travels as the bytes that it has: in which encoding they are, and what is no text, the gateway says.

import { call, requestName } from "../core/api.js";
import { el, fill, foreign } from "../core/dom.js";
import { announce } from "../core/notices.js";
import { duration, number, phrase, share, t } from "../core/texts.js";
import { troubleBox } from "../core/troubles.js";
import { answerable } from "../parts/answerable.js";
import { contextField, labelled, oneAtATime, working } from "../parts/fields.js";
import { beginning, CSV, formatOf, peek } from "../parts/rows.js";

const MOST_BYTES = 8 * 1024 * 1024; // what the gateway takes
const EDITED_BYTES = 100_000; // a text area with megabytes makes typing slow, and one long line stops the page
const REJECTS_SHOWN = 50;
const REHEARSAL_MS = 180_000;

/** The panel for files. `names` are the contexts that there are; `signal` fires when the view is left. */
export function filePanel(names, signal) {
  const context = contextField(names);
  const pasted = el("textarea", { rows: 6, dir: "auto", spellcheck: "false", placeholder: t("file.example") });
  const chosen = el("input", { type: "file", accept: ".csv,.tsv,.txt,.jsonl,.ndjson,text/csv,application/x-ndjson" });
  const place = el("div", {});
  const panel = el(
    "section.card.drop", { "aria-label": t("file.title") },
    el("h2", {}, t("file.title")), el("p", {}, t("file.help")),
    labelled(t("file.paste"), pasted), labelled(t("file.choose"), chosen),
    labelled(t("teach.context"), context.field, t("file.context_help")), context.list, place,
  );
  let held = null; // {bytes, name}, or null
  pasted.addEventListener("input", () => look({ bytes: new TextEncoder().encode(pasted.value), name: "" }));
  pasted.addEventListener("paste", (event) => {
    const text = event.clipboardData.getData("text/plain");
    if (text.length > EDITED_BYTES) (event.preventDefault(), take(text));
  });
  chosen.addEventListener("click", () => (chosen.value = "")); // the same file again, mended, is a change too
  chosen.addEventListener("change", () => void read([...chosen.files]));
  context.field.addEventListener("input", () => held && look(held)); // what was tried was tried for another context
  dropsInto(panel, signal, (data) => (data.files.length ? void read([...data.files]) : take(data.getData("text/plain"))));
  return panel;

  function take(text) {
    const bytes = new TextEncoder().encode(text);
    pasted.value = bytes.length <= EDITED_BYTES ? text : "";
    look({ bytes, name: "" });
  }

  function look(file) {
    held = file;
    const problem = file.bytes.length > MOST_BYTES ? t("file.too_large", { count: file.bytes.length }) : "";
    if (problem) return refuse(problem);
    if (!beginning(file.bytes).trim()) return file.name ? refuse(t("file.empty", { name: file.name })) : fill(place);
    return fill(place, ...preview(file, context.field));
  }

  function refuse(problem) {
    held = null;
    fill(place, el("p.trouble", { role: "alert" }, problem));
  }

  async function read([file, ...others]) {
    if (!file) return undefined;
    if (others.length) return refuse(t("file.one_only", { count: others.length + 1 }));
    if (file.size > MOST_BYTES) return refuse(t("file.too_large", { count: file.size }));
    try {
      const bytes = new Uint8Array(await file.arrayBuffer()); // now, since it may change on the disk
      pasted.value = bytes.length <= EDITED_BYTES ? editable(bytes) : "";
      return look({ bytes, name: file.name });
    } catch {
      return refuse(t("file.unreadable", { name: file.name })); // a folder, or a file that is gone
    }
  }
}

// A file that misses the panel must not take the page's place in the browser. A text may be dropped into other fields.
function dropsInto(panel, signal, dropped) {
  const hits = (event) => panel.contains(event.target);
  const ours = (event) => (hits(event) || event.dataTransfer.types.includes("Files")) && (event.preventDefault(), true);
  const mark = (over) => panel.classList.toggle("over", over);
  window.addEventListener("dragover", (event) => ours(event) && mark(hits(event)), { signal });
  window.addEventListener("dragleave", () => mark(false), { signal });
  window.addEventListener("drop", (event) => {
    mark(false);
    if (ours(event) && hits(event)) dropped(event.dataTransfer);
  }, { signal });
}

// A text to edit in the page; "" if the bytes are not UTF-8, since editing would write other characters.
function editable(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return "";
  }
}

function preview(file, context) {
  const text = beginning(file.bytes);
  const body = { body: file.bytes, type: formatOf(text, file.name) };
  const { head, rows, named } = peek(text, body.type);
  const result = el("div", {});
  const button = el("button.primary", { type: "button", click: () => context.reportValidity() && tryIt(result, body, context.value) }, t("file.try"));
  const tryIt = oneAtATime(rehearse, button);
  const format = t(`file.format.${body.type === CSV ? "csv" : "jsonl"}`);
  const caption = file.name ? phrase("file.first_rows_of", { name: foreign(file.name, 80), format }) : t("file.first_rows", { format });
  const table = el(
    "table", {}, el("caption", {}, caption),
    el("thead", {}, el("tr", {}, head.map((name) => (name.trim() ? el("th", { scope: "col" }, foreign(name, 40)) : el("td", {}))))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el("td", {}, foreign(cell, 120)))))),
  );
  return [el("div.scroll", { tabindex: "0", role: "region", "aria-label": t("file.first_rows", { format }) }, table), !named && el("p.muted", {}, t("file.no_names")), el("div.actions", {}, button), result];
}

async function rehearse(place, body, context) {
  working(place, t("file.trying"));
  try {
    const told = await call("POST", `v1/rehearsals?context=${encodeURIComponent(context)}`, { ...body, patience_ms: REHEARSAL_MS });
    fill(place, ...rehearsed(told, body, context));
    announce([t("file.rows", { count: told.rows }), told.rejects?.length && t("file.rejects", { count: told.rejected ?? told.rejects.length })].filter(Boolean).join(" "));
  } catch (trouble) {
    fill(place, troubleBox(trouble, () => rehearse(place, body, context)));
  }
}

// What the trial has shown. Rows that are no texts are left out when the others are taught.
function rehearsed(told, body, context) {
  const rejects = told.rejects ?? [];
  const result = el("div", {});
  const button = el("button.primary", { type: "button", click: () => teach() }, t("file.teach", { count: told.rows }));
  const actions = el("div.actions", {}, button, el("span.muted", {}, phrase("file.into", { context: el("strong", {}, context) })));
  const name = requestName(); // one for all tries: what has been written is not written again
  const teach = oneAtATime(async () => (actions.hidden = await teachFile(result, body, context, told, name, teach)), button);
  return [
    el("p", {}, t("file.rows", { count: told.rows })),
    told.without_answer > 0 && el("p", {}, t("file.without_answer", { count: told.without_answer })),
    told.rows > 0 && accuracy(told),
    rejects.length > 0 && rejectTable(rejects, told.rejected ?? rejects.length),
    rejects.length > 0 && el("p.muted", {}, t(told.rows ? "file.mend" : "file.mend_all")),
    told.rows > 0 && actions,
    result,
  ];
}

function accuracy(told) {
  if (told.accuracy === null || told.accuracy === undefined) return el("p.muted", {}, t("file.no_accuracy"));
  return el("p.accuracy", {}, el("strong", {}, share(told.accuracy)), " ", t("file.accuracy", { count: told.rehearsed ?? told.rows }));
}

function rejectTable(rejects, count) {
  const head = ["line", "reason", "right"].map((name) => el("th", { scope: "col" }, t(`file.${name}`)));
  const shown = rejects.slice(0, REJECTS_SHOWN);
  const rows = shown.map((each) =>
    el("tr", {}, el("td.figure", {}, number(each.line)), el("td", {}, foreign(each.reason, 100)), el("td", {}, foreign(each.message, 300))),
  );
  return el(
    "div.scroll.trouble", { tabindex: "0", role: "region", "aria-label": t("file.rejects", { count }) },
    el("table", {}, el("caption", {}, t("file.rejects", { count })), el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows)),
    count > shown.length && el("p.muted", {}, t("file.rejects_more", { count: count - shown.length })),
  );
}

// Whether it is written. `again` tries once more.
async function teachFile(place, body, context, told, name, again) {
  const began = performance.now();
  const step = el("p", { role: "status" }, t("file.sending", { count: told.rows }));
  fill(place, step, el("progress", { "aria-label": t("file.progress") }));
  try {
    const written = await call("POST", `v1/files?context=${encodeURIComponent(context)}`, { ...body, headers: { "Idempotency-Key": name }, patience_ms: REHEARSAL_MS });
    fill(step, t("file.written", { took: duration(performance.now() - began) }));
    const first = written.preview?.[0] ?? told.preview?.[0]; // any of its texts will do to see that they are answerable
    fill(place, first ? await answerable(written.watermarks, { text: first.text, context: first.context ?? context }, began) : el("p.good", { role: "status" }, t("teach.written")));
    return true;
  } catch (trouble) {
    fill(place, troubleBox(trouble, again));
    return false;
  }
}
