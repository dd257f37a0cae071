// Right or wrong? What a person says of an answer, and what the system makes of it at once.
//
//   wrong, with the right answer  ->  POST v1/corrections  ->  the same question asked again, to be answered
//   only with what was taught by the correction (its watermarks)  ->  before and after, side by side
//
// The milliseconds that are shown run from the click until the new answer is on the page.

import { after, call, requestName, Trouble } from "../core/api.js";
import { el, fill, foreign, uniqueId } from "../core/dom.js";
import { announce } from "../core/notices.js";
import { may } from "../core/session.js";
import { duration, phrase, share, score, t } from "../core/texts.js";
import { troubleBox } from "../core/troubles.js";
import { oneAtATime, working } from "./fields.js";

/**
 * The buttons below an answer. `asked` is the query that was sent and `reply` its reply; `onAnswered(reply)`
 * is called with the reply to the same question, asked again.
 */
export function verdicts(asked, reply, onAnswered) {
  if (!may("teach")) return null;
  const place = el("div.learned", {});
  const say = oneAtATime(said);
  const about = () => ({ question: asked.text, context: asked.context, query: reply.receipt?.query, ...carried(asked, reply) });
  const confirmation = () => ({ ...about(), verdict: "right", answer: reply.answer });
  const right = reply.answer && el("button", { type: "button", click: () => say(confirmation()) }, t("verdict.right"));
  const wrong = el("button", { type: "button", "aria-expanded": "false", click: () => open() }, t(reply.answer ? "verdict.wrong" : "verdict.know"));
  const form = wrongForm(reply, (answer) => say({ ...about(), verdict: "wrong", answer: answer || undefined, given: reply.answer ?? undefined }));
  form.hidden = true;
  const buttons = el("div.actions", {}, right, wrong);
  return el("section.verdicts", { "aria-label": t("verdict.section") }, buttons, form, place);

  function open() {
    form.hidden = !form.hidden;
    wrong.setAttribute("aria-expanded", String(!form.hidden));
    if (!form.hidden) form.querySelector("input").focus();
  }

  async function said(feedback, name = requestName()) {
    const began = performance.now();
    working(place, t("verdict.learning"));
    try {
      const taught = await call("POST", "v1/corrections", { json: feedback, headers: { "Idempotency-Key": name } });
      if (taught.taught === false) throw new Trouble("unlearned"); // it is written, and nobody has made anything of it
      const again = await call("POST", "v1/ask", { json: asked, headers: { "Hurnet-After": after(taught.watermarks) } });
      const took = performance.now() - began;
      form.hidden = true;
      buttons.hidden = feedback.verdict !== "retracted"; // what is taken back can be said otherwise
      fill(place, outcome(feedback, again, took));
      announce(t("verdict.announced", { took: duration(took), answer: again.answer ?? t("verdict.no_answer") }));
      place.querySelector("button")?.focus();
      onAnswered(again);
    } catch (trouble) {
      fill(place, troubleBox(trouble, () => say(feedback, name)));
    }
  }

  function outcome(feedback, again, took) {
    const back = feedback.verdict === "retracted";
    const undo = el("button", { type: "button", click: () => say({ question: asked.text, context: asked.context, verdict: "retracted" }) }, t("verdict.undo"));
    return el(
      "div.before-after", {},
      el("p.took", {}, phrase(back ? "verdict.took_back" : "verdict.took", { took: el("strong", {}, duration(took)) })),
      el("div.side-by-side", {}, side(t("verdict.before"), reply), side(t("verdict.now"), again, "now")),
      !back && el("div.actions", {}, undo),
    );
  }
}

// A question with a filter finds a correction only if that passes the filter: with the metadata of the best
// candidate it does, since that one did. (`feedback` is the mark of another correction.)
function carried(asked, reply) {
  const { feedback: _, ...metadata } = reply.candidates?.[0]?.metadata ?? {};
  return asked.filter ? { metadata } : {};
}

/** One of two answers that are compared. */
export function side(title, reply, kind = "then") {
  const probability = reply.receipt?.probability;
  const best = reply.candidates?.[0]?.scores.combined;
  const sure = probability !== null && probability !== undefined ? t("sure.short", { share: share(probability) }) : best === undefined ? "" : t("sure.short_score", { score: score(best) });
  const said = reply.answer ?? null;
  return el(
    `div.side.side-${kind}`, {},
    el("h3", {}, title),
    el("p.side-answer", {}, said === null ? t(`outcome.${reply.outcome}`) : foreign(said, 300)),
    el("p.muted", {}, sure),
  );
}

// "The right answer is ...", with the answers at hand offered. Without any, the given one is only refuted.
function wrongForm(reply, submit) {
  const id = uniqueId("right");
  const field = el("input", { id, type: "text", dir: "auto", list: `${id}-list`, maxlength: 16384, autocomplete: "off" });
  const offered = [...new Set((reply.candidates ?? []).map((each) => each.answer))].filter((answer) => answer !== reply.answer);
  const unknown = reply.answer && el("button.quiet", { type: "button", click: () => submit("") }, t("verdict.unknown"));
  const form = el(
    "form.wrong-form", {},
    el("label", { for: id }, t("verdict.right_is")), field,
    el("datalist", { id: `${id}-list` }, offered.map((answer) => el("option", { value: answer }))),
    el("div.actions", {}, el("button.primary", { type: "submit" }, t("verdict.teach")), unknown),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const answer = field.value.trim();
    field.setCustomValidity(answer ? (answer === reply.answer ? t("verdict.same") : "") : t("verdict.empty"));
    if (form.reportValidity()) submit(answer);
  });
  field.addEventListener("input", () => field.setCustomValidity(""));
  return form;
}
