// The page: its words, who is there, and which view is shown.
//
// An address such as /#/receipts/answers/0/42 names the view and what it shows. A view is a module with
// `show(main, route, signal)`: `route` are the parts after its name, and `signal` fires when it is left.

import { call, onKeyRefused, pause, Trouble } from "./core/api.js";
import { brief, el, fill } from "./core/dom.js";
import { askForKey, identify } from "./core/dialogs.js";
import { announce, watchConnection, whenBack } from "./core/notices.js";
import { forgetKey, key, myName, whoIsThere } from "./core/session.js";
import { loadTexts, t } from "./core/texts.js";
import { troubleBox } from "./core/troubles.js";

const VIEWS = ["ask", "teach", "watch", "contexts", "receipts"];

let leaving = new AbortController();

async function begin() {
  await wordsLoaded();
  for (const each of document.querySelectorAll("[data-text]")) fill(each, t(each.dataset.text));
  for (const each of document.querySelectorAll("[data-label]")) each.setAttribute("aria-label", t(each.dataset.label));
  document.getElementById("sign-out").addEventListener("click", signOut);
  document.querySelector(".skip").addEventListener("click", (event) => (event.preventDefault(), heading().focus()));
  watchConnection();
  window.addEventListener("hashchange", () => void showView());
  await enter();
}

// Without words there is nothing to say, so the line that stands in the page stays until they come.
async function wordsLoaded() {
  for (;;) {
    try {
      return await loadTexts();
    } catch {
      await pause(1000);
    }
  }
}

// Until it is known who is there, nothing is shown: what may be done depends on it.
async function enter() {
  try {
    await identify();
  } catch (trouble) {
    whenBack(() => void enter(), once());
    return void fill(main(), troubleBox(trouble, () => void enter()));
  }
  showWho();
  return showView();
}

// A signal that ends a listener with the next view.
const once = () => leaving.signal;

function showWho() {
  fill(document.getElementById("who"), myName());
  document.getElementById("sign-out").hidden = !key();
}

async function signOut() {
  leaving.abort();
  forgetKey();
  fill(main()); // what the key has shown is not left to whoever comes next
  showWho();
  await askForKey();
  showWho();
  return showView();
}

async function showView() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [wanted, ...route] = location.hash.replace(/^#\/?/, "").split("/"); // no part of an address needs escapes
  const name = VIEWS.includes(wanted) ? wanted : "ask";
  mark(name);
  const title = el("h1", { tabindex: "-1" }, t(`${name}.title`));
  const body = el("div.view", {});
  fill(main(), title, el("p.lead", {}, t(`${name}.lead`)), body);
  document.title = [brief(route.join("/")), t(`${name}.title`), "hurnet"].filter(Boolean).join(" · ");
  if (moved) {
    title.focus({ preventScroll: true });
    announce(document.title);
  }
  moved = true;
  window.scrollTo(0, 0);
  whenBack(() => document.querySelector(".trouble") && void showView(), signal);
  const view = await moduleOf(name).catch(() => null);
  if (signal.aborted || unloading) return undefined; // the browser breaks off what is fetched for a view that was left
  if (!view) {
    call("GET", "v1/me").catch(() => {}); // nobody else notices that the gateway is away, and waits until it is back
    return void fill(body, troubleBox(new Trouble(0), () => void showView()));
  }
  return view.show(body, route, signal);
}

// A view's module is fetched like anything else, so the gateway may be away just then. After a failure another address is
// asked for: browsers may keep the failed one.
const moduleOf = (name) => import(`./views/${name}.js`).catch(() => import(`./views/${name}.js?again=${Date.now()}`));

let unloading = false;
window.addEventListener("pagehide", () => (unloading = true));
window.addEventListener("pageshow", () => (unloading = false));

// The first view takes no focus: a page that was just opened begins at its top.
let moved = false;

function mark(name) {
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

const main = () => document.getElementById("main");
const heading = () => main().querySelector("h1") ?? main();

window.addEventListener("unhandledrejection", (event) => {
  if (event.reason?.name === "AbortError") event.preventDefault();
});

// A key that has run out, or was taken away, is asked for anew. With that of somebody else the view begins again.
onKeyRefused(async () => {
  const before = whoIsThere();
  await askForKey();
  showWho();
  const same = whoIsThere() === before;
  if (!same) void showView();
  return same;
});

void begin();
