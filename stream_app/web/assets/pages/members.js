// Lists of customers, a page at a time, and as a file.

import { element } from "../dom.js";
import { NO_FIGURE, count, dayText, isoDay, plural } from "../format.js";
import { csvButton, customerLink, table } from "../parts.js";

const ROWS = 25;

// What a list of customers says, and what its file has: the file says all segments too.
export function memberColumns(context) {
  const { run } = context;
  return [
    { title: "Customer", cell: (row) => customerLink(context, row.id), text: (row) => row.id },
    { title: "Orders", isNumber: true, cell: (row) => count(row.orders), text: (row) => row.orders },
    { title: `Revenue, ${run.currency}`, isNumber: true, cell: (row) => run.money(row.revenue, true), text: (row) => row.revenue.toFixed(run.moneyDigits) },
    { title: "Last active", className: "date", cell: (row) => (row.lastDay === null ? NO_FIGURE : dayText(row.lastDay)), text: (row) => (row.lastDay === null ? "" : isoDay(row.lastDay)) },
    ...run.segmentations.map((segmentation, number) => ({
      title: segmentation.title, isInFileOnly: true,
      text: (row) => (row.segments[number] < 0 ? "" : segmentation.nameOf(row.segments[number])),
    })),
  ];
}

// How many of a list are here, and where all of them are.
export function listedText(listed, total) {
  if (listed >= total) return `All ${plural(total, "customer")}, those with the greatest revenue first.`;
  if (!listed) return "None of them is listed in this file; memberships.jsonl beside it has all of them.";
  return `The ${count(listed)} of ${count(total)} with the greatest revenue are in this file; memberships.jsonl beside it has all of them.`;
}

export function memberFile(context, name, rows, label) {
  return csvButton(name, memberColumns(context), rows, label);
}

// Customers a page at a time, and as a file.
export function pagedMembers(context, caption, name, rows) {
  return pagedTable(caption, name, memberColumns(context), rows);
}

// Rows a page at a time, and all of them as a file.
export function pagedTable(caption, name, columns, rows, form = {}) {
  const shown = columns.filter((column) => !column.isInFileOnly);
  const pages = Math.ceil(rows.length / ROWS);
  const holder = element("div", {});
  const where = element("span", { role: "status" });
  /** @type {[string, (at: number) => number][]} */
  const steps = [["First", () => 0], ["Previous", (at) => at - 1], ["Next", (at) => at + 1], ["Last", () => pages - 1]];
  const buttons = steps.map(([label, to]) => element("button", { type: "button", class: "quiet", onclick: () => show(to(now)) }, label));
  let now = 0;
  function show(at) {
    now = Math.min(Math.max(at, 0), pages - 1);
    holder.replaceChildren(table(caption, shown, rows.slice(now * ROWS, (now + 1) * ROWS), form));
    where.textContent = `${count(now * ROWS + 1)}–${count(Math.min((now + 1) * ROWS, rows.length))} of ${count(rows.length)}`;
    buttons.forEach((button, place) => button.setAttribute("aria-disabled", String(place < 2 ? now === 0 : now === pages - 1)));
  }
  if (!rows.length) return null;
  show(0);
  return [
    holder,
    element("div", { class: "below" },
      pages > 1 ? element("div", { class: "pager", role: "group", "aria-label": "Pages of the list" }, buttons, where) : null,
      csvButton(name, columns, rows, "Download CSV")),
  ];
}
