// Receipts: an answer under its lasting name, asked again today, or replayed as it was.
//
//   /#/receipts                   those of this tab, and a field for a name
//   /#/receipts/answers/0/42      one of them: a link that keeps

import { call } from "../core/api.js";
import { el, fill, foreign } from "../core/dom.js";
import { announce } from "../core/notices.js";
import { may, receipts } from "../core/session.js";
import { phrase, t } from "../core/texts.js";
import { guarded, troubleBox } from "../core/troubles.js";
import { answerText, cameFrom, others, runnerUp, sureness } from "../parts/answer.js";
import { bars } from "../parts/bars.js";
import { side } from "../parts/correct.js";
import { labelled, oneAtATime, working } from "../parts/fields.js";
import { receiptList } from "../parts/receipt.js";

const NAME = /^[A-Za-z0-9._-]+\/\d+\/\d+$/;
const REPLAY_MS = 120_000;

/** Shows the view in `main`. */
export async function show(main, route, signal) {
  const place = el("div", {});
  main.append(place);
  if (!may("ask")) return void fill(place, el("p.empty", {}, t("right.ask")));
  if (!route.length) return void fill(place, finder(), mine());
  const record = route.join("/");
  if (!NAME.test(record)) return void fill(place, finder(), el("p.trouble", { role: "alert" }, t("receipts.no_name")));
  working(place, t("loading"));
  return guarded(place, async () => fill(place, whole(record, await call("GET", `v1/receipts/${record}`, { signal }))));
}

function finder() {
  const field = el("input", { type: "text", required: true, placeholder: "answers/0/42", pattern: "\\s*[A-Za-z0-9._\\-]+/[0-9]+/[0-9]+\\s*", title: t("receipts.no_name"), spellcheck: "false", autocomplete: "off" });
  const form = el("form.finder", {}, labelled(t("receipts.name"), field), el("button", { type: "submit" }, t("receipts.open")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = `#/receipts/${field.value.trim()}`;
  });
  return form;
}

function mine() {
  const seen = receipts();
  if (!seen.length) return el("p.muted", {}, t("receipts.none"));
  return el("section.card", {}, el("h2", {}, t("receipts.mine")), el("ul.plain", {}, seen.map(({ record, question }) => el("li", {}, el("a", { href: `#/receipts/${record}` }, foreign(question, 120)), " ", el("span.muted", {}, record)))));
}

function whole(record, reply) {
  const best = reply.candidates?.[0];
  const result = el("div", {});
  const one = oneAtATime((run) => run(result, record, reply)); // both write into the same place
  const button = (name, run) => el("button", { type: "button", click: () => one(run) }, t(name));
  return el(
    "article.reply", {},
    el("section.top", {}, reply.question && el("h2.question", {}, foreign(reply.question)), answerText(reply, reply.question ? "h3" : "h2"), sureness(reply), runnerUp(reply.receipt)),
    !canBeAsked(reply) && el("p.muted", {}, t("receipts.no_question")),
    el("div.actions", {}, ...(canBeAsked(reply) ? [button("receipts.today", today), button("receipts.replay", replay)] : []), copyLink(record)),
    result,
    el(
      "div.facts", {},
      best && el("section.card", {}, cameFrom(best, reply.answer !== null && reply.answer !== undefined)),
      best && el("section.card", {}, el("h3", {}, t("others.title")), others(reply)),
      best && el("section.card.wide", {}, el("h3", {}, t("parts.title")), el("div.scroll", { tabindex: "0", role: "region", "aria-label": t("parts.title") }, bars(best.scores, reply.receipt?.mix))),
      reply.receipt && el("section.card.wide", {}, el("h3", {}, t("receipts.all")), receiptList(reply.receipt)),
    ),
  );
}

// Of what was not scored there is no receipt, and the record of a question may be gone before that of its answer.
const canBeAsked = (reply) => Boolean(reply.receipt && reply.question);

function copyLink(record) {
  const button = el("button.quiet", { type: "button" }, t("receipts.copy"));
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(`${location.origin}${location.pathname}#/receipts/${record}`);
    fill(button, t("receipts.copied"));
    announce(t("receipts.copied"));
  });
  return navigator.clipboard ? button : null; // browsers have it on safe origins only
}

// The same question to what is known now.
async function today(place, record, then) {
  working(place, t("ask.working"));
  try {
    const now = await call("POST", "v1/ask", { json: again(then) });
    const same = now.answer === then.answer && now.outcome === then.outcome;
    showCompared(place, t(same ? "receipts.same_today" : "receipts.other_today"), t("receipts.today_is"), then, now);
  } catch (trouble) {
    fill(place, troubleBox(trouble, () => today(place, record, then)));
  }
}

function again(then) {
  const { context, exclude, filter } = then.receipt;
  const query = { text: then.question, context, top_k: Math.max(1, then.candidates?.length ?? 1) };
  return { ...query, ...(exclude && { exclude }), ...(filter && { filter: JSON.parse(filter) }) };
}

// The same entries, weights and mix as then. It says so if some are gone.
async function replay(place, record, then) {
  working(place, t("receipts.replaying"));
  try {
    const told = await call("POST", `v1/receipts/${record}/replay`, { patience_ms: REPLAY_MS });
    const title = t(told.same ? "receipts.same_replay" : told.missing.length ? "receipts.no_replay" : "receipts.other_replay");
    showCompared(place, title, t("receipts.replay_is"), then, told.now, reasons(told));
  } catch (trouble) {
    fill(place, troubleBox(trouble, () => replay(place, record, then)));
  }
}

// What is gone since, and which fields came out otherwise.
const reasons = ({ missing = [], differences = [] }) => [
  ...missing.map(({ why }) => foreign(why)),
  ...differences.map(({ field, then, now, why }) =>
    phrase("receipts.difference", { field: foreign(field), then: written(then), now: written(now), why: foreign(why) }),
  ),
];

const written = (value) => foreign(typeof value === "string" ? value : JSON.stringify(value), 120);

// `now` is null if it could not be asked again.
function showCompared(place, title, label, then, now, notes = []) {
  const both = el("div.side-by-side", {}, side(t("receipts.then"), then), now && side(label, now, "now"));
  fill(place, el("section.before-after", { "aria-label": title }, el("p.took", {}, title), both, notes.length > 0 && el("ul", {}, notes.map((each) => el("li", {}, each)))));
  announce(title);
}
