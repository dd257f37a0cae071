// Fields that several views have: a context to choose or to name, and a label with its field.

import { el, fill, uniqueId } from "../core/dom.js";
import { chooseContext, chosenContext, firstContext, offered } from "../core/session.js";
import { t } from "../core/texts.js";

const NAME = "[a-z0-9][a-z0-9._\\-]{0,63}"; // as the schema has it

/** A label above its field: labelled("Text", field). */
export function labelled(text, field, help) {
  field.id ||= uniqueId("field");
  const hint = help && el("span.muted.hint", { id: `${field.id}-help` }, help);
  if (hint) field.setAttribute("aria-describedby", hint.id);
  return el("div.field", {}, el("label", { for: field.id }, text), field, hint);
}

/** A context to choose among those that there are. `chosen()` is called after each choice. */
export function contextSelect(names, chosen = () => {}) {
  const wanted = names.includes(chosenContext()) ? chosenContext() : names.includes("default") ? "default" : names[0];
  const field = el("select", {}, names.map((name) => el("option", { value: name, selected: name === wanted }, name)));
  field.addEventListener("change", () => (chooseContext(field.value), chosen()));
  return field;
}

/** A context to name: one that is there is offered, a new one begins with its first text. */
export function contextField(names) {
  const id = uniqueId("contexts");
  const field = el("input", { type: "text", list: id, pattern: NAME, maxlength: 64, required: true, autocomplete: "off", spellcheck: "false", title: t("context.pattern") });
  field.value = firstContext(names);
  field.addEventListener("change", () => field.checkValidity() && chooseContext(field.value));
  const list = el("datalist", { id }, offered(names).map((name) => el("option", { value: name })));
  return { field, list };
}

/** A text area that grows with its text, and sends its form with Enter; Shift and Enter begin a new line. */
export function growingText(properties) {
  // Without maxlength, by which browsers cut what is pasted, and say nothing: the gateway says that it is too long.
  const area = el("textarea", { rows: 1, dir: "auto", ...properties });
  const grow = () => {
    area.style.setProperty("height", "auto");
    area.style.setProperty("height", `${Math.min(area.scrollHeight + 2, 320)}px`);
  };
  area.addEventListener("input", grow);
  area.addEventListener("keydown", (event) => {
    // While an input method composes a character, Enter belongs to it.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    area.form?.requestSubmit();
  });
  return area;
}

/**
 * The same work, which does nothing as long as it is under way: a second click, or Enter, must not write twice. `buttons`
 * show it meanwhile. They are not disabled, which would take the focus from them.
 */
export function oneAtATime(work, ...buttons) {
  let underWay = false;
  const mark = (busy) => {
    underWay = busy;
    for (const button of buttons) button.setAttribute("aria-disabled", String(busy));
  };
  return async (...given) => {
    if (underWay) return undefined;
    mark(true);
    try {
      return await work(...given);
    } finally {
      mark(false);
    }
  };
}

/** A busy sign in words, in a place that screen readers watch. */
export const working = (place, text) => fill(place, el("p.working", { role: "status" }, text));
