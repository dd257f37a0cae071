// Watch: live figures of the whole system, once a second.

import { call } from "../core/api.js";
import { el, fill, foreign } from "../core/dom.js";
import { follow } from "../core/events.js";
import { announce } from "../core/notices.js";
import { may } from "../core/session.js";
import { duration, hasText, moment, number, score, t } from "../core/texts.js";
import { guarded, troubleBox } from "../core/troubles.js";
import { plot } from "../parts/plot.js";

const DEAD_LETTERS = 50;

/** Shows the view in `main`. */
export async function show(main, _route, signal) {
  if (!may("watch")) return void main.append(el("p.empty", {}, t("right.watch")));
  const screen = layout();
  main.append(screen.node);
  void guarded(screen.letters, () => showLetters(screen.letters, signal));
  whileVisible(signal, (until) =>
    follow(
      "v1/events",
      {
        onEvent: ({ kind, data }) => kind === "figures" && screen.draw(data),
        onState: (state) => screen.state(state),
        onRefused: (trouble) => fill(screen.node, troubleBox(trouble)),
      },
      until,
    ),
  );
}

// A page in the background asks nothing of the gateway.
function whileVisible(signal, run) {
  let running = null;
  const turn = () => {
    running?.abort();
    running = null;
    if (document.hidden || signal.aborted) return;
    running = new AbortController();
    void run(AbortSignal.any([signal, running.signal]));
  };
  document.addEventListener("visibilitychange", turn, { signal });
  turn();
}

function layout() {
  const state = el("p.state", { role: "status" });
  const [wrong, plots, shards, workers, weights, letters] = Array.from({ length: 6 }, () => el("div", {}));
  plots.classList.add("plots");
  const section = (name, place) => el("section.card", {}, el("h2", {}, t(`watch.${name}`)), place);
  const node = el("div", {}, state, wrong, plots, section("shards", shards), section("workers", workers), section("weights", weights), section("letters", letters));
  const known = new Map();
  let told = "";
  return { node, letters, draw, state: showState };

  function draw(figures) {
    showWrong(wrong, [...(figures.wrong ?? []), ...(figures.problems ?? [])]);
    for (const [name, value] of Object.entries(plotted(figures))) plotOf(name).add(value);
    fill(shards, shardTable(figures.shards ?? []));
    fill(workers, workerTable(figures));
    fill(weights, weightTable(figures.weights ?? []));
  }

  // A plot for each figure that comes; a newer gateway may send more.
  function plotOf(name) {
    if (!known.has(name)) {
      const shown = name.endsWith("_ms") ? duration : (value) => number(value, value < 10 ? 1 : 0);
      const made = plot(hasText(`figure.${name}`) ? t(`figure.${name}`) : name, shown);
      known.set(name, made);
      plots.append(made.node);
    }
    return known.get(name);
  }

  function showState(next) {
    if (next === told) return;
    state.className = `state state-${next}`;
    fill(state, t(`watch.${next}`));
    told = next;
  }
}

/** Figures that are drawn over time: records a second of each topic, lag in records, freshness in milliseconds. */
export function plotted({ rates = {}, shards = [], freshness_ms, questions_under_way }) {
  const lags = shards.map((shard) => shard.lag_records).filter((lag) => lag !== null && lag !== undefined);
  const lag = lags.length ? lags.reduce((sum, each) => sum + each, 0) : null;
  // Freshness is known only if workers tell their figures, and has gaps while no text comes in.
  return { ...rates, lag_records: lag, ...(freshness_ms !== undefined && { freshness_ms }), questions_under_way };
}

let lastWrong = "";
function showWrong(place, wrong) {
  const text = wrong.join("\n");
  if (text === lastWrong && place.childElementCount) return; // said once, not every second
  lastWrong = text;
  if (!wrong.length) return void fill(place, el("p.good", {}, t("watch.well")));
  announce(wrong[0]);
  fill(place, el("div.trouble", {}, el("h2", {}, t("watch.wrong")), el("ul", {}, wrong.map((each) => el("li", {}, foreign(each))))));
}

function table(name, columns, rows) {
  const head = columns.map((column) => el("th", { scope: "col" }, t(`watch.column.${column}`)));
  return el("div.scroll", { tabindex: "0", role: "region", "aria-label": t(`watch.${name}`) }, el("table", {}, el("caption.unseen-caption", {}, t(`watch.${name}`)), el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows)));
}

// A dash for what is not known, and for the watermark of an empty partition, which would be -1.
const figure = (value) => el("td.figure", {}, value === null || value === undefined || value < 0 ? "–" : number(value));

// Offsets are the next ones in the figures, and the last ones (watermarks) here.
const last = (offset) => (offset === null || offset === undefined ? null : offset - 1);

// How far each partition has come: what is in Kafka, stored, searchable, learned. The last two are known only if
// workers tell their figures, and a column that nothing is known of is left out.
function shardTable(shards) {
  const cells = shards.map((each) => ({
    entries: each.rows, written: last(each.end_offset), stored: last(each.next_offset),
    searchable: last(each.searchable_offset), learned: last(each.folded_offset), lag: each.lag_records,
  }));
  const columns = Object.keys(cells[0] ?? {}).filter((name) => cells.some((each) => (each[name] ?? null) !== null));
  const rows = shards.map(({ partition }, row) => el("tr", {}, el("th", { scope: "row" }, String(partition)), columns.map((name) => figure(cells[row][name]))));
  return table("shards", ["partition", ...columns], rows);
}

function workerTable({ workers, solver }) {
  const rows = Object.entries(workers ?? {}).map(([role, { members = [], lag_records }]) =>
    el("tr", {}, el("th", { scope: "row" }, role), el("td", {}, members.length ? members.map((each) => el("div", {}, foreign(each.worker, 60))) : t("watch.nobody")), figure(lag_records)),
  );
  const leads = el("tr", {}, el("th", { scope: "row" }, "solver"), el("td", {}, solver ? foreign(solver, 60) : t("watch.nobody")), figure(null));
  return table("workers", ["role", "worker", "lag"], [...rows, leads]);
}

function weightTable(weights) {
  if (!weights.length) return el("p.muted", {}, t("watch.no_weights"));
  const told = (value, write) => el("td.figure", {}, value === null || value === undefined ? "–" : write(value));
  return table("weights", ["context", "version", "age", "ridge", "condition", "residual", "rank"], weights.map(({ context, version, age_s, certificate: c = {} }) =>
    el("tr", {}, el("th", { scope: "row" }, foreign(context, 64)), figure(version), told(age_s * 1000, duration), told(c.ridge, score), told(c.condition, number), told(c.residual, (value) => number(value, 6)), told(c.effective_rank ?? c.rank, number)),
  ));
}

async function showLetters(place, signal) {
  const { dead_letters: letters } = await call("GET", `v1/dead-letters?limit=${DEAD_LETTERS}`, { signal });
  const again = el("button.quiet", { type: "button", click: () => guarded(place, () => showLetters(place, signal)) }, t("watch.letters_again"));
  if (!letters.length) return fill(place, el("p.muted", {}, t("watch.no_letters")), again);
  const rows = letters.map((each) =>
    el("tr", {}, el("td.figure", {}, `${each.topic}/${each.partition}/${each.offset}`), el("td", {}, each.timestamp_ms > 0 ? moment(each.timestamp_ms) : "–"), el("td", {}, foreign(each.reason, 60)), el("td", {}, foreign(each.detail, 300))),
  );
  return fill(place, table("letters", ["record", "time", "reason", "detail"], rows), again);
}
