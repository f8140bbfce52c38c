// A share that falls over days, as steps: who is still there after so long. The marks are quartiles.

import { drawing } from "../dom.js";
import { count, percent, plural } from "../format.js";
import { isNarrow } from "../state.js";

const [HEIGHT, TOP, BOTTOM] = [210, 12, 30];
const WIDE = { width: 900, left: 62, tickCount: 10 };
const NARROW = { width: 430, left: 56, tickCount: 5 };
const SHARES = [0, 0.25, 0.5, 0.75, 1];
const STEPS = [1, 2, 5, 7, 14, 30, 60, 90, 180, 365, 730, 1825];

// days and shares are of the points of the curve; quartiles are in days, null where they are not reached.
export function curveChart({ label, days, shares, quartiles, colour }) {
  const { width: across, left, tickCount } = isNarrow() ? NARROW : WIDE;
  const longest = Math.max(days.at(-1), 1);
  const x = (day) => left + (day / longest) * (across - left - 34);
  const y = (share) => TOP + (1 - share) * (HEIGHT - TOP - BOTTOM);
  const step = STEPS.find((each) => longest / each <= tickCount) ?? Math.ceil(longest / tickCount);
  const ticks = Array.from({ length: Math.floor(longest / step) + 1 }, (_each, i) => i * step);
  const path = days.map((day, i) => (i ? `H${x(day).toFixed(1)}V${y(shares[i]).toFixed(1)}` : `M${x(day).toFixed(1)},${y(shares[i]).toFixed(1)}`)).join("");
  return drawing("svg", { class: "curve", viewBox: `0 0 ${across} ${HEIGHT}`, role: "img", "aria-label": label },
    SHARES.map((share) => drawing("g", {},
      drawing("line", { x1: left, x2: across - 34, y1: y(share), y2: y(share), class: "grid" }),
      drawing("text", { x: left - 8, y: y(share), "text-anchor": "end", "dominant-baseline": "central", class: "faint" }, percent(share, 0)))),
    ticks.map((day, place) => drawing("text", { x: x(day), y: HEIGHT - 10, "text-anchor": "middle", class: "faint" }, place === ticks.length - 1 ? plural(day, "day") : count(day))),
    quartiles.map((day, i) => (day === null ? null : drawing("line", { x1: x(day), x2: x(day), y1: y([0.75, 0.5, 0.25][i]), y2: y(0), class: "quartile" }))),
    drawing("path", { d: path, fill: "none", "stroke-width": 2.5, style: { stroke: `var(${colour})` } }));
}
