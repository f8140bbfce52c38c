// What is looked at, kept in the address: `#/movements?segmentation=value&days=30`.

import { dayText, spanText } from "./format.js";

export const PERIODS = [7, 30, 90, 365];

export function readAddress() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { page: path || "overview", query: new URLSearchParams(query ?? "") };
}

export function addressOf(page, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  return `#/${page}?${query}`;
}

// A period of days up to the last one, and as many days before it as far as there are any.
export function periodOf(run, days) {
  const length = days === "all" ? run.lastDay - run.firstDay + 1 : Number(days);
  const first = Math.max(run.lastDay - length + 1, run.firstDay);
  const before = { first: first - length, last: first - 1 };
  return {
    days: days === "all" ? "all" : length,
    length: run.lastDay - first + 1,
    first,
    last: run.lastDay,
    before: days !== "all" && before.first >= run.firstDay ? before : null,
    get text() {
      return spanText(this.first, this.last);
    },
    get name() {
      return days === "all" ? `since ${dayText(this.first)}` : `in the last ${this.length} days`;
    },
    get beforeText() {
      return this.before ? `the ${length} days before` : "";
    },
  };
}

// Whether there is room for a phone's width only.
export function isNarrow() {
  return matchMedia("(max-width: 40rem)").matches;
}

// The first days of the weeks up to the last day; the earliest may reach back before the run.
export function weeksOf(run) {
  const count = Math.floor((run.lastDay - run.firstDay) / 7) + 1;
  return Array.from({ length: count }, (_each, i) => run.lastDay - 6 - 7 * (count - 1 - i));
}

// The first days of the whole weeks up to the last day.
export function fullWeeksOf(run) {
  return weeksOf(run).filter((day) => day >= run.firstDay);
}
