// Why this answer: the six parts of its score as bars.
//
// A bar is filled as far as the part speaks for the answer, and as long as the part counts in this context:
//
//   meaning   ███████████████▒▒▒   0.83   counts 41%
//   words     ██▒                  0.71   counts 6%
//
// The shares come from the receipt's mix: meaning and spelling have m and 1 - m, the others their factors,
// and all are divided by the sum 1 + memory + lexical + words + weights (see Scores.combined in the schema).

import { el } from "../core/dom.js";
import { score, share, t } from "../core/texts.js";

const PARTS = ["meaning", "spelling", "memory", "lexical", "words", "weights"];
const SHORTEST = 0.06; // of the full width, so that a part that hardly counts is still seen

/** A table of the parts of a candidate. `mix` is the receipt's, or null: then all bars are as long. */
export function bars(scores, mix) {
  const shares = mix ? sharesOf(mix, scores) : null;
  const most = shares ? Math.max(...Object.values(shares)) : 1;
  return el(
    "table.bars", {},
    el("caption", {}, t("parts.caption")),
    el("thead", {}, el("tr", {}, ["part", "bar", "value", "counts"].map((name) => el("th", { scope: "col" }, t(`parts.${name}`))))),
    el("tbody", {}, PARTS.map((part) => row(part, scores[part], shares, most))),
  );
}

/** How much each part counts, from 0 to 1: they add up to 1. */
export function sharesOf(mix, scores) {
  const weights = scores.weights === null || scores.weights === undefined ? 0 : mix.weights;
  const total = 1 + mix.memory + mix.lexical + mix.words + weights;
  return {
    meaning: mix.meaning / total,
    spelling: (1 - mix.meaning) / total,
    memory: mix.memory / total,
    lexical: mix.lexical / total,
    words: mix.words / total,
    weights: weights / total,
  };
}

function row(part, value, shares, most) {
  const known = value !== null && value !== undefined;
  const bar = el("span.bar", { "aria-hidden": "true" }, el("span.bar-fill"));
  bar.style.setProperty("--length", shares ? Math.max(SHORTEST, shares[part] / most) : 1);
  bar.style.setProperty("--value", known ? Math.min(1, Math.max(0, value)) : 0);
  return el(
    "tr", {},
    el("th", { scope: "row" }, el("span.part-name", {}, t(`parts.${part}.name`)), el("span.part-what", {}, t(`parts.${part}.what`))),
    el("td.part-bar", {}, bar),
    el("td.part-value", {}, known ? score(value) : t("parts.none")),
    el("td.part-counts", {}, shares ? share(shares[part]) : "–"),
  );
}
