// The moment from which on a text is answerable: it is asked, of a reader that has seen what was written.

import { after, call } from "../core/api.js";
import { el, foreign } from "../core/dom.js";
import { announce } from "../core/notices.js";
import { may } from "../core/session.js";
import { duration, phrase, t } from "../core/texts.js";
import { troubleBox } from "../core/troubles.js";

/**
 * A note that says how long it took from `began` (as performance.now() has it) until `event` was answerable,
 * and what it is answered with. `watermarks` are those of what was written.
 */
export async function answerable(watermarks, event, began) {
  if (!may("ask")) return el("p.good", { role: "status" }, t("teach.written"));
  const query = { text: event.text, context: event.context ?? "default", timeout_ms: 60_000 };
  let reply = null;
  try {
    reply = await call("POST", "v1/ask", { json: query, headers: { "Hurnet-After": after(watermarks) }, patience_ms: 70_000 });
  } catch (trouble) {
    if (trouble.status !== 504) return el("div", {}, el("p.good", { role: "status" }, t("teach.written")), troubleBox(trouble));
  }
  if (!reply || reply.outcome === "timed-out") return el("p.trouble", { role: "alert" }, t("teach.not_yet"));
  const took = duration(performance.now() - began);
  announce(t("teach.answerable", { took }));
  return el(
    "div.good", {},
    el("p", {}, phrase("teach.answerable", { took: el("strong", {}, took) })),
    el("p", {}, phrase("teach.asked_back", { text: foreign(event.text, 200), answer: el("strong", {}, foreign(reply.answer ?? t("verdict.no_answer"), 200)) })),
  );
}
