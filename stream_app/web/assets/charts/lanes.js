// One customer over time: a lane for each segmentation, coloured by the segment, and what was bought and done below.

import { drawing } from "../dom.js";
import { DAY_MS, dateText, dayOf, startMs } from "../format.js";
import { isNarrow } from "../state.js";

const [LANE, GAP, ACTS, AXIS] = [22, 10, 74, 26];
const WIDE = { width: 900, left: 150, tickCount: 9 };
const ACT_NAMES = { purchase: "Purchase", refund: "Refund", cancellation: "Cancellation" };
const NARROW = { width: 430, left: 100, tickCount: 4 };

// lanes: [{name, stays: [{fromMs, toMs, name, colour}]}]; acts: [{atMs, kind, amount}], null where they are not
// known; coming: [{place, atMs, name, colour}], the moves that silence makes after the end.
export function lanesChart({ label, lanes, acts, coming, fromMs, toMs: nowMs, amountText }) {
  const { width: across, left, tickCount } = isNarrow() ? NARROW : WIDE;
  const base = lanes.length * (LANE + GAP) + (acts === null ? 0 : ACTS);
  const height = base + AXIS;
  const furthest = Math.max(nowMs, ...coming.map((move) => move.atMs));
  const toMs = furthest > nowMs ? furthest + (furthest - fromMs) / 12 : nowMs;
  const span = Math.max(toMs - fromMs, DAY_MS);
  const x = (atMs) => left + ((atMs - fromMs) / span) * (across - left - 8);
  return drawing("svg", { class: "lanes", viewBox: `0 0 ${across} ${height}`, role: "img", "aria-label": label },
    ticks(fromMs, toMs, tickCount).map((day) => drawing("g", {},
      drawing("line", { x1: x(startMs(day)), x2: x(startMs(day)), y1: 0, y2: base, class: "grid" }),
      drawing("text", { x: x(startMs(day)), y: base + 18, "text-anchor": "middle", class: "faint" }, monthText(day)))),
    lanes.map((lane, place) => laneOf(lane, place * (LANE + GAP), x)),
    coming.map((move) => comingOf(move, x, nowMs, toMs)),
    coming.length ? drawing("line", { x1: x(nowMs), x2: x(nowMs), y1: 0, y2: base, class: "now" }) : null,
    acts === null ? null : drawing("text", { x: 0, y: base - ACTS / 2, "dominant-baseline": "central" }, "Purchases"),
    drawing("line", { x1: left, x2: across - 8, y1: base, y2: base, class: "axis" }),
    actsOf(acts ?? [], base, x, amountText));
}

function laneOf(lane, y, x) {
  return drawing("g", {},
    drawing("text", { x: 0, y: y + LANE / 2, "dominant-baseline": "central" }, lane.name),
    lane.stays.map((stay) => {
      const [start, width] = [x(stay.fromMs), Math.max(x(stay.toMs) - x(stay.fromMs), 1.5)];
      const fits = width > stay.name.length * 7.4 + 10;
      return drawing("g", {},
        drawing("rect", { x: start, y, width, height: LANE, class: "stay", style: { fill: `var(${stay.colour})` } },
          drawing("title", {}, `${stay.name}: ${dateText(stay.fromMs)} – ${dateText(stay.toMs)}`)),
        fits ? drawing("text", { x: start + 6, y: y + LANE / 2, "dominant-baseline": "central", class: "on-colour" }, stay.name) : null);
    }));
}

function comingOf({ place, atMs, name, colour }, x, nowMs, toMs) {
  const y = place * (LANE + GAP);
  return drawing("g", { class: "coming" },
    drawing("line", { x1: x(nowMs), x2: x(atMs), y1: y + LANE / 2, y2: y + LANE / 2, style: { stroke: `var(${colour})` } }),
    drawing("rect", { x: x(atMs), y: y + 1, width: Math.max(x(toMs) - x(atMs), 3), height: LANE - 2, style: { stroke: `var(${colour})` } },
      drawing("title", {}, `Next, if nothing happens: ${name}, ${dateText(atMs)}`)));
}

function actsOf(acts, base, x, amountText) {
  const largest = Math.max(...acts.map((act) => act.amount), 1);
  return acts.map((act) => {
    if (act.kind === "engagement") return drawing("circle", { cx: x(act.atMs), cy: base - 5, r: 3, class: "engagement" }, drawing("title", {}, `Engagement, ${dateText(act.atMs)}`));
    const size = 8 + Math.sqrt(act.amount / largest) * (ACTS - 26);
    return drawing("g", { class: act.kind },
      drawing("line", { x1: x(act.atMs), x2: x(act.atMs), y1: base, y2: base - size }),
      drawing("circle", { cx: x(act.atMs), cy: base - size, r: 4 }, drawing("title", {}, `${ACT_NAMES[act.kind]} of ${amountText(act.amount)}, ${dateText(act.atMs)}`)));
  });
}

function ticks(fromMs, toMs, most) {
  const months = Math.max(1, Math.ceil((toMs - fromMs) / DAY_MS / 30 / most));
  const found = [];
  const [end, at] = [dayOf(toMs), new Date(dayOf(fromMs) * DAY_MS)];
  at.setUTCDate(1);
  for (at.setUTCMonth(at.getUTCMonth() + 1); at.getTime() / DAY_MS < end; at.setUTCMonth(at.getUTCMonth() + months)) found.push(at.getTime() / DAY_MS);
  return found;
}

function monthText(day) {
  return new Intl.DateTimeFormat("en-GB", { month: "short", year: "2-digit", timeZone: "UTC" }).format(new Date(day * DAY_MS));
}
