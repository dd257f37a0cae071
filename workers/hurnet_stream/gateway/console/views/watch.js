// Watch: live figures of the whole system, once a second.

import { call } from "../core/api.js";
import { el, fill, foreign } from "../core/dom.js";
import { follow } from "../core/events.js";
import { announce } from "../core/notices.js";
import { may } from "../core/session.js";
import { duration, hasText, moment, number, t } from "../core/texts.js";
import { guarded, troubleBox } from "../core/troubles.js";
import { oneAtATime } from "../parts/fields.js";
import { plot } from "../parts/plot.js";
import { showShards, showWeights, showWorkers, table } from "../parts/status.js";

const DEAD_LETTERS = 50;

/** Shows the view in `main`. */
export async function show(main, _route, signal) {
  if (!may("watch")) return void main.append(el("p.empty", {}, t("right.watch")));
  const look = oneAtATime(() => guarded(screen.letters, () => showLetters(screen.letters, look, signal)));
  const screen = layout(look);
  main.append(screen.node);
  void look();
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

function layout(lettersCame) {
  const state = el("p.state", { role: "status" });
  const [wrong, plots, letters] = [el("div", {}), el("div.plots", {}), el("div", {})];
  const [shards, workers, weights] = ["shards", "workers", "weights"].map(table);
  const none = el("p.muted", { hidden: true }, t("watch.no_weights"));
  const section = (name, ...places) => el("section.card", {}, el("h2", {}, t(`watch.${name}`)), places);
  const node = el("div", {}, state, wrong, plots, section("shards", shards.node), section("workers", workers.node), section("letters", letters), section("weights", none, weights.node));
  const known = new Map();
  let told = "";
  return { node, letters, draw, state: showState };

  function draw(figures) {
    showWrong(wrong, [...(figures.wrong ?? []), ...(figures.problems ?? [])]);
    for (const [name, value] of Object.entries(plotted(figures))) plotOf(name).add(value);
    showShards(shards, figures.shards ?? []);
    showWorkers(workers, figures);
    showWeights(weights, figures.weights ?? []);
    none.hidden = figures.weights?.length > 0;
    weights.node.hidden = !none.hidden;
    if (figures.rates?.dead_letters > 0) lettersCame();
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

async function showLetters(place, look, signal) {
  const { dead_letters: letters } = await call("GET", `v1/dead-letters?limit=${DEAD_LETTERS}`, { signal });
  const again = el("button.quiet", { type: "button", click: look }, t("watch.letters_again"));
  if (!letters.length) return fill(place, el("p.muted", {}, t("watch.no_letters")), again);
  const rows = letters.map((each) => [
    el("td.figure", {}, `${each.topic}/${each.partition}/${each.offset}`), el("td", {}, each.timestamp_ms > 0 ? moment(each.timestamp_ms) : "–"), el("td", {}, foreign(each.reason, 60)),
    el("td", {}, foreign(each.detail, 300), each.excerpt && el("div.muted", {}, foreign(each.excerpt, 120))),
  ]);
  const shown = table("letters");
  shown.show(["record", "time", "reason", "detail"], rows);
  return fill(place, shown.node, again);
}
