// What the page tells without being asked: words for screen readers, and that the gateway is away.

import { call, onReached, pause } from "./api.js";
import { fill } from "./dom.js";
import { t } from "./texts.js";

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 15_000;

const back = new EventTarget();
let away = false;

/** Has a screen reader say it, when it has finished what it says now. */
export function announce(text) {
  const region = document.getElementById("announcements");
  fill(region); // the same words twice are said twice only if they were gone between
  setTimeout(() => fill(region, text), 50);
}

/** Calls `listener` whenever the gateway is reached again. `signal` ends that. */
export const whenBack = (listener, signal) => back.addEventListener("back", listener, { signal });

/** Watches all calls, and tries on its own once the gateway does not answer. */
export function watchConnection() {
  onReached((reached) => {
    if (!reached && !away) void untilBack();
  });
}

async function untilBack() {
  away = true;
  announce(t("away.lost")); // once: the banner counts down, and nobody wants to hear that
  const banner = document.getElementById("away");
  for (let wait = FIRST_WAIT_MS; ; wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
    for (let left = Math.ceil(wait / 1000); left > 0; left--) {
      fill(banner, t("away.trying", { count: left }));
      banner.hidden = false;
      await pause(1000);
    }
    if (await answers()) break;
  }
  away = false;
  banner.hidden = true;
  fill(banner);
  announce(t("away.back"));
  back.dispatchEvent(new Event("back"));
}

async function answers() {
  try {
    await call("GET", "v1/me", { patience_ms: 5_000 });
    return true;
  } catch (trouble) {
    return trouble.status > 0; // even a refusal is an answer
  }
}
