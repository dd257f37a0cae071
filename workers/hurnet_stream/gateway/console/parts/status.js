// What the view Watch says in tables: partitions, workers, weights.
//
// They come anew each second, and often say the same. A table stays where it is, and only rows that have changed are
// drawn: the focus, what is marked, and how far it was scrolled stay as they are.

import { el, fill, foreign } from "../core/dom.js";
import { duration, number, score, tiny, t } from "../core/texts.js";

/** A table that stays: {node, show(columns, rows)}. Columns are names, rows are lists of cells. */
export function table(name) {
  const [head, body] = [el("tr", {}), el("tbody", {})];
  const title = t(`watch.${name}`);
  const node = el(
    "div.scroll.tall", { tabindex: "0", role: "region", "aria-label": title },
    el("table", {}, el("caption.unseen-caption", {}, title), el("thead", {}, head), body),
  );
  return { node, show };

  function show(columns, rows) {
    if (head.cells.length !== columns.length) fill(head, columns.map((each) => el("th", { scope: "col" }, t(`watch.column.${each}`))));
    rows.forEach((cells, index) => {
      const [row, old] = [el("tr", {}, cells), body.rows[index]];
      if (!old) body.append(row);
      else if (!old.isEqualNode(row)) old.replaceWith(row);
    });
    while (body.rows.length > rows.length) body.lastChild.remove();
  }
}

const first = (content) => el("th", { scope: "row" }, content);
const cell = (value, write) => el("td.figure", {}, value === null || value === undefined ? "–" : write(value));

// A dash for what is not known, and for the watermark of an empty partition, which would be -1.
const figure = (value) => cell(value < 0 ? null : value, number);

// Offsets are the next ones in the figures, and the last ones (watermarks) here.
const last = (offset) => (offset === null || offset === undefined ? null : offset - 1);

/**
 * How far each partition has come: what is in Kafka, stored, searchable, learned. The last two are known only if
 * workers tell their figures, and a column that nothing is known of is left out.
 */
export function showShards(shown, shards) {
  const cells = shards.map((each) => ({
    entries: each.rows, written: last(each.end_offset), stored: last(each.next_offset),
    searchable: last(each.searchable_offset), learned: last(each.folded_offset), lag: each.lag_records,
  }));
  const columns = Object.keys(cells[0] ?? {}).filter((name) => cells.some((each) => (each[name] ?? null) !== null));
  const rows = shards.map(({ partition }, row) => [first(foreign(partition)), ...columns.map((name) => figure(cells[row][name]))]);
  shown.show(["partition", ...columns], rows);
}

/** Who runs: {role: {members, lag_records}}, and which solver leads. */
export function showWorkers(shown, { workers, solver }) {
  const rows = Object.entries(workers ?? {}).map(([role, { members = [], lag_records }]) => [
    first(role), el("td", {}, members.length ? members.map((each) => el("div", {}, foreign(each.worker, 60))) : t("watch.nobody")), figure(lag_records),
  ]);
  shown.show(["role", "worker", "lag"], [...rows, [first("solver"), el("td", {}, solver ? foreign(solver, 60) : t("watch.nobody")), figure(null)]]);
}

/** Weights in force, and what their certificates say. */
export function showWeights(shown, weights) {
  const columns = ["context", "version", "age", "pairs", "ridge", "condition", "residual", "rank", "error"];
  const rows = weights.map(({ context, version, age_s, certificate: c = {} }) => [
    first(foreign(context, 64)), figure(version), cell(age_s * 1000, duration), cell(c.count, number), cell(c.ridge, number),
    cell(c.condition, number), cell(c.residual, score), cell(c.effective_rank, number), cell(c.inverse_error, tiny),
  ]);
  shown.show(columns, rows);
}
