// The grid of recency and frequency: fifths of those who have ordered by how lately and how often, and what they brought.

import { element } from "../dom.js";
import { count, decimal, instantText, percent, plural } from "../format.js";
import { barList, csvButton, figure, page, section, segmentName, table, tile, tiles } from "../parts.js";
import { addressOf } from "../state.js";
import { listedText, pagedMembers } from "./members.js";

const SCORES = [1, 2, 3, 4, 5];
const GROUPS = {
  champions: "Champions", loyal: "Loyal customers", potential_loyalists: "Potential loyalists", new: "New customers", promising: "Promising",
  need_attention: "Need attention", about_to_sleep: "About to sleep", cannot_lose: "Cannot lose them", at_risk: "At risk", hibernating: "Hibernating",
};
const SEGMENTS_SHOWN = 3;

export function rfmPage(context) {
  const { run, query } = context;
  const grid = run.rfm;
  if (!grid) return page("RFM grid", element("p", {}, "There is no grid yet. Workers draw customers at every tick of learning, and buyers are counted from those; after a start, it takes a moment."));
  if (!grid.cells.length) return page("RFM grid", element("p", {}, "Nobody has ordered yet."));
  const cells = grid.cells.map((cell, place) => ({ ...cell, place, number: (cell.recency - 1) * 5 + cell.frequency - 1, revenue: cell.revenue / run.minorPerMajor }));
  const chosen = cells.find((cell) => String(cell.number) === query.get("cell"));
  const group = chosen ? null : GROUPS[query.get("group")] && query.get("group");
  return page("RFM grid", element("div", {}, element("p", { class: "headline" }, headline(run, cells)), drawnText(grid)),
    chosen || group ? cellSection(context, chosen ? [chosen] : cells.filter((cell) => cell.name === group), chosen ? cellTitle(chosen) : GROUPS[group]) : null,
    keyFigures(run, grid, cells),
    gridSection(context, grid, cells),
    groupsSection(context, cells));
}

// Where buyers are drawn at times and not counted at each moment, that is said.
function drawnText(grid) {
  if (!grid.asOfMs) return null;
  const from = grid.drawn < grid.population ? `, from ${count(grid.drawn)} of ${count(grid.population)} customers drawn by chance` : "";
  return element("p", { class: "lead" }, `Orders and revenue as of ${instantText(grid.asOfMs)}${from}: when workers last looked at all customers to learn from. In which segments they are is of now.`);
}

function total(cells, name) {
  return cells.reduce((sum, cell) => sum + cell[name], 0);
}

function headline(run, cells) {
  const best = cells.filter((cell) => cell.name === "champions");
  const risky = cells.filter((cell) => ["at_risk", "cannot_lose"].includes(cell.name));
  const customers = total(cells, "customers");
  const first = best.length
    ? `Who orders most often and has done so lately are ${percent(total(best, "customers") / customers, 0)} of the buyers, with ${percent(total(best, "revenue") / total(cells, "revenue"), 0)} of the revenue.`
    : "Nobody is among both the most frequent and the latest buyers.";
  const second = risky.length ? ` ${plural(total(risky, "customers"), "buyer")} who ordered again and again have been away for long; they had spent ${run.money(total(risky, "revenue"))}.` : "";
  return first + second;
}

function keyFigures(run, grid, cells) {
  const customers = total(cells, "customers");
  return tiles("Key figures",
    tile("Buyers", count(customers), grid.withoutOrder ? `${count(grid.withoutOrder)} more have not ordered and are not in the grid` : "everybody has ordered"),
    tile("Revenue", run.money(total(cells, "revenue")), `${run.money(total(cells, "revenue") / customers)} a buyer, in all their time`),
    tile("Orders", count(total(cells, "orders")), `${decimal(total(cells, "orders") / customers, 1)} a buyer`));
}

// Which days or orders a score stands for; null where nobody can have it, as all who might have the same as others.
function recencyText(limits, score) {
  const [from, to] = [score === 5 ? null : limits[4 - score], score === 1 ? null : limits[5 - score]];
  if (from !== null && from === to) return null;
  if (from === null) return `up to ${decimal(to, 0)} days ago`;
  if (to === null) return `more than ${decimal(from, 0)} days ago`;
  return `${decimal(from, 0)} to ${decimal(to, 0)} days ago`;
}

