// A flow diagram: segments left on the one side, segments entered on the other, a ribbon as wide as its moves.

import { drawing } from "../dom.js";
import { count } from "../format.js";
import { isNarrow } from "../state.js";

const [NODE, GAP, ROOM] = [12, 10, 300];
const WIDE = { width: 760, label: 168 };
const NARROW = { width: 430, label: 122 };

// pairs: [{from, to, customers}], the greatest first; nameOf and colourOf by index.
export function ribbons({ label, pairs, order, nameOf, colourOf }) {
  const { width: across, label: margin } = isNarrow() ? NARROW : WIDE;
  const left = ends(pairs, "from", order);
  const right = ends(pairs, "to", order);
  const total = pairs.reduce((sum, pair) => sum + pair.customers, 0) || 1;
  const gaps = Math.max(left.length, right.length) * (GAP + 10);
  const height = ROOM + gaps;
  const scale = ROOM / total;
  place(left, scale, height);
  place(right, scale, height);
  const paths = [...pairs].sort((a, b) => order(a.from) - order(b.from) || order(a.to) - order(b.to)).map((pair) => {
    const [start, end] = [left.find((e) => e.index === pair.from), right.find((e) => e.index === pair.to)];
    const width = pair.customers * scale;
    const [y1, y2] = [start.next + width / 2, end.next + width / 2];
    start.next += width;
    end.next += width;
    const [x1, x2] = [margin + NODE, across - margin - NODE];
    const middle = (x1 + x2) / 2;
    return drawing("path", {
      d: `M${x1},${y1.toFixed(1)} C${middle},${y1.toFixed(1)} ${middle},${y2.toFixed(1)} ${x2},${y2.toFixed(1)}`,
      fill: "none", "stroke-width": Math.max(width, 1).toFixed(1), class: "ribbon", style: { stroke: `var(${colourOf(pair.to)})` },
    }, drawing("title", {}, `${nameOf(pair.from)} → ${nameOf(pair.to)}: ${count(pair.customers)}`));
  });
  return drawing("svg", { class: "ribbons", viewBox: `0 0 ${across} ${height}`, role: "img", "aria-label": label },
    paths,
    left.map((end) => node(end, margin, "end", margin - 8, nameOf, colourOf)),
    right.map((end) => node(end, across - margin - NODE, "start", across - margin + 8, nameOf, colourOf)));
}

function ends(pairs, side, order) {
  const sums = new Map();
  for (const pair of pairs) sums.set(pair[side], (sums.get(pair[side]) ?? 0) + pair.customers);
  return [...sums].map(([index, customers]) => ({ index, customers, y: 0, next: 0, height: 0 })).sort((a, b) => order(a.index) - order(b.index));
}

function place(nodes, scale, height) {
  const used = nodes.reduce((sum, end) => sum + end.customers * scale, 0);
  const gap = nodes.length > 1 ? (height - used) / (nodes.length + 1) : (height - used) / 2;
  let y = gap;
  for (const end of nodes) {
    end.y = y;
    end.next = y;
    end.height = Math.max(end.customers * scale, 1.5);
    y += end.customers * scale + gap;
  }
}

function node(end, x, anchor, textX, nameOf, colourOf) {
  return drawing("g", {},
    drawing("rect", { x, y: end.y, width: NODE, height: end.height, rx: 2, style: { fill: `var(${colourOf(end.index)})` } }),
    drawing("text", { x: textX, y: end.y + end.height / 2, "text-anchor": anchor, "dominant-baseline": "central" },
      nameOf(end.index), drawing("tspan", { class: "faint", dx: 6 }, count(end.customers))));
}
