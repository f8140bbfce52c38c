// The document that pages draw from, with the questions that they ask of it.

import { segmentColours } from "./colours.js";
import { moneyForm, setTimeZone } from "./format.js";

export const VERSION_CAUSES = ["model", "definition"];
export const NOBODY = -1;

// Sums of flows: how many moves, and the revenue of those who moved, in major units; null where nobody knows it of all.
function nothingMoved(flows) {
  return { customers: 0, revenue: flows.revenue ? 0 : null };
}

export class Segmentation {
  // Of the document, as all that is read of it below.
  /** @type {any[]} */ segments;
  /** @type {Record<string, any>} */ flows;
  /** @type {Record<string, any>} */ members;
  /** @type {number[]} */ opening;

  constructor(raw, run) {
    const { trade, ...rest } = raw;
    Object.assign(this, rest);
    this.sales = trade;
    this.run = run;
    this.isAudience = raw.kind === "audience";
    this.colours = segmentColours(raw.kind, raw.segments);
    this.hasLevels = raw.segments.some((segment) => segment.level !== null && segment.level !== 0);
    this.present = raw.segments.filter((segment) => !segment.former);
  }

  segment(index) {
    return index === NOBODY ? null : this.segments[index];
  }

  indexOf(id) {
    return this.segments.findIndex((segment) => segment.id === id);
  }

  nameOf(index) {
    if (index === NOBODY) return this.isAudience ? "outside" : "first seen";
    const segment = this.segments[index];
    return segment.former ? `${segment.name} (former)` : segment.name;
  }

  // What holds of everybody in a segment, in words.
  meaningOf(index) {
    const { means } = this.segments[index];
    return means === "otherwise" ? "none of the other conditions holds" : (means ?? "");
  }

  // Calls with (row, from, to, cause, change) for every flow of the days, both included.
  each(first, last, visit) {
    const { day, from, to, cause, change } = this.flows;
    let row = firstAtLeast(day, first);
    for (; row < day.length && day[row] <= last; row += 1) {
      visit(row, from[row], to[row], this.run.causes[cause[row]], this.run.changes[change[row]]);
    }
  }

  add(sum, row) {
    sum.customers += this.flows.customers[row];
    const revenue = this.flows.revenue?.[row] ?? null;
    sum.revenue = revenue === null || sum.revenue === null ? null : sum.revenue + revenue / this.run.minorPerMajor;
  }

  // Sums of the flows of some days that a test (from, to, cause, change) lets through.
  sum(first, last, test) {
    const sum = nothingMoved(this.flows);
    this.each(first, last, (row, ...flow) => {
      if (test(...flow)) this.add(sum, row);
    });
    return sum;
  }

  // Flows of some days between two ends, the greatest first.
  pairs(first, last, test) {
    const pairs = new Map();
    this.each(first, last, (row, from, to, ...why) => {
      if (!test(from, to, ...why)) return;
      const key = `${from}>${to}`;
      if (!pairs.has(key)) pairs.set(key, { from, to, ...nothingMoved(this.flows) });
      this.add(pairs.get(key), row);
    });
    return [...pairs.values()].sort((a, b) => b.customers - a.customers || a.from - b.from || a.to - b.to);
  }

  // Sizes of all segments at the end of each of the days, one array a segment.
  sizes(first, last) {
    const now = this.segments.map((_segment, index) => this.opening?.[index] ?? 0);
    const sizes = now.map(() => new Array(last - first + 1).fill(0));
    const { day, from, to, customers } = this.flows;
    let row = 0;
    for (let today = first; today <= last; today += 1) {
      for (; row < day.length && day[row] <= today; row += 1) {
        if (from[row] !== NOBODY) now[from[row]] -= customers[row];
        if (to[row] !== NOBODY) now[to[row]] += customers[row];
      }
      now.forEach((size, index) => { sizes[index][today - first] = size; });
    }
    return sizes;
  }

  // What came of the members of each segment in some days, in major units and by place; NOBODY's are first orders.
  // Nothing where it is not known, see `sales`.
  trade(first, last) {
    const sums = new Map();
    if (!this.sales) return sums;
    const { day, segment, revenue, orders } = this.sales;
    for (let row = firstAtLeast(day, first); row < day.length && day[row] <= last; row += 1) {
      if (!sums.has(segment[row])) sums.set(segment[row], { revenue: 0, orders: 0 });
      const sum = sums.get(segment[row]);
      sum.revenue += revenue[row] / this.run.minorPerMajor;
      sum.orders += orders[row];
    }
    return sums;
  }

