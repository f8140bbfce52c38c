// Where the members of a segment are in other segmentations and audiences, and how much more often than anybody.

import { element } from "../dom.js";
import { count, decimal, percent, plural } from "../format.js";
import { choice, csvButton, section, segmentName, table } from "../parts.js";

const LIFT_TOLD = 1.5;
const CUSTOMERS_TOLD = 20;

export function overlapSection(context, index) {
  const { run, segmentation, query } = context;
  const segment = segmentation.segments[index];
  const found = segmentation.overlaps(index);
  const others = run.segmentations.filter((each) => each !== segmentation && found.some((row) => row.segmentation === each));
  if (!others.length) return null;
  const told = CUSTOMERS_TOLD * timesOf(run);
  const most = strongest(found, told);
  const chosen = others.find((each) => each.name === query.get("with")) ?? most?.segmentation ?? others[0];
  const rows = found.filter((row) => row.segmentation === chosen).sort((a, b) => a.index - b.index);
  const columns = [
    { title: chosen.isAudience ? "Audience" : "Segment", cell: (row) => segmentName(context, chosen, row.index), text: (row) => chosen.nameOf(row.index) },
    { title: "Members also there", isNumber: true, cell: (row) => count(row.customers), text: (row) => row.customers },
    { title: `Share of ${segment.name}`, isNumber: true, cell: (row) => percent(row.share), text: (row) => row.share },
    { title: "Against anybody", className: "words", cell: (row) => liftText(row.lift), text: (row) => row.lift },
  ];
  return section("Who else they are", `${sentence(segment, most)}${drawnText(run)}`,
    choice("Compared with", chosen.name, others.map((each) => ({ value: each.name, name: each.isAudience ? `${each.title} (audience)` : each.title })),
      (name) => context.go("segment", { segment: segment.id, with: name })),
    table(`Members of ${segment.name} in ${chosen.title}`, columns, rows, { isStacked: true }),
    element("div", { class: "below" }, csvButton(`overlap-${segmentation.name}-${segment.id}-${chosen.name}`, columns, rows)),
    matrix(context, chosen));
}

function liftText(lift) {
  if (lift > 1.05) return `${decimal(lift, lift < 10 ? 1 : 0)} times as often`;
  if (lift < 0.95) return `${decimal(lift * 100, 0)} % as often`;
  return "as often";
}

// How many customers each of those who were looked at stands for.
function timesOf({ drawn }) {
  return drawn && drawn.customers < drawn.of ? drawn.of / drawn.customers : 1;
}

function drawnText({ drawn }) {
  return drawn && drawn.customers < drawn.of ? ` Counted from ${count(drawn.customers)} customers drawn by chance, so a number may be off by one percent of all customers.` : "";
}

// Where members are in another segment the most times as often as anybody, among those with enough customers to say so.
function strongest(found, told) {
  return found.filter((row) => row.customers >= told && row.lift >= LIFT_TOLD).sort((a, b) => b.lift - a.lift)[0];
}

function sentence(segment, most) {
  const base = "Customers are in one segment of each segmentation, and in any number of audiences.";
  if (!most) return base;
  return `${count(most.customers)} members of ${segment.name} (${percent(most.share)}) are also in ${most.segmentation.nameOf(most.index)} of ${most.segmentation.title}, ${decimal(most.lift, 1)} times as often as anybody. ${base}`;
}

// All segments of the one segmentation against all of the other: how many are in both, and the lift.
function matrix(context, other) {
  const { segmentation } = context;
  if (segmentation.segments.length < 2) return null;
  const rows = segmentation.segments.map((_segment, index) => ({ index, cells: new Map(segmentation.overlaps(index).filter((row) => row.segmentation === other).map((row) => [row.index, row])) })).filter((row) => row.cells.size);
  const ends = other.segments.map((_segment, index) => index).filter((index) => rows.some((row) => row.cells.has(index)));
  const caption = `Customers in a segment of ${segmentation.title} (row) and of ${other.title} (column)`;
  const cell = (found) => {
    if (!found) return element("td", { class: "heat empty" }, "·");
    const strength = Math.round(Math.min(Math.max(found.lift - 0.5, 0) / 3, 1) * 85);
    return element("td", { class: "heat pair", style: { "--strength": `${strength}%` } }, count(found.customers), element("span", { class: "small" }, `×\u2009${decimal(found.lift, 1)}`));
  };
  const most = rows.flatMap((row) => [...row.cells.values()].map((found) => ({ ...found, from: row.index }))).filter((found) => found.customers >= CUSTOMERS_TOLD * timesOf(context.run)).sort((a, b) => b.lift - a.lift)[0];
  const strongest = most ? ` The highest: ${segmentation.nameOf(most.from)} and ${other.nameOf(most.index)}, ${decimal(most.lift, 1)} times, ${plural(most.customers, "customer")}.` : "";
  const columns = [
    { title: segmentation.title, text: (row) => segmentation.nameOf(row.index) },
    ...ends.flatMap((index) => [
      { title: other.nameOf(index), text: (row) => row.cells.get(index)?.customers ?? 0 },
      { title: `${other.nameOf(index)}, lift`, text: (row) => row.cells.get(index)?.lift ?? 0 },
    ]),
  ];
  return element("details", { class: "matrix-fold" },
    element("summary", {}, `All segments of ${segmentation.title} against ${other.title}`),
    element("p", { class: "lead" }, `Customers in both, and the lift: how many times as often as if they had nothing to do with each other. The darker, the higher the lift.${strongest}`),
    element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      element("table", { class: "matrix" },
        element("caption", { class: "unseen" }, caption),
        element("thead", {}, element("tr", {}, element("th", { scope: "col" }, segmentation.title), ends.map((index) => element("th", { scope: "col" }, other.nameOf(index))))),
        element("tbody", {}, rows.map((row) => element("tr", {}, element("th", { scope: "row" }, segmentName(context, segmentation, row.index)), ends.map((index) => cell(row.cells.get(index)))))))),
    element("div", { class: "below" }, csvButton(`overlaps-${segmentation.name}-${other.name}`, columns, rows)));
}
