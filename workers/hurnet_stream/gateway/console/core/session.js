// Who is at the page: the key, what it may do, and what this tab remembers.
//
// The key lives in sessionStorage, which ends with the tab and which other sites can't read. It is never in
// an address, an attribute or a text of the page.

const KEY = "hurnet.key";
const CHOSEN = "hurnet.context";
const SEEN = "hurnet.receipts";
const RECEIPTS_MAX = 30;

// A browser that is told to keep nothing throws at the mere name: then the page remembers as long as it is open.
const storage = (() => {
  try {
    return window.sessionStorage;
  } catch {
    const kept = new Map();
    return { getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value), clear: () => kept.clear() };
  }
})();

let me = null;
let asked = null;

/** The key, or "" if none was given: a gateway on one's own machine may need none. */
export const key = () => storage.getItem(KEY) ?? "";

/** Takes a key, and what /v1/me says of it. What another key has seen is forgotten. */
export function takeKey(given, told) {
  if (me && me.name !== told.name) forgetKey();
  storage.setItem(KEY, given);
  me = told;
}

/** Forgets the key, and everything that was seen with it. */
export function forgetKey() {
  me = null;
  asked = null;
  storage.clear();
}

/** What /v1/me says: {name, rights, contexts, detail, open}. */
export const setMe = (told) => {
  me = told;
};

/** All that is known of who is there, as a text to compare. */
export const whoIsThere = () => JSON.stringify(me);

/** The name of the key, or "" on a gateway that asks for none. */
export const myName = () => (me && !me.open ? (me.name ?? "") : "");

/** Whether the key has a right: ask, teach, forget or watch. */
export const may = (right) => !me?.rights || me.rights.includes(right);

// The contexts that the key names: ["support", "faq-*"] are this one, and all whose names begin with faq-.
const patterns = () => me?.contexts ?? ["*"];
const reaches = (context) => patterns().some((each) => (each.endsWith("*") ? context.startsWith(each.slice(0, -1)) : each === context));

/** Contexts to offer: `names`, which there are, and those that the key names, which may not be there yet. */
export const offered = (names) => [...new Set([...names, ...patterns().filter((each) => !each.endsWith("*"))])];

/** The context to begin with: the one chosen last, or "default", or the first that the key reaches. */
export const firstContext = (names) => chosenContext() || (reaches("default") ? "default" : (offered(names)[0] ?? ""));

/** The context chosen last, so that each view begins with it. */
export const chosenContext = () => storage.getItem(CHOSEN) ?? "";
export const chooseContext = (name) => storage.setItem(CHOSEN, name);

/** The question asked last and its reply, for whoever comes back to it: {query, reply} or null. */
export const lastAsked = () => asked;
export const rememberAsked = (query, reply) => {
  asked = { query, reply };
};

/** Receipts of this tab, newest first: [{record, question}]. */
export const receipts = () => JSON.parse(storage.getItem(SEEN) ?? "[]");

export function rememberReceipt(record, question) {
  const others = receipts().filter((each) => each.record !== record);
  const kept = [{ record, question: question.slice(0, 200) }, ...others].slice(0, RECEIPTS_MAX);
  storage.setItem(SEEN, JSON.stringify(kept));
}
