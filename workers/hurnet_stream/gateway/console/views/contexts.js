// Contexts: what is there, and what each holds, page by page. Entries are deleted here, after a question.
//
//   /#/contexts              all of them            /#/contexts/support          its entries
//                                                   /#/contexts/support/answers  its answers

import { call, pause } from "../core/api.js";
import { el, fill, foreign, foreignWhole } from "../core/dom.js";
import { confirmed } from "../core/dialogs.js";
import { announce } from "../core/notices.js";
import { placeOf, recordOf } from "../core/places.js";
import { chooseContext, may } from "../core/session.js";
import { duration, number, phrase, t } from "../core/texts.js";
import { guarded, troubleBox } from "../core/troubles.js";
import { metadataList } from "../parts/answer.js";
import { labelled, oneAtATime, working } from "../parts/fields.js";
import { nothingTaught } from "../parts/nothing.js";

const PAGE = 25;
const UNTIL_DONE_MS = 20_000;

/** Shows the view in `main`. */
export async function show(main, [name, part], signal) {
  const place = el("div", {});
  main.append(place);
  if (!may("ask")) return void fill(place, el("p.empty", {}, t("right.ask")));
  working(place, t("loading"));
  await guarded(place, () => (name ? one(place, name, part === "answers" ? "answers" : "entries", signal) : all(place, signal)));
}

async function all(place, signal) {
  const { contexts } = await call("GET", "v1/contexts", { signal });
  if (!contexts.length) return fill(place, nothingTaught());
  return fill(place, el("ul.contexts", {}, contexts.map(contextCard)));
}

const counted = (value, name) => (value === null || value === undefined ? null : el("span.muted", {}, t(name, { count: value })));

const contextCard = (each) =>
  el(
    "li.card", {},
    el("h2", {}, el("a", { href: `#/contexts/${each.name}` }, foreign(each.name, 64))),
    el("p.counts", {}, counted(each.entries ?? each.rows, "contexts.entries_count"), counted(each.answers, "contexts.answers_count")),
    el("a", { href: "#/ask", click: () => chooseContext(each.name), "aria-label": t("contexts.ask_named", { name: each.name }) }, t("contexts.ask")),
  );

async function one(place, name, part, signal) {
  const told = await call("GET", `v1/contexts/${encodeURIComponent(name)}`, { signal });
  const result = el("div", {});
  const tab = (each, href) => el("a.tab", { href, ...(part === each && { "aria-current": "page" }) }, t(`contexts.${each}`));
  fill(
    place,
    el("p.back", {}, el("a", { href: "#/contexts" }, t("contexts.back"))),
    el("h2", {}, foreign(told.name ?? name, 64)),
    el("p.counts", {}, counted(told.entries ?? told.rows, "contexts.entries_count"), counted(told.answers, "contexts.answers_count")),
    el("div.tabs", {}, tab("entries", `#/contexts/${name}`), tab("answers", `#/contexts/${name}/answers`)),
    result,
    pages(name, part, result, signal),
    part === "entries" && may("forget") && byKey(name, result),
  );
}

// A list that grows by a page whenever more is asked for.
function pages(name, part, result, signal) {
  const list = el("ol.entries", { "aria-label": t(`contexts.${part}`) });
  const more = el("button", { type: "button", hidden: true, click: () => void next() }, t("contexts.more"));
  const place = el("div", {});
  let cursor = null;
  void next();
  return el("div", {}, list, place, more);

  async function next() {
    more.disabled = true;
    const query = cursor === null ? "" : `&after=${encodeURIComponent(cursor)}`;
    const asked = part === "entries" ? `entries?limit=${PAGE}${query}` : part; // answers have no pages
    const page = await guarded(place, () => call("GET", `v1/contexts/${encodeURIComponent(name)}/${asked}`, { signal }));
    more.disabled = false;
    if (!page) return;
    const items = page[part] ?? [];
    if (page.complete === false) place.before(el("p.muted", {}, t("contexts.most_frequent", { count: items.length })));
    list.append(...items.map((each) => (part === "entries" ? entryItem(name, each, result) : answerItem(each))));
    cursor = page.next ?? null;
    more.hidden = cursor === null;
    if (!list.children.length) fill(place, el("p.muted", {}, t("contexts.nothing")));
  }
}

const answerItem = ({ answer, entries }) => el("li", {}, foreignWhole(answer, t("text.all", { count: answer.length }), 300), " ", counted(entries, "contexts.entries_count"));

function entryItem(name, each, result) {
  const entry = each.entry ?? each;
  const id = placeOf(entry);
  const remove = may("forget") && el("button.quiet.danger", { type: "button", "aria-label": t("contexts.delete_named", { entry: id }), click: () => void forget() }, t("contexts.delete"));
  const item = el(
    "li.entry", {},
    el(
      "div", {},
      el("div.entry-text", {}, foreignWhole(each.text, t("text.all", { count: each.text.length }), 300)),
      each.answer && el(`div.${each.refutes ? "entry-refuted" : "entry-answer"}`, {}, phrase(each.refutes ? "contexts.refuted" : "contexts.answered", { answer: foreignWhole(each.answer, t("text.all", { count: each.answer.length }), 300) })),
      metadataList(each.metadata),
    ),
    el("div.entry-foot", {}, el("span.muted", {}, id), each.weight > 1 && el("span.muted", {}, `× ${number(each.weight)}`), remove),
  );
  return item;

  async function forget() {
    const what = phrase("contexts.sure_entry", { text: el("strong", {}, foreign(each.text, 160)) });
    if (!(await confirmed(t("contexts.sure_title"), what, t("contexts.delete")))) return;
    if (await deleted(result, `v1/texts/${recordOf(entry)}`)) item.remove();
  }
}

function byKey(name, result) {
  const field = el("input", { type: "text", maxlength: 256, required: true, autocomplete: "off" });
  const button = el("button.danger", { type: "submit" }, t("contexts.delete_key"));
  const form = el("form.card", {}, el("h3", {}, t("contexts.by_key")), labelled(t("teach.key"), field, t("contexts.by_key_help")), el("div.actions", {}, button));
  form.addEventListener("submit", (event) => (event.preventDefault(), void forget()));
  const forget = oneAtATime(async () => {
    const key = field.value.trim();
    const what = phrase("contexts.sure_key", { key: el("strong", {}, foreign(key, 160)), name });
    if (!(await confirmed(t("contexts.sure_title"), what, t("contexts.delete")))) return;
    await deleted(result, `v1/texts?key=${encodeURIComponent(key)}&context=${encodeURIComponent(name)}`);
  }, button);
  return form;
}

// Whether it was deleted. It says when nobody is answered from it any more.
async function deleted(place, path) {
  working(place, t("contexts.deleting"));
  const began = performance.now();
  try {
    const { records = [] } = await call("DELETE", path);
    const done = await untilDone(records[0], began);
    const text = t(done ? "contexts.deleted" : "contexts.deleting_still", { took: duration(performance.now() - began) });
    fill(place, el("p.good", { role: "status", tabindex: "-1" }, text));
    place.firstChild.focus(); // the button that had the focus is gone
    announce(text);
    return true;
  } catch (trouble) {
    fill(place, troubleBox(trouble));
    return false;
  }
}

async function untilDone(record, began) {
  for (let wait = 100; record && performance.now() - began < UNTIL_DONE_MS; wait = Math.min(1000, wait * 1.5)) {
    const { done } = await call("GET", `v1/deletions/${record}`);
    if (done !== false) return true;
    await pause(wait);
  }
  return false;
}
