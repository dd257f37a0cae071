// Makes elements, and makes the texts of strangers safe to show.
//
// Nothing here or anywhere in the page takes a string as markup. A text becomes a text node, so
// `<img onerror=...>` is shown as these characters. `foreign` also shows what a reader could not see, since
// characters that turn the direction of writing make a text look different from what it is:
//
//   foreign("pay \u202Eeniltrouf")      shows  pay \u202eeniltrouf      with the escape in a box

const SVG = "http://www.w3.org/2000/svg";

// The same characters as in hurnet_stream/visible.py, without line ends and tabs, which a page can show.
// U+200C and U+200D stay: emoji and the scripts of India and Persia need them to join letters.
const UNSEEN = new RegExp(
  "([\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u2028\\u2029\\ud800-\\udfff\\u00ad\\u061c\\u180e\\u200b\\u200e" +
    "\\u200f\\u202a-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb" +
    "\\u{13430}-\\u{1343f}\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e007f}])",
  "u",
);
const LONG = 600; // characters that are shown of a text before a button offers the rest

/** An element: el("button.primary", {type: "button", click: save}, "Save"). Functions become listeners. */
export const el = (tag, properties, ...children) =>
  made((name) => document.createElement(name), tag, properties, children);

/** The same for SVG. */
export const svg = (tag, properties, ...children) =>
  made((name) => document.createElementNS(SVG, name), tag, properties, children);

function made(create, tag, properties = {}, children = []) {
  const [name, ...classes] = tag.split(".");
  const element = create(name);
  if (classes.length) element.classList.add(...classes);
  for (const [key, value] of Object.entries(properties ?? {})) set(element, key, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function set(element, name, value) {
  if (value === undefined || value === null || value === false) return;
  if (typeof value === "function") element.addEventListener(name, value);
  // The content security policy refuses both, and so do we, where it can be found.
  else if (name === "style" || name.startsWith("on")) throw new Error(`no ${name} in markup`);
  else element.setAttribute(name, value === true ? "" : value);
}

/** A text from outside, in its own direction, with unseen characters shown as escapes. */
export function foreign(text, limit = LONG) {
  const whole = String(text ?? "");
  const box = el("bdi.foreign", { dir: "auto" });
  box.append(...visible(whole.length > limit ? cut(whole, limit / 2) : whole));
  return box;
}

/** The same, and a button that shows a long text whole. */
export function foreignWhole(text, showAll, limit = LONG) {
  const box = foreign(text, limit);
  if (String(text ?? "").length <= limit) return box;
  const button = el("button.quiet", { type: "button" }, showAll);
  button.addEventListener("click", () => {
    const whole = foreign(text, Infinity);
    whole.tabIndex = -1;
    both.replaceChildren(whole);
    whole.focus();
  });
  const both = el("span", {}, box, " ", button);
  return both;
}

/** A short form for places that have one line, such as a plot's caption: plain text, unseen characters escaped. */
export const brief = (text, limit = 60) => {
  const plain = String(text ?? "").split(UNSEEN).map((part, i) => (i % 2 ? escaped(part) : part)).join("");
  return plain.length > limit ? `${cut(plain, limit)}` : plain;
};

// Cut between characters as people see them, so that no emoji or accent loses a part.
function cut(text, length) {
  let kept = "";
  for (const { segment } of new Intl.Segmenter().segment(text.slice(0, length * 4))) {
    if (kept.length + segment.length > length) break;
    kept += segment;
  }
  return `${kept || text.slice(0, length)}…`;
}

const visible = (text) =>
  text.split(UNSEEN).map((part, index) => (index % 2 ? el("span.unseen", {}, escaped(part)) : part));

const escaped = (character) => {
  const code = character.codePointAt(0);
  return code > 0xffff ? `\\U${code.toString(16).padStart(8, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
};

/** Replaces what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

let made_ids = 0;
/** An id that no other element has, to tie a label or a description to its field. */
export const uniqueId = (name) => `${name}-${++made_ids}`;
