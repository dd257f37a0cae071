// Which entries may answer: a filter on metadata, built row by row or written as JSON.
//
//   product  is        router          {"and": [{"key": "product", "is": "router"},
//   price    at_least  10      ->               {"key": "price", "at_least": 10}]}
//
// One row is its own filter, several are joined by and / or. What the rows can't say, the JSON can.

import { el, fill, uniqueId } from "../core/dom.js";
import { t } from "../core/texts.js";

const OPERATORS = ["is", "in", "at_least", "at_most", "above", "below", "exists", "lacks"];
const WITHOUT_VALUE = new Set(["exists", "lacks"]);
const BOUNDS = new Set(["at_least", "at_most", "above", "below"]);
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/; // as values are read: neither 0x10 nor Infinity

/** A filter editor: {node, value(), set(filter)}. `value` gives the filter or null, or throws an Error for a person to read. */
export function filterEditor() {
  const rows = el("div.filter-rows", {});
  const join = el("select", { "aria-label": t("filter.join") }, ["and", "or"].map((name) => el("option", { value: name }, t(`filter.${name}`))));
  const id = uniqueId("filter");
  const json = el("textarea", { id, rows: 4, spellcheck: "false", dir: "ltr", placeholder: '{"key": "product", "is": "router"}' });
  const add = el("button.quiet", { type: "button", click: () => addRow().querySelector("input").focus() }, t("filter.add"));
  const byRows = el("div", {}, rows, el("div.actions", {}, add, join));
  const byJson = el("div", { hidden: true }, el("label", { for: id }, t("filter.json")), json);
  const turn = el("button.quiet", { type: "button", click: () => swap() }, t("filter.as_json"));
  const node = el("details.filter", {}, el("summary", {}, t("filter.title")), el("p.muted", {}, t("filter.help")), byRows, byJson, el("div.actions", {}, turn));
  addRow();
  return { node, value: () => (byJson.hidden ? fromRows() : fromJson(json.value)), set };

  // Shows a filter that was used before.
  function set(filter) {
    if (!filter) return;
    if (byJson.hidden) swap();
    json.value = JSON.stringify(filter, null, 2);
    node.open = true;
  }

  function addRow() {
    const row = filterRow(() => rows.children.length > 1 && row.remove());
    rows.append(row);
    return row;
  }

  // What was built goes along into the JSON, but not back: JSON can say more than rows.
  function swap() {
    if (byJson.hidden) {
      const built = fromRows();
      if (built) json.value = JSON.stringify(built, null, 2);
    }
    byJson.hidden = !byJson.hidden;
    byRows.hidden = !byRows.hidden;
    fill(turn, t(byJson.hidden ? "filter.as_json" : "filter.as_rows"));
  }

  function fromRows() {
    const parts = [...rows.children].map((row) => condition(...fields(row))).filter(Boolean);
    return parts.length > 1 ? { [join.value]: parts } : (parts[0] ?? null);
  }
}

const fields = (row) => ["key", "operator", "value"].map((name) => row.querySelector(`[data-field=${name}]`).value.trim());

/** The filter of one row, or null if it is empty. Throws an Error if only its key is missing. Numbers are meant where bounds look like numbers. */
export function condition(key, operator, value) {
  if (!key && value) throw new Error(t("filter.no_key", { value }));
  if (!key) return null;
  if (operator === "exists") return { key, exists: true };
  if (operator === "lacks") return { key, exists: false };
  if (operator === "in") return { key, in: value.split(",").map((each) => each.trim()).filter(Boolean) };
  if (BOUNDS.has(operator) && NUMBER.test(value) && Number.isFinite(Number(value))) return { key, [operator]: Number(value) };
  return { key, [operator]: value };
}

function fromJson(text) {
  if (!text.trim()) return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(t("filter.not_json", { reason: error.message }));
  }
}

function filterRow(remove) {
  const value = el("input", { type: "text", dir: "auto", "data-field": "value", "aria-label": t("filter.value"), placeholder: t("filter.value"), autocomplete: "off" });
  const operator = el(
    "select", { "data-field": "operator", "aria-label": t("filter.operator"), change: () => (value.hidden = WITHOUT_VALUE.has(operator.value)) },
    OPERATORS.map((name) => el("option", { value: name }, t(`filter.${name}`))),
  );
  const key = el("input", { type: "text", "data-field": "key", "aria-label": t("filter.key"), placeholder: t("filter.key"), autocomplete: "off", spellcheck: "false" });
  const away = el("button.quiet.icon", { type: "button", "aria-label": t("filter.remove"), click: remove }, "×");
  return el("div.filter-row", {}, key, operator, value, away);
}
