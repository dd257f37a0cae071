// Says what went wrong: one plain sentence, what to do, the places that are wrong, and when to try again.

import { el, fill, foreign } from "./dom.js";
import { announce } from "./notices.js";
import { hasText, t, phrase } from "./texts.js";

const COUNTED = new Set([429, 503]);
const SAME_AGAIN = new Set([413, 415, 422]); // the same request would be refused again

/** The sentence for a trouble: "Your key has no right to do this." */
export function sentence(trouble) {
  const name = `problem.${trouble.status}`;
  return hasText(name) ? t(name) : t("problem.other", { status: trouble.status });
}

/**
 * A box with all of it. With `again`, a function, it offers to try again; if the gateway has said when, only
 * then. An error that is no `Trouble` is a fault of this page, and says so.
 */
export function troubleBox(trouble, again) {
  if (trouble.status === undefined) {
    console.error(trouble);
    trouble = { status: "page", detail: String(trouble.message ?? trouble), errors: [] };
  }
  const told = el(
    "div", { role: "alert" },
    el("p.trouble-what", {}, sentence(trouble)),
    trouble.detail && el("p.trouble-detail", {}, foreign(trouble.detail)),
    trouble.errors.length > 0 && places(trouble.errors),
  );
  const button = again && !SAME_AGAIN.has(trouble.status) && againButton(trouble, again);
  return el("div.trouble", {}, told, button); // a button that counts down is no alert
}

const places = (errors) =>
  el(
    "ul.trouble-places",
    {},
    errors.map(({ where, message }) =>
      el("li", {}, where ? phrase("problem.place", { where: foreign(where), message: foreign(message) }) : foreign(message)),
    ),
  );

function againButton(trouble, again) {
  const button = el("button", { type: "button", click: again }, t("problem.again"));
  if (COUNTED.has(trouble.status)) countDown(button, Math.ceil(trouble.retryAfterS ?? 1));
  return button;
}

// The button says how long to wait, and works once the wait is over.
function countDown(button, seconds) {
  button.disabled = true;
  const until = performance.now() + seconds * 1000;
  const timer = setInterval(() => show(), 250);
  const show = () => {
    const left = Math.ceil((until - performance.now()) / 1000);
    if (left > 0) return fill(button, t("problem.again_in", { count: left }));
    clearInterval(timer);
    button.disabled = false;
    fill(button, t("problem.again"));
    if (button.isConnected) announce(t("problem.again_now"));
    return button;
  };
  show();
}

/** Runs `work` and shows in `place` what goes wrong, with a button to try again. Gives undefined then. */
export async function guarded(place, work) {
  try {
    return await work();
  } catch (trouble) {
    if (trouble.name === "AbortError") return undefined; // the person has left the view
    fill(place, troubleBox(trouble, () => (fill(place), guarded(place, work))));
    return undefined;
  }
}
