// A small map of the entries nearest to a question.
//
// The question is in the middle. An entry's distance is its dissimilarity, 1 - similarity; its direction only
// says which answer it speaks for: each answer has a sector as wide as it has entries, a colour and a shape.
//
//        ▲   |   ●          two answers: one with four entries (●), the nearest at 0.9,
//     ▲      |  ● ●         and one with two (▲), further away
//      ──────◎───────
//            |    ●         Angles within a sector have no meaning: they keep points apart.

import { brief, el, foreign, svg } from "../core/dom.js";
import { placeOf } from "../core/places.js";
import { score, t } from "../core/texts.js";

const RADIUS = 100;
const INNER = 20; // the question's own mark
const LEAST_SPAN = 0.2; // dissimilarity at the rim: if all are near, they are spread no wider than this
const KINDS = 6; // answers with a colour of their own; those after them share the seventh
const SHAPES = [
  "M0-5.5A5.5 5.5 0 1 1 0 5.5A5.5 5.5 0 1 1 0-5.5Z",
  "M-5-5H5V5H-5Z",
  "M0-6.5L6.2 5H-6.2Z",
  "M0-7L7 0L0 7L-7 0Z",
  "M-2-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",
  "M-3.4-6H3.4L6.8 0L3.4 6H-3.4L-6.8 0Z",
  "M0-3A3 3 0 1 1 0 3A3 3 0 1 1 0-3Z",
];

/** The map of `neighbours` ([{entry, text, answer, similarity}], nearest first), its legend, and a table. */
export function neighbourMap(neighbours) {
  if (!neighbours?.length) return el("p.muted", {}, t("map.none"));
  const groups = grouped(neighbours);
  const span = Math.max(LEAST_SPAN, ...neighbours.map((each) => 1 - each.similarity));
  const picture = svg(
    "svg.map", { viewBox: "-118 -118 236 236", role: "img", "aria-label": t("map.told", { count: neighbours.length }) },
    rings(span), borders(groups, neighbours.length), points(groups, neighbours.length, span),
    svg("circle.map-question", { r: 6 }), svg("circle.map-question-ring", { r: 10 }),
  );
  const told = neighbours.some((each) => each.answer);
  return el("div.map-box", {}, picture, told ? legend(groups) : el("p.muted", {}, t("map.no_texts")), table(neighbours));
}

/** Neighbours by their answer, in the order in which the answers first come: [{answer, kind, members}]. */
export function grouped(neighbours) {
  const byAnswer = new Map();
  for (const each of neighbours) byAnswer.set(each.answer, [...(byAnswer.get(each.answer) ?? []), each]);
  return [...byAnswer].map(([answer, members], index) => ({ answer, kind: Math.min(index, KINDS), members }));
}

/** Where each member stands: [{x, y, kind, member}]. Similarity 1 is at the question's rim. */
export function placed(groups, count, span) {
  let taken = 0;
  return groups.flatMap(({ kind, members }) =>
    members.map((member) => {
      const angle = ((taken++ + 0.5) / count) * 2 * Math.PI - Math.PI / 2;
      const distance = INNER + Math.min(1, Math.max(0, 1 - member.similarity) / span) * (RADIUS - INNER);
      return { x: distance * Math.cos(angle), y: distance * Math.sin(angle), kind, member };
    }),
  );
}

const points = (groups, count, span) =>
  placed(groups, count, span).map(({ x, y, kind, member }) =>
    svg(
      `path.map-point.kind-${kind}`, { d: SHAPES[kind], transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` },
      svg("title", {}, `${score(member.similarity)} · ${brief(member.text, 120)}`),
    ),
  );

// Rings at even steps of dissimilarity, each with the similarity that it stands for.
const rings = (span) =>
  [0.5, 1].map((step) => {
    const radius = INNER + step * (RADIUS - INNER);
    return svg("g", {}, svg("circle.map-ring", { r: radius }), svg("text.map-scale", { x: 0, y: radius + 11 }, score(1 - step * span)));
  });

// A thin line between two answers.
function borders(groups, count) {
  if (groups.length < 2) return null;
  let taken = 0;
  return groups.map(({ members }) => {
    const angle = (taken / count) * 2 * Math.PI - Math.PI / 2;
    taken += members.length;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    return svg("line.map-border", { x1: INNER * cos, y1: INNER * sin, x2: RADIUS * cos, y2: RADIUS * sin });
  });
}

const shape = (kind) =>
  svg("svg.map-key", { viewBox: "-9 -9 18 18", "aria-hidden": "true" }, svg(`path.map-point.kind-${kind}`, { d: SHAPES[kind] }));

const legend = (groups) =>
  el(
    "ul.map-legend", {},
    groups.slice(0, KINDS).map(({ answer, kind, members }) => el("li", {}, shape(kind), foreign(answer, 80), el("span.muted", {}, ` × ${members.length}`))),
    groups.length > KINDS && el("li", {}, shape(KINDS), t("map.others", { count: groups.length - KINDS })),
  );

function table(neighbours) {
  const head = ["similarity", "text", "answer", "entry"].map((name) => el("th", { scope: "col" }, t(`map.${name}`)));
  const rows = neighbours.map((each) =>
    el(
      "tr", {},
      el("td.figure", {}, score(each.similarity)), el("td", {}, foreign(each.text, 160)), el("td", {}, foreign(each.answer, 80)),
      el("td.figure", {}, placeOf(each.entry)),
    ),
  );
  return el(
    "details", {}, el("summary", {}, t("map.as_table")),
    el("div.scroll", { tabindex: "0", role: "region", "aria-label": t("map.table") }, el("table", {}, el("caption.unseen-caption", {}, t("map.table")), el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows))),
  );
}
