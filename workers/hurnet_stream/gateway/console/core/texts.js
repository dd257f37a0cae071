// All words of the page, in one file a language, and numbers and times as that language writes them.
//
// A text is found by its name. {braces} are filled in, and a text with several plural forms is an object:
//
//   "rows": {"one": "{count} row", "other": "{count} rows"}      t("rows", {count: 1200}) -> "1,200 rows"
//
// To translate: copy texts/en.json, translate the right-hand sides, and name the language in LANGUAGES.

const LANGUAGES = ["en"];

let texts = {};
let language = "en";
let locale = "en"; // the same, as the person writes numbers and dates: "en-GB"
let plurals = new Intl.PluralRules("en");

/** Loads the words of the first language that both the person and the page speak. */
export async function loadTexts(wanted = navigator.languages) {
  locale = wanted.find((tag) => LANGUAGES.includes(tag.split("-")[0])) ?? "en";
  language = locale.split("-")[0];
  const response = await fetch(`console/texts/${language}.json`);
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  texts = await response.json();
  plurals = new Intl.PluralRules(language);
  document.documentElement.lang = language;
  document.documentElement.dir = texts["language.direction"];
}

/** Whether there is a text of that name: reasons and statuses of a newer gateway may have none. */
export const hasText = (name) => name in texts;

/** The text of that name with {values} filled in. A name without a text shows itself. */
export function t(name, values = {}) {
  return pieces(name, values)
    .map((piece) => (typeof piece === "string" ? piece : shown(piece.value)))
    .join("");
}

/** The same as nodes, so that a value may be a node: foreign text keeps its own direction. */
export function phrase(name, values = {}) {
  const parts = pieces(name, values).map((piece) => (typeof piece === "string" ? piece : piece.value));
  const fragment = document.createDocumentFragment();
  fragment.append(...parts.map((part) => (part instanceof Node ? part : shown(part))));
  return fragment;
}

// A text as strings and {value} objects in turn.
function pieces(name, values) {
  let text = texts[name] ?? name;
  if (typeof text === "object") text = text[plurals.select(values.count ?? 0)] ?? text.other;
  return text
    .split(/\{(\w+)\}/)
    .map((part, index) => (index % 2 ? { value: values[part] ?? "" } : part));
}

const shown = (value) => (typeof value === "number" ? number(value) : String(value));

/** 12345 -> "12,345". Whole numbers have no decimals, others at most `decimals`. */
export const number = (value, decimals = 2) =>
  new Intl.NumberFormat(locale, { maximumFractionDigits: decimals }).format(value);

/** 2.1e-15 -> "2.1E-15", for what is next to nothing. */
export const tiny = (value) =>
  new Intl.NumberFormat(locale, { notation: "scientific", maximumFractionDigits: 1 }).format(value);

/** A score from 0 to 1 with two decimals, so that columns of them stand in line. */
export const score = (value) =>
  new Intl.NumberFormat(locale, { minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(value);

/** 0.873 -> "87%". Near the ends one decimal more, since 100% would say certain. */
export function share(value) {
  const decimals = value > 0.99 || (value > 0 && value < 0.01) ? 1 : 0;
  const rounded = value < 1 ? Math.min(value, 0.999) : value;
  return new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: decimals }).format(rounded);
}

const UNITS = [["d", 86_400_000], ["h", 3_600_000], ["min", 60_000], ["s", 1000], ["ms", 1]];

/** 412 -> "412 ms", 6120 -> "6.1 s", 93000 -> "93 s", 150000 -> "2.5 min": a longer unit from two of it on. */
export function duration(ms) {
  const [unit, size] = UNITS.find(([name, each]) => ms >= (name === "s" ? each : 2 * each)) ?? UNITS.at(-1);
  const value = ms / size;
  return t(`duration.${unit}`, { value: number(value, unit === "ms" || value >= 10 ? 0 : 1) });
}

/** Milliseconds since 1970 as a date and time of the reader's own zone. */
export const moment = (ms) =>
  new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium" }).format(ms);
