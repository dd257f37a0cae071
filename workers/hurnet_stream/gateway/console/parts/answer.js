// An answer as a person wants it: big, how sure it is in plain words, where it came from, what came second.

import { el, foreign, foreignWhole } from "../core/dom.js";
import { placeOf } from "../core/places.js";
import { hasText, phrase, score, share, t } from "../core/texts.js";

const CLOSE = 0.02; // combined scores that differ by less are as good as equal

const LONG = 160; // characters of an answer that is set as a text, and not as a headline

/** The answer, or why there is none. `heading` is the element's name, h2 by default. */
export function answerText(reply, heading = "h2") {
  const box = el(`div.answer.outcome-${known(reply.outcome)}`, {}, el(heading + ".answer-label", {}, outcomeOf(reply)));
  if (reply.answer !== null && reply.answer !== undefined) {
    box.append(el(reply.answer.length > LONG || reply.answer.includes("\n") ? "p.answer-text.long" : "p.answer-text", {}, foreignWhole(reply.answer, t("text.all", { count: reply.answer.length }))));
  } else {
    if (reply.reason) box.append(el("p", {}, foreign(reply.reason)));
    const best = reply.candidates?.[0];
    if (best) box.append(el("p", {}, phrase("answer.likeliest", { answer: el("strong", {}, foreign(best.answer)) })));
  }
  return box;
}

/** What came of the question, in words. */
export const outcomeOf = ({ outcome }) => (hasText(`outcome.${outcome}`) ? t(`outcome.${outcome}`) : t("outcome.other", { outcome }));

const known = (outcome) => (["answered", "abstained", "timed-out", "rejected"].includes(outcome) ? outcome : "other");

/** How sure it is: a sentence, a gauge with the mark that had to be reached, and what decided. */
export function sureness(reply) {
  const { receipt, candidates } = reply;
  if (!receipt) return null;
  const judged = judgement(receipt, candidates?.[0]?.scores.combined);
  if (!judged) return null;
  const close = receipt.margin !== null && receipt.margin !== undefined && receipt.margin < CLOSE && receipt.runner_up;
  return el(
    "div.sure", {},
    el("p.sure-words", {}, judged.words),
    gauge(judged.value, judged.mark),
    el("p.muted", {}, judged.why),
    receipt.missing?.length > 0 && el("p.close-call", {}, t("sure.missing")),
    close && el("p.close-call", {}, phrase("sure.close", { answer: foreign(receipt.runner_up, 80), margin: score(receipt.margin) })),
  );
}

// By the probability if there is one; else by the score against the threshold. A key may see no scores.
function judgement(receipt, combined) {
  const byRate = receipt.decided_by === "error-rate";
  const mark = byRate ? receipt.lowest_probability : receipt.threshold;
  if (receipt.probability === null || receipt.probability === undefined) {
    if (combined === undefined) return null;
    return { words: t("sure.score", { score: score(combined) }), value: combined, mark, why: t("sure.threshold", { threshold: score(mark) }) };
  }
  const words = t("sure.probability", { share: share(receipt.probability) });
  const rehearsed = t("sure.rehearsed", { count: receipt.rehearsed ?? 0 });
  if (combined === undefined) return { words, value: receipt.probability, mark: byRate ? mark : null, why: rehearsed };
  if (!byRate) {
    const against = t("sure.score_and_threshold", { score: score(combined), threshold: score(mark) });
    return { words, value: receipt.probability, mark: null, why: `${rehearsed} ${against}` };
  }
  return { words, value: receipt.probability, mark, why: `${rehearsed} ${t("sure.rate", { lowest: share(mark), rate: share(receipt.error_rate) })}` };
}

function gauge(value, mark) {
  const bar = el("span.gauge", { "aria-hidden": "true" }, el("span.gauge-fill"));
  bar.style.setProperty("--value", Math.min(1, Math.max(0, value)));
  if (mark !== null && mark !== undefined) {
    bar.style.setProperty("--mark", Math.min(1, Math.max(0, mark)));
    bar.append(el("span.gauge-mark"));
  }
  return bar;
}

/** The entry that speaks most for the answer, and what it carries. `given` says whether it was the answer. */
export function cameFrom(candidate, given) {
  return el(
    "div.came-from", {},
    el("h3", {}, t(given ? "answer.from" : "answer.from_likeliest")),
    candidate.text && el("blockquote", {}, foreignWhole(candidate.text, t("text.all", { count: candidate.text.length }), 400)),
    el("p.muted", {}, t("answer.entry", { entry: placeOf(candidate.entry) })),
    metadataList(candidate.metadata),
  );
}

/** Metadata as small labels. */
export function metadataList(metadata) {
  const pairs = Object.entries(metadata ?? {});
  if (!pairs.length) return null;
  return el("ul.labels", { "aria-label": t("answer.metadata") }, pairs.map(([key, value]) => el("li", {}, el("b", {}, foreign(key)), " ", foreign(value, 120))));
}

/** What came second, and the rest: answer, score, entry. */
export function others(reply) {
  const rest = (reply.candidates ?? []).slice(1);
  if (!rest.length) return el("p.muted", {}, t("answer.alone"));
  const head = ["answer", "score", "entry"].map((name) => el("th", { scope: "col" }, t(`others.${name}`)));
  const rows = rest.map((each) =>
    el("tr", {}, el("td", {}, foreign(each.answer, 160)), el("td.figure", {}, score(each.scores.combined)), el("td.figure", {}, placeOf(each.entry))),
  );
  return el(
    "div.scroll", { tabindex: "0", role: "region", "aria-label": t("others.caption") },
    el("table", {}, el("caption.unseen-caption", {}, t("others.caption")), el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows)),
    reply.candidates_dropped > 0 && el("p.muted", {}, t("others.dropped", { count: reply.candidates_dropped })),
  );
}

/** "Second: X, behind by 0.12". */
export function runnerUp(receipt) {
  if (!receipt?.runner_up) return null;
  return el("p", {}, phrase("answer.second", { answer: el("strong", {}, foreign(receipt.runner_up, 160)), margin: score(receipt.margin ?? 0) }));
}
