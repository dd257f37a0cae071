// A live line in SVG: the last minutes of one figure.
//
//   12 ┤      ╭─╮         the newest point is at the right edge, time runs to the left;
//      │  ╭───╯ ╰──       the scale begins at 0 and ends at a round number above all points;
//    0 ┼───────────       a gap is a time without a figure.

import { brief, el, fill, svg } from "../core/dom.js";
import { t } from "../core/texts.js";

const WIDTH = 320;
const HEIGHT = 84;
const FOOT = 4;
const KEPT = 300; // points, one a second: five minutes
const FEWEST = 60; // points across the plot: a line that has just begun fills a part of it

/** A plot with a caption. `shown` writes a value as text. Gives {node, add(value or null)}. */
export function plot(caption, shown) {
  const points = [];
  const value = el("span.plot-value", {}, "–");
  const line = svg("path.plot-line", {});
  const area = svg("path.plot-area", {});
  const picture = svg(
    "svg.plot", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": caption },
    svg("line.plot-base", { x1: 0, x2: WIDTH, y1: HEIGHT - FOOT, y2: HEIGHT - FOOT }), area, line,
  );
  const scale = el("span.plot-top", {});
  const node = el("figure.plot-box", {}, el("figcaption", {}, el("span", {}, caption), value), scale, picture);
  return { node, add };

  function add(next) {
    points.push(Number.isFinite(next) ? next : null);
    if (points.length > KEPT) points.shift();
    const known = points.filter((point) => point !== null);
    const highest = ceiling(Math.max(0, ...known));
    line.setAttribute("d", path(points, highest));
    area.setAttribute("d", closed(points, highest));
    const now = points.at(-1);
    fill(value, now === null ? "–" : shown(now));
    fill(scale, shown(highest));
    if (!known.length) return;
    const told = { now: now === null ? "–" : shown(now), low: shown(Math.min(...known)), high: shown(Math.max(...known)) };
    picture.setAttribute("aria-label", t("plot.told", { caption: brief(caption), ...told }));
  }
}

const x = (index, count) => WIDTH - (count - 1 - index) * (WIDTH / (Math.max(count, FEWEST) - 1));
const y = (value, highest) => HEIGHT - FOOT - (value / highest) * (HEIGHT - FOOT - 8);

// "M0 80L1 78": a new line begins after each gap.
function path(points, highest) {
  let pen = false;
  return points
    .map((point, index) => {
      if (point === null) return ((pen = false), "");
      const command = pen ? "L" : "M";
      pen = true;
      return `${command}${x(index, points.length).toFixed(1)} ${y(point, highest).toFixed(1)}`;
    })
    .join("");
}

// The area under the newest stretch without a gap.
function closed(points, highest) {
  const from = points.lastIndexOf(null) + 1;
  if (from >= points.length) return "";
  const base = HEIGHT - FOOT;
  const stretch = points.map((point, index) => (index < from ? null : point));
  return `${path(stretch, highest)}L${WIDTH} ${base}L${x(from, points.length).toFixed(1)} ${base}Z`;
}

/** The next of 1, 2, 5, 10, 20, ... above a value; 1 for 0. */
export function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((round) => round >= value * 1.0001) ?? 20 * power;
}
