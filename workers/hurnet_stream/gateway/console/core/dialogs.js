// Questions that must be answered first: the key, and whether something is really to be deleted.
//
// <dialog> keeps the focus inside, closes with Escape, and gives the focus back.

import { call } from "./api.js";
import { el, fill, uniqueId } from "./dom.js";
import { forgetKey, key, setMe, takeKey } from "./session.js";
import { sentence } from "./troubles.js";
import { t } from "./texts.js";

let asking = null;

/** Asks for a key until one is taken. Asked for twice at a time, it is one dialog. */
export function askForKey() {
  asking ??= keyDialog().finally(() => {
    asking = null;
  });
  return asking;
}

function keyDialog() {
  return new Promise((resolve) => {
    const id = uniqueId("key");
    const field = el("input", {
      id, type: "password", autocomplete: "off", required: true, spellcheck: "false", "aria-describedby": `${id}-help`,
    });
    const wrong = el("p.field-wrong", { role: "alert" });
    const form = el(
      "form", { method: "dialog" },
      el("h2", { id: `${id}-title` }, t("key.title")),
      el("p", { id: `${id}-help` }, t("key.help")),
      el("label", { for: id }, t("key.label")), field, wrong,
      el("div.actions", {}, el("button.primary", { type: "submit" }, t("key.use"))),
    );
    const dialog = el("dialog", { "aria-labelledby": `${id}-title` }, form);
    dialog.addEventListener("cancel", (event) => event.preventDefault()); // without a key there is nothing behind it
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const problem = await tried(field.value.trim());
      field.value = "";
      if (problem) return void (fill(wrong, problem), field.focus());
      dialog.close();
      dialog.remove();
      return resolve();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// "" if the gateway knows the key, else why not.
async function tried(given) {
  if (!/^[\x21-\x7e]+$/.test(given)) return t("key.not_one");
  try {
    takeKey(given, await call("GET", "v1/me", { headers: { Authorization: `Bearer ${given}` } }));
    return "";
  } catch (trouble) {
    return trouble.status === 401 ? t("key.unknown") : sentence(trouble);
  }
}

/** Who is there? Asks for a key if the gateway wants one, or doesn't know ours. */
export async function identify() {
  try {
    setMe(await call("GET", "v1/me"));
  } catch (trouble) {
    if (trouble.status !== 401) throw trouble;
    if (key()) forgetKey();
    await askForKey();
  }
}

/** Whether the person confirms. `what` is a node or a text; `action` is the word on the button. */
export function confirmed(title, what, action) {
  return new Promise((resolve) => {
    const id = uniqueId("confirm");
    const no = el("button", { type: "button", click: () => dialog.close("") }, t("confirm.no"));
    const yes = el("button.danger", { type: "button", click: () => dialog.close("yes") }, action);
    const dialog = el(
      "dialog", { "aria-labelledby": `${id}-title`, "aria-describedby": `${id}-what` },
      el("h2", { id: `${id}-title` }, title), el("p", { id: `${id}-what` }, what), el("div.actions", {}, no, yes),
    );
    dialog.addEventListener("close", () => (dialog.remove(), resolve(dialog.returnValue === "yes")));
    document.body.append(dialog);
    dialog.showModal();
    no.focus(); // the safe one: a stray Enter deletes nothing
  });
}