function frequencyText(limits, score) {
  const [above, to] = [score === 1 ? 0 : limits[score - 2], score === 5 ? null : limits[score - 1]];
  if (to !== null && to <= above) return null;
  if (to === null) return `${count(above + 1)} or more orders`;
  return above + 1 === to ? plural(to, "order") : `${count(above + 1)}–${count(to)} orders`;
}

function gridSection(context, grid, cells) {
  const { run } = context;
  const at = new Map(cells.map((cell) => [`${cell.recency}.${cell.frequency}`, cell]));
  const columns = SCORES.filter((score) => frequencyText(grid.orders, score) && cells.some((cell) => cell.frequency === score));
  const rows = [...SCORES].reverse().filter((score) => recencyText(grid.recencyDays, score) && cells.some((cell) => cell.recency === score));
  const largest = Math.max(...cells.map((cell) => cell.revenue), 1e-9);
  const revenue = total(cells, "revenue");
  const most = [...cells].sort((a, b) => b.revenue - a.revenue)[0];
  const left = SCORES.length - columns.length;
  const ties = left ? ` ${left === 1 ? "One column is" : `${left} columns are`} left out: so many have ordered equally often that nobody has ${left === 1 ? "this score" : "these scores"}.` : "";
  const caption = "Buyers by how lately (rows) and how often (columns) they have ordered";
  const gridTable = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    element("table", { class: "matrix rfm" },
      element("caption", { class: "unseen" }, caption),
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Last order"), columns.map((score) => element("th", { scope: "col" }, frequencyText(grid.orders, score), element("span", { class: "small" }, `frequency ${score}`))))),
      element("tbody", {}, rows.map((recency) => element("tr", {},
        element("th", { scope: "row" }, recencyText(grid.recencyDays, recency), element("span", { class: "small" }, `recency ${recency}`)),
        columns.map((frequency) => gridCell(context, at.get(`${recency}.${frequency}`), largest, revenue)))))));
  const listed = [
    { title: "Recency", isNumber: true, cell: (cell) => count(cell.recency), text: (cell) => cell.recency },
    { title: "Frequency", isNumber: true, cell: (cell) => count(cell.frequency), text: (cell) => cell.frequency },
    { title: "Called", cell: (cell) => GROUPS[cell.name], text: (cell) => GROUPS[cell.name] },
    { title: "Buyers", isNumber: true, cell: (cell) => count(cell.customers), text: (cell) => cell.customers },
    { title: "Orders", isNumber: true, cell: (cell) => count(cell.orders), text: (cell) => cell.orders },
    { title: `Revenue, ${run.currency}`, isNumber: true, cell: (cell) => run.money(cell.revenue), text: (cell) => cell.revenue.toFixed(run.moneyDigits) },
    { title: `In segments of ${context.segmentation.title}`, className: "words", cell: (cell) => segmentsText(context, [cell]), text: (cell) => segmentsText(context, [cell], Infinity) },
  ];
  return section("How lately, how often, how much", null, figure({
    name: "rfm-grid",
    title: "Buyers in fifths by their last order and by their orders, with their revenue in all",
    sentence: `${cellTitle(most)} bring the most: ${run.money(most.revenue)}, ${percent(most.revenue / revenue, 0)} of the revenue, by ${plural(most.customers, "buyer")}. The darker a cell, the more revenue; a cell leads to its customers.${ties}`,
    chart: gridTable,
    columns: listed,
    rows: cells,
  }));
}

function cellTitle(cell) {
  return `${GROUPS[cell.name]} (recency ${cell.recency}, frequency ${cell.frequency})`;
}

function gridCell(context, cell, largest, revenue) {
  const { run } = context;
  if (!cell) return element("td", { class: "heat empty" }, "nobody");
  const strength = Math.round(6 + 84 * Math.sqrt(Math.max(cell.revenue, 0) / largest));
  return element("td", { class: "heat", style: { "--strength": `${strength}%` } },
    element("a", { href: addressOf("rfm", { ...context.shared, cell: cell.number }) },
      element("strong", {}, GROUPS[cell.name]),
      element("span", {}, plural(cell.customers, "buyer")),
      element("span", {}, run.money(cell.revenue)),
      element("span", { class: "small" }, `${percent(revenue > 0 ? cell.revenue / revenue : 0)} of revenue`)));
}

