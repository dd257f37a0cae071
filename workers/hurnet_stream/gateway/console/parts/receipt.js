// Everything that a receipt says, as pairs of a name and a value.

import { el, foreign } from "../core/dom.js";
import { placeOf } from "../core/places.js";
import { hasText, number, score, share, t } from "../core/texts.js";

const SCORES = new Set(["threshold", "nearest", "margin", "ridge", "residual", "meaning", "memory", "lexical", "words", "weights"]);
const BY_SHARD = new Set(["watermarks", "beyond", "deleting"]);
const PLACES = new Set(["entry", "exclude"]);
const SHARES = new Set(["probability", "error_rate", "error_rate_set", "lowest_probability"]);

/** The whole receipt: {"rows": 41, "weights": {...}} as a list, with objects as lists inside. */
export function receiptList(receipt) {
  return el(
    "dl.receipt", {},
    Object.entries(receipt)
      .filter(([, value]) => value !== null && value !== undefined)
      .flatMap(([name, value]) => [el("dt", {}, label(name)), el("dd", {}, written(name, value))]),
  );
}

const label = (name) => (hasText(`receipt.${name}`) ? t(`receipt.${name}`) : name);

function written(name, value) {
  if (BY_SHARD.has(name)) return watermarks(value);
  if (PLACES.has(name)) return placeOf(value);
  if (Array.isArray(value)) return foreign(value.join(", "));
  if (typeof value === "object") return receiptList(value);
  if (typeof value !== "number") return foreign(String(value));
  if (SHARES.has(name)) return share(value);
  return SCORES.has(name) ? score(value) : number(value, 6);
}

/** {"0": 41, "tickets/3": 39} -> "0: 41   tickets/3: 39", which is short enough for many partitions. */
export const watermarks = (seen) =>
  el("ul.labels", {}, Object.entries(seen).map(([partition, offset]) => el("li", {}, el("b", {}, partition), " ", number(offset))));