  // With whom members of a segment are shared: each segment of the other segmentations with members of this one, the
  // share of this one's that they are, and lift: how many times as often a member is there as anybody is.
  overlaps(index) {
    const number = this.run.segmentations.indexOf(this);
    const own = this.members[this.segments[index].id]?.customers;
    if (!own) return [];
    return (this.run.overlaps ?? []).flatMap((pair) => {
      if (pair.of !== number && pair.with !== number) return [];
      const [mine, theirs, at] = pair.of === number ? [pair.segment, pair.other, pair.with] : [pair.other, pair.segment, pair.of];
      const other = this.run.segmentations[at];
      return mine.flatMap((place, row) => {
        if (place !== index) return [];
        const customers = pair.customers[row];
        const there = other.members[other.segments[theirs[row]].id]?.customers;
        if (!there) return [];  // they have left since it was counted
        const expected = (there / this.run.customers) * own;
        return [{ segmentation: other, index: theirs[row], customers, share: Math.min(customers / own, 1), lift: customers / expected }];
      });
    });
  }

  level(index) {
    return index === NOBODY ? null : (this.segments[index].level ?? 0);
  }

  // "up", "down" or null: where a customer's own move leads in the life cycle.
  direction(from, to) {
    if (!this.hasLevels || from === NOBODY || to === NOBODY) return null;
    const difference = this.level(to) - this.level(from);
    return difference > 0 ? "up" : difference < 0 ? "down" : null;
  }
}

export class Run {
  // Of the document, as all that is read of it below.
  /** @type {number} */ lastDay;
  /** @type {Record<string, any>} */ days;

  constructor(raw) {
    Object.assign(this, raw);
    setTimeZone(raw.timezone);
    this.minorPerMajor = 10 ** raw.moneyDigits;
    this.money = moneyForm(raw.currency, raw.moneyDigits);
    const starts = raw.segmentations.map((each) => each.flows.day[0]).concat(raw.days.day[0]);
    this.firstDay = Math.min(this.lastDay, ...starts.filter((day) => day !== undefined));
    this.segmentations = raw.segmentations.map((each) => new Segmentation(each, this));
    const { knownFrom } = raw.days;
    this.tradeFrom = knownFrom === undefined ? this.firstDay : knownFrom;
  }

  // What words make of an amount; nothing where it is not known.
  ifKnown(amount, words) {
    return amount === null || amount === undefined ? "" : words(this.money(amount));
  }

  segmentation(name) {
    return this.segmentations.find((each) => each.name === name);
  }

  // Revenue in major units, orders and engagements of some days, as far back as they are known; null where they are not.
  trade(first, last) {
    const isKnown = this.tradeFrom !== null && this.tradeFrom <= last;
    const sum = { revenue: isKnown ? 0 : null, orders: isKnown ? 0 : null, engagements: this.days.engagements ? 0 : null, since: Math.max(first, this.tradeFrom) };
    if (!isKnown) return sum;
    const { day, revenue, orders, engagements } = this.days;
    for (let row = firstAtLeast(day, first); row < day.length && day[row] <= last; row += 1) {
      sum.revenue += revenue[row] / this.minorPerMajor;
      sum.orders += orders[row];
      if (engagements) sum.engagements += engagements[row];
    }
    return sum;
  }
}

// Where the first value that is not smaller stands in an ascending list.
export function firstAtLeast(ascending, value) {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function isOwn(cause) {
  return !VERSION_CAUSES.includes(cause);
}

// Whether a move is of a kind. Those who fall silent step by step lapse once: with the step out of good standing.
export function isOfKind(segmentation, kind, from, change) {
  if (kind === "lapsed") return change === "lapsed" && segmentation.level(from) >= 0;
  return change === kind;
}

// A first entry is no move; of an audience it is one.
export function isMove(segmentation, from) {
  return from !== NOBODY || segmentation.isAudience;
}

// Decompresses the document that a file carries.
export async function readContent(text) {
  const packed = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Run(await new Response(stream).json());
}