// In which segments of the segmentation that is looked at the buyers of some cells are, the most first.
function segmentsOf({ run, segmentation }, cells) {
  const found = run.rfm.segments[run.segmentations.indexOf(segmentation)];
  const wanted = new Set(cells.map((cell) => cell.place));
  const sums = new Map();
  found.cell.forEach((place, row) => {
    if (wanted.has(place)) sums.set(found.segment[row], (sums.get(found.segment[row]) ?? 0) + found.customers[row]);
  });
  return [...sums].map(([index, customers]) => ({ index, customers })).sort((a, b) => b.customers - a.customers || a.index - b.index);
}

function segmentsText(context, cells, most = SEGMENTS_SHOWN) {
  const found = segmentsOf(context, cells);
  const all = total(cells, "customers");
  if (!found.length) return "nobody";
  const rest = found.length > most ? ` and ${found.length - most} more` : "";
  return `${found.slice(0, most).map(({ index, customers }) => `${context.segmentation.nameOf(index)} ${percent(customers / all, 0)}`).join(", ")}${rest}`;
}

function groupsSection(context, cells) {
  const { run } = context;
  const revenue = total(cells, "revenue");
  const customers = total(cells, "customers");
  const rows = Object.keys(GROUPS).map((name) => ({ name, cells: cells.filter((cell) => cell.name === name) })).filter((row) => row.cells.length)
    .map((row) => ({ ...row, customers: total(row.cells, "customers"), revenue: total(row.cells, "revenue") }));
  const columns = [
    { title: "Group", cell: (row) => element("a", { href: addressOf("rfm", { ...context.shared, group: row.name }) }, GROUPS[row.name]), text: (row) => GROUPS[row.name] },
    { title: "Buyers", isNumber: true, cell: (row) => [count(row.customers), element("span", { class: "small" }, percent(row.customers / customers))], text: (row) => row.customers },
    { title: `Revenue, ${run.currency}`, isNumber: true, cell: (row) => [run.money(row.revenue), element("span", { class: "small" }, percent(revenue > 0 ? row.revenue / revenue : 0))], text: (row) => row.revenue.toFixed(run.moneyDigits) },
    { title: "A buyer", isNumber: true, cell: (row) => run.money(row.revenue / row.customers), text: (row) => (row.revenue / row.customers).toFixed(run.moneyDigits) },
    { title: `In segments of ${context.segmentation.title}`, className: "words", cell: (row) => segmentsText(context, row.cells), text: (row) => segmentsText(context, row.cells, Infinity) },
  ];
  return section("What the cells are usually called", "Names that many teams give to parts of this grid. Your segments draw their own lines, by each customer's rhythm or by your rules; the last column says where they meet.",
    table("Groups of cells", columns, rows, { isStacked: true }),
    element("div", { class: "below" }, csvButton("rfm-groups", columns, rows)));
}

// Who is in some cells: their segments, and the list of them.
function cellSection(context, cells, title) {
  const { run, segmentation, listing } = context;
  const customers = total(cells, "customers");
  const found = segmentsOf(context, cells);
  const rows = listing.inCells(cells.map((cell) => cell.number));
  return section(title, `${plural(customers, "buyer")} with ${run.money(total(cells, "revenue"))} in ${plural(total(cells, "orders"), "order")}. ${rows.length || !context.site ? listedText(rows.length, customers) : "Each segment below leads to the list of its members; by cell they are not kept here."}`,
    found.length ? [element("h3", {}, `In segments of ${segmentation.title}`), barList(`Segments of ${title}`, found.slice(0, 8).map(({ index, customers: size }) => ({
      name: segmentName(context, segmentation, index), size, colour: segmentation.colours.get(segmentation.segments[index].id), figures: `${count(size)} · ${percent(size / customers, 0)}`,
    })))] : null,
    rows.length || !context.site ? [element("h3", {}, "Who they are"), pagedMembers(context, `Buyers: ${title}`, "rfm-cell", rows)] : null,
    element("p", {}, element("a", { href: addressOf("rfm", context.shared) }, "Close the list")));
}
