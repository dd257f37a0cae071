// Ask: a question, its answer, how sure, why, and what a person says of it.

import { call } from "../core/api.js";
import { el, fill } from "../core/dom.js";
import { announce } from "../core/notices.js";
import { chooseContext, may, rememberReceipt } from "../core/session.js";
import { duration, t } from "../core/texts.js";
import { guarded, troubleBox } from "../core/troubles.js";
import { answerText, cameFrom, others, runnerUp, sureness } from "../parts/answer.js";
import { bars } from "../parts/bars.js";
import { verdicts } from "../parts/correct.js";
import { contextSelect, growingText, labelled, working } from "../parts/fields.js";
import { filterEditor } from "../parts/filter.js";
import { neighbourMap } from "../parts/map.js";

const CANDIDATES = 5;
const NEIGHBOURS = 32;

/** Shows the view in `main`. */
export async function show(main, _route, signal) {
  const place = el("div", {});
  main.append(place);
  if (!may("ask")) return void fill(place, el("p.empty", {}, t("right.ask")));
  working(place, t("loading"));
  await guarded(place, async () => {
    const { contexts } = await call("GET", "v1/contexts", { signal });
    fill(place, contexts.length ? asking(contexts.map((each) => each.name)) : firstUse());
    place.querySelector("textarea")?.focus();
  });
}

// Nothing is taught yet, so nothing can be asked: say where to begin.
const firstUse = () =>
  el(
    "section.empty", {},
    el("h2", {}, t("first.title")), el("p", {}, t("first.what")),
    may("teach") ? el("p", {}, el("a.button.primary", { href: "#/teach" }, t("first.teach"))) : el("p", {}, t("first.no_right")),
  );

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
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void send();
  });
  return el("div", {}, form, result);

  async function send() {
    if (!question.value.trim() || button.disabled) return;
    const query = queryOf();
    if (!query) return;
    button.disabled = true; // one at a time: a second Enter must not ask twice
    working(result, t("ask.working"));
    const began = performance.now();
    try {
      const reply = await call("POST", "v1/ask", { json: query });
      fill(result, answered(query, reply, performance.now() - began));
      announce(reply.answer ?? t(`outcome.${reply.outcome}`));
    } catch (trouble) {
      fill(result, troubleBox(trouble, send));
    } finally {
      button.disabled = false;
    }
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

/** A reply with everything about it. When it is corrected, all but the correction is drawn anew. */
function answered(query, reply, tookMs) {
  const facts = el("div.facts", {});
  const top = el("div.top", {});
  const redraw = (newer, ms) => {
    if (newer.record) rememberReceipt(newer.record, query.text);
    fill(top, ...summary(newer, ms));
    fill(facts, ...why(newer));
  };
  redraw(reply, tookMs);
  return el("article.reply", { "aria-label": t("ask.reply") }, top, verdicts(query, reply, (newer) => redraw(newer, null)), facts);
}

const summary = (reply, tookMs) => [
  answerText(reply),
  sureness(reply),
  runnerUp(reply.receipt),
  el(
    "p.muted.fine", {},
    tookMs === null ? "" : t("ask.took", { took: duration(tookMs) }), " ",
    reply.record && el("a", { href: `#/receipts/${reply.record}` }, t("ask.receipt", { record: reply.record })),
  ),
];

function why(reply) {
  const best = reply.candidates?.[0];
  if (!best) return reply.receipt?.entry ? [el("section.card", {}, cameFrom(reply.receipt))] : [];
  return [
    el("div.stack", {}, el("section.card", {}, cameFrom(best)), el("section.card", {}, el("h3", {}, t("others.title")), others(reply))),
    el("section.card", {}, el("h3", {}, t("map.title")), neighbourMap(reply.neighbours)),
    el("section.card.wide", {}, el("h3", {}, t("parts.title")), el("div.scroll", { tabindex: "0", role: "region", "aria-label": t("parts.title") }, bars(best.scores, reply.receipt?.mix))),
  ];
}
