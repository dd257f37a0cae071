// Ask: a question, its answer, how sure, why, and what a person says of it.

import { call } from "../core/api.js";
import { brief, el, fill } from "../core/dom.js";
import { announce } from "../core/notices.js";
import { chooseContext, lastAsked, may, rememberAsked, rememberReceipt } from "../core/session.js";
import { duration, t } from "../core/texts.js";
import { guarded, troubleBox } from "../core/troubles.js";
import { answerText, cameFrom, others, outcomeOf, runnerUp, sureness } from "../parts/answer.js";
import { bars } from "../parts/bars.js";
import { verdicts } from "../parts/correct.js";
import { contextSelect, growingText, labelled, oneAtATime, working } from "../parts/fields.js";
import { filterEditor } from "../parts/filter.js";
import { neighbourMap } from "../parts/map.js";
import { nothingTaught } from "../parts/nothing.js";

const CANDIDATES = 5;
const NEIGHBOURS = 32;
const ANNOUNCED = 300; // letters of an answer that are read out at once

/** Shows the view in `main`. */
export async function show(main, _route, signal) {
  const place = el("div", {});
  main.append(place);
  if (!may("ask")) return void fill(place, el("p.empty", {}, t("right.ask")));
  working(place, t("loading"));
  await guarded(place, async () => {
    const { contexts } = await call("GET", "v1/contexts", { signal });
    fill(place, contexts.length ? asking(contexts.map((each) => each.name)) : nothingTaught());
    place.querySelector("textarea")?.focus();
  });
}

function asking(names) {
  const question = growingText({ required: true, placeholder: t("ask.placeholder"), "aria-label": t("ask.question"), enterkeyhint: "send" });
  const context = contextSelect(names);
  const filter = filterEditor();
  const result = el("div.result", {});
  const button = el("button.primary", { type: "submit" }, t("ask.ask"));
  const form = el(
    "form.ask-form", {},
    el("div.ask-line", {}, question, button),
    el("div.ask-options", {}, names.length > 1 ? labelled(t("ask.context"), context) : null, filter.node),
  );
  const send = oneAtATime(asked, button);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void send();
  });
  showLast();
  return el("div", {}, form, result);

  async function asked() {
    if (!question.value.trim()) return void question.focus();
    const query = queryOf();
    if (!query) return;
    working(result, t("ask.working"));
    const began = performance.now();
    try {
      const reply = await call("POST", "v1/ask", { json: query });
      fill(result, answered(query, reply, t("ask.took", { took: duration(performance.now() - began) })));
      if (result.isConnected) announce(brief(reply.answer ?? outcomeOf(reply), ANNOUNCED));
    } catch (trouble) {
      fill(result, troubleBox(trouble, send));
    }
  }

  // Who comes back, from a receipt say, finds the answer as it was left.
  function showLast() {
    const last = lastAsked();
    if (!last || context.value !== last.query.context) return; // another one was chosen since
    question.value = last.query.text;
    filter.set(last.query.filter);
    fill(result, answered(last.query, last.reply, t("ask.before")));
  }

  function queryOf() {
    try {
      const filtered = filter.value();
      chooseContext(context.value);
      return {
        text: question.value.trim(), context: context.value, top_k: CANDIDATES, neighbours: NEIGHBOURS, ...(filtered && { filter: filtered }),
      };
    } catch (error) {
      fill(result, el("p.trouble", { role: "alert" }, error.message));
      return null;
    }
  }
}

/** A reply with everything about it. When it is corrected, all but the correction is drawn anew. `note` says when. */
function answered(query, reply, note) {
  const facts = el("div.facts", {});
  const top = el("div.top", {});
  const redraw = (newer, when) => {
    if (newer.record) rememberReceipt(newer.record, query.text);
    rememberAsked(query, newer);
    fill(top, ...summary(newer, when));
    fill(facts, ...why(newer));
  };
  redraw(reply, note);
  return el("article.reply", { "aria-label": t("ask.reply") }, top, verdicts(query, reply, (newer) => redraw(newer, "")), facts);
}

const summary = (reply, note) => [
  answerText(reply),
  sureness(reply),
  runnerUp(reply.receipt),
  el(
    "p.muted.fine", {},
    note, " ",
    reply.record && el("a", { href: `#/receipts/${reply.record}` }, t("ask.receipt", { record: reply.record })),
  ),
];

function why(reply) {
  const best = reply.candidates?.[0];
  const given = reply.answer !== null && reply.answer !== undefined;
  if (!best) return reply.receipt?.entry ? [el("section.card", {}, cameFrom(reply.receipt, given))] : [];
  return [
    el("div.stack", {}, el("section.card", {}, cameFrom(best, given)), el("section.card", {}, el("h3", {}, t("others.title")), others(reply))),
    el("section.card", {}, el("h3", {}, t("map.title")), neighbourMap(reply.neighbours)),
    el("section.card.wide", {}, el("h3", {}, t("parts.title")), el("div.scroll", { tabindex: "0", role: "region", "aria-label": t("parts.title") }, bars(best.scores, reply.receipt?.mix))),
  ];
}
