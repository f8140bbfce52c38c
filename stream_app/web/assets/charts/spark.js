// A line as small as a word: how a size went. It stands beside its figures, which say the same.

import { drawing } from "../dom.js";

const [WIDTH, HEIGHT] = [96, 26];

export function sparkLine(values, colour) {
  const top = Math.max(...values, 1);
  const bottom = Math.min(...values, top);
  const range = Math.max(top - bottom, 1);
  const x = (i) => 2 + (i / Math.max(values.length - 1, 1)) * (WIDTH - 8);
  const y = (value) => HEIGHT - 4 - ((value - bottom) / range) * (HEIGHT - 8);
  const points = values.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  const last = values.length - 1;
  return drawing("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, "aria-hidden": "true" },
    drawing("polyline", { points, fill: "none", style: { stroke: `var(${colour})` }, "stroke-width": 2, "stroke-linejoin": "round" }),
    drawing("circle", { cx: x(last), cy: y(values[last] ?? 0), r: 3, style: { fill: `var(${colour})` } }));
}
