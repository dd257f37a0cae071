// Teach: one text by a form, or a file of them that is tried before it is taught.

import { call, requestName } from "../core/api.js";
import { el, fill, uniqueId } from "../core/dom.js";
import { may } from "../core/session.js";
import { t } from "../core/texts.js";
import { guarded, troubleBox } from "../core/troubles.js";
import { answerable } from "../parts/answerable.js";
import { contextField, growingText, labelled, oneAtATime, working } from "../parts/fields.js";
import { filePanel } from "./teach_file.js";

/** Shows the view in `main`. */
export async function show(main, _route, signal) {
  const place = el("div", {});
  main.append(place);
  if (!may("teach")) return void fill(place, el("p.empty", {}, t("right.teach")));
  const names = await guarded(place, async () => (may("ask") ? (await call("GET", "v1/contexts", { signal })).contexts.map((each) => each.name) : []));
  if (names) fill(place, el("div.columns", {}, oneText(names), filePanel(names, signal)));
}

function oneText(names) {
  const text = growingText({ required: true, rows: 2, id: uniqueId("text") });
  const answer = growingText({ rows: 1, id: uniqueId("answer") });
  const context = contextField(names);
  const key = el("input", { type: "text", maxlength: 256, autocomplete: "off" });
  const copies = el("input", { type: "number", min: 1, max: 1000, placeholder: "1", inputmode: "numeric" });
  const metadata = metadataRows();
  const place = el("div", {});
  const button = el("button.primary", { type: "submit" }, t("teach.teach"));
  const teach = oneAtATime(teachOne, button);
  const form = el(
    "form.card", {},
    el("h2", {}, t("teach.one")),
    labelled(t("teach.text"), text, t("teach.text_help")), labelled(t("teach.answer"), answer, t("teach.answer_help")),
    labelled(t("teach.context"), context.field, t("teach.context_help")), context.list,
    el("details", {}, el("summary", {}, t("teach.more")), labelled(t("teach.key"), key, t("teach.key_help")), labelled(t("teach.copies"), copies, t("teach.copies_help")), metadata.node),
    el("div.actions", {}, button), place,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void teach(place, eventOf(), next);
  });
  return form;

  // The next text is often of the same context.
  function next() {
    const { value } = context.field;
    form.reset();
    context.field.value = value;
    text.focus();
  }

  function eventOf() {
    const fields = { text: text.value.trim(), context: context.field.value, answer: answer.value.trim(), key: key.value.trim(), metadata: metadata.value() };
    const given = Object.entries(fields).filter(([, value]) => (typeof value === "string" ? value : Object.keys(value).length));
    return { ...Object.fromEntries(given), ...(copies.value && { weight: Number(copies.value) }) };
  }
}

async function teachOne(place, event, done, name = requestName()) {
  working(place, t("teach.working"));
  const began = performance.now();
  try {
    // The same name for a second try: if the first one did arrive, nothing is written twice.
    const { watermarks } = await call("POST", "v1/texts", { json: event, headers: { "Idempotency-Key": name } });
    fill(place, await answerable(watermarks, event, began));
    done();
  } catch (trouble) {
    fill(place, troubleBox(trouble, () => teachOne(place, event, done, name)));
  }
}

function metadataRows() {
  const rows = el("div", {});
  const add = el("button.quiet", { type: "button", click: () => row().querySelector("input").focus() }, t("teach.metadata_add"));
  const value = () => Object.fromEntries([...rows.children].map((each) => [...each.querySelectorAll("input")].map((field) => field.value.trim())).filter(([key]) => key));
  return { node: el("fieldset", {}, el("legend", {}, t("teach.metadata")), rows, add), value };

  function row() {
    const field = (name, properties) => el("input", { type: "text", "aria-label": t(name), placeholder: t(name), autocomplete: "off", ...properties });
    const remove = el("button.quiet.icon", { type: "button", "aria-label": t("filter.remove"), click: () => made.remove() }, "×");
    const made = el("div.filter-row", {}, field("filter.key", { pattern: "[A-Za-z0-9_.\\-]{1,64}" }), field("filter.value", { dir: "auto", maxlength: 1024 }), remove);
    rows.append(made);
    return made;
  }
}
