// Who is at the page: the key, what it may do, and what this tab remembers.
//
// The key lives in sessionStorage, which ends with the tab and which other sites can't read. It is never in
// an address, an attribute or a text of the page.

const KEY = "hurnet.key";
const CHOSEN = "hurnet.context";
const SEEN = "hurnet.receipts";
const RECEIPTS_MAX = 30;

let me = null;

/** The key, or "" if none was given: a gateway on one's own machine may need none. */
export const key = () => sessionStorage.getItem(KEY) ?? "";

/** Takes a key. What it may do is not known until `setMe`. */
export function takeKey(given) {
  me = null;
  sessionStorage.setItem(KEY, given);
}

/** Forgets the key, and everything that was seen with it. */
export function forgetKey() {
  me = null;
  sessionStorage.clear();
}

/** What /v1/me says: {name, rights, contexts, open}. */
export const setMe = (told) => {
  me = told;
};

/** The name of the key, or "" on a gateway that asks for none. */
export const myName = () => (me && !me.open ? (me.name ?? "") : "");

/** Whether the key has a right: ask, teach, forget or watch. */
export const may = (right) => !me?.rights || me.rights.includes(right);

/** The context chosen last, so that each view begins with it. */
export const chosenContext = () => sessionStorage.getItem(CHOSEN) ?? "";
export const chooseContext = (name) => sessionStorage.setItem(CHOSEN, name);

/** Receipts of this tab, newest first: [{record, question}]. */
export const receipts = () => JSON.parse(sessionStorage.getItem(SEEN) ?? "[]");

export function rememberReceipt(record, question) {
  const others = receipts().filter((each) => each.record !== record);
  const kept = [{ record, question: question.slice(0, 200) }, ...others].slice(0, RECEIPTS_MAX);
  sessionStorage.setItem(SEEN, JSON.stringify(kept));
}
