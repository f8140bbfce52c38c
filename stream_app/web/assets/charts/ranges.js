// How a figure spreads among members, against everybody: a thin bar from the tenth to the ninetieth in a hundred, a
// thick one for the middle half, and a line at the median. The scale is that of ranks where values are far apart.

import { drawing } from "../dom.js";

const [WIDTH, HEIGHT, LEFT, RIGHT] = [420, 46, 4, 416];

export function rangeChart({ label, own, everyone, colour }) {
  const top = Math.max(own[4], everyone[4], 1e-9);
  const bottom = Math.min(0, own[0], everyone[0]);
  const x = (value) => LEFT + (Math.sqrt(Math.max(value - bottom, 0)) / Math.sqrt(top - bottom)) * (RIGHT - LEFT);
  return drawing("svg", { class: "range", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
    one(own, 12, 10, x, `var(${colour})`, "own"),
    one(everyone, 35, 6, x, "var(--everyone)", "all"));
}

function one(quantiles, y, height, x, fill, className) {
  const [low, quarter, median, threeQuarters, high] = quantiles.map(x);
  return drawing("g", { class: className },
    drawing("rect", { x: low, y: y - 1, width: Math.max(high - low, 1), height: 2, style: { fill } }),
    drawing("rect", { x: quarter, y: y - height / 2, width: Math.max(threeQuarters - quarter, 2), height, rx: 2, style: { fill } }),
    drawing("rect", { x: median - 1.5, y: y - height / 2 - 3, width: 3, height: height + 6, class: "median" }));
}
