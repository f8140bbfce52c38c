// What pages are put together from: figures with their table and file, tiles, names of segments, tables.

import { DASHES } from "./colours.js";
import { download, drawing, element, freshId } from "./dom.js";
import { instantText } from "./format.js";
import { addressOf } from "./state.js";

// A segment's name beside a patch of its colour; leads to its page unless told otherwise.
export function segmentName(context, segmentation, index, isLink = true) {
  const name = segmentation.nameOf(index);
  const segment = segmentation.segment(index);
  if (!segment) return element("span", { class: "segment none" }, patch(null), name);
  const colour = segmentation.colours.get(segment.id);
  if (!isLink) return element("span", { class: "segment" }, patch(colour), name);
  const href = addressOf("segment", { ...context.shared, segmentation: segmentation.name, segment: segment.id });
  return element("a", { class: "segment", href }, patch(colour), name);
}

export function patch(colour) {
  return element("span", { class: "patch", "aria-hidden": "true", style: colour ? { background: `var(${colour})` } : {} });
}

export function customerLink(context, id) {
  if (!context.site && !context.people.has(id) && !context.listing.has(id)) return element("span", { class: "id" }, id);
  return element("a", { class: "id", href: addressOf("customer", { ...context.shared, id }) }, id);
}

// A number worth a look, with what it means and how it was before.
export function tile(title, value, meaning, change) {
  return element("div", { class: "tile" },
    element("dt", {}, title),
    element("dd", { class: "value" }, value),
    change ? element("dd", { class: `change ${change.tone ?? ""}` }, change.text) : null,
    element("dd", { class: "meaning" }, meaning));
}

export function tiles(label, ...children) {
  return element("dl", { class: "tiles", "aria-label": label }, children);
}

export function page(title, lead, ...children) {
  return [element("header", { class: "page-head" }, element("h1", { tabindex: "-1" }, title), lead), ...children];
}

export function section(title, lead, ...children) {
  const id = freshId("section");
  return element("section", { class: "card", "aria-labelledby": id },
    element("h2", { id }, title),
    lead ? element("p", { class: "lead" }, lead) : null,
    children);
}

// Columns are {title, isNumber, cell(row), text(row)}: what is shown, and what stands in a file. Stacked tables show
// each row as a card where there is room for a phone's width only; roles are named, as they are lost otherwise.
export function table(caption, columns, rows, { isCompact = false, isStacked = false } = {}) {
  const head = columns.map(({ title, isNumber }) => element("th", { scope: "col", role: "columnheader", class: isNumber ? "number" : null }, title));
  const body = rows.map((row) => element("tr", { role: "row" }, columns.map((column, place) => tableCell(column, row, place))));
  const grid = element("table", { role: "table", class: [isCompact ? "compact" : "", isStacked ? "stacked" : ""].join(" ").trim() || null },
    element("caption", { class: "unseen" }, caption),
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, head)),
    element("tbody", { role: "rowgroup" }, body));
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, grid);
}

function tableCell(column, row, place) {
  const content = column.cell(row);
  const classes = [column.isNumber ? "number" : null, column.className].filter(Boolean).join(" ") || null;
  return place === 0
    ? element("th", { scope: "row", role: "rowheader", class: classes }, content)
    : element("td", { role: "cell", class: classes, "data-title": column.title }, element("div", {}, content));
}

function csvText(columns, rows) {
  const quoted = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;  // no formula of a sheet
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const lines = [columns.map((column) => quoted(column.title)), ...rows.map((row) => columns.map((column) => quoted(column.text(row))))];
  return `${lines.map((line) => line.join(",")).join("\r\n")}\r\n`;
}

export function csvButton(name, columns, rows, label = "Download CSV") {
  return element("button", { type: "button", class: "quiet", onclick: () => download(`${name}.csv`, csvText(columns, rows)) },
    label, element("span", { class: "unseen" }, ` of ${name.replaceAll("-", " ")}`));
}

// A chart with a sentence that says what it shows, its table behind a fold, and its file.
export function figure({ name, title, sentence, chart, legend = null, columns, rows }) {
  const id = freshId("figure");
  return element("figure", { class: "chart", "aria-labelledby": id },
    element("figcaption", { id }, title ? element("strong", {}, `${title}. `) : null, sentence),
    legend,
    chart,
    element("div", { class: "below" },
      element("details", {}, element("summary", {}, "Show as a table"), table(`${title ?? name}, as a table`, columns, rows, { isCompact: true })),
      csvButton(name, columns, rows)));
}

// In the order in which areas and bars lie upon each other.
export function legendOf(entries) {
  const order = entries.length > 1 ? element("li", { class: "faint" }, "from top to bottom:") : null;
  return element("ul", { class: "legend" }, order, entries.map(({ colour, name }) => element("li", {}, patch(colour), name)));
}

// Of lines, each with a piece of it.
export function lineLegendOf(entries) {
  return element("ul", { class: "legend" }, entries.map(({ colour, name }, place) => element("li", {},
    drawing("svg", { width: 26, height: 8, "aria-hidden": "true" }, drawing("line", {
      x1: 0, x2: 26, y1: 4, y2: 4, "stroke-width": 2.5, "stroke-dasharray": DASHES[place % DASHES.length].join(" "), style: { stroke: `var(${colour})` },
    })), name)));
}

// A bar as long as a share of the longest, with its figures beside it.
export function barList(label, rows) {
  const longest = Math.max(...rows.map((row) => row.size), 1);
  return element("ul", { class: "bars", "aria-label": label }, rows.map((row) => element("li", {},
    element("span", { class: "bar-name" }, row.name),
    element("span", { class: "track", "aria-hidden": "true" },
      element("span", { class: "bar", style: { width: `${(row.size / longest) * 100}%`, background: `var(${row.colour ?? "--accent"})` } })),
    element("span", { class: "bar-figures" }, row.figures))));
}

export function choice(label, value, options, onchange) {
  const id = freshId("choice");
  return element("div", { class: "choice" },
    element("label", { for: id }, label),
    element("select", { id, onchange: (event) => onchange(event.target.value) },
      options.map((option) => element("option", { value: option.value, selected: option.value === value }, option.name))));
}

// What to do with a segment's customers, and who has put it in place of the definition's.
export function actionText(segment) {
  const { action, edit } = segment;
  if (!action) return null;
  return element("p", { class: "action" }, element("strong", {}, "What to do: "), action,
    edit ? element("span", { class: "small" }, `By ${edit.edited_by}, ${instantText(Date.parse(edit.edited_at))}; ${edit.default ? `the definition says: ${edit.default}` : "the definition says nothing"}`) : null);
}
