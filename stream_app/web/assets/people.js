// The customers that a report holds, unpacked when they are asked for.

import { startMs } from "./format.js";

const NUMBER_MARK = "\u0001";
const KINDS = { 0: "purchase", 1: "refund", 2: "engagement", 8: "cancellation" };

function instants(steps, start, count) {
  const found = [];
  let at = 0;
  for (let i = start; i < start + count; i += 1) {
    at += steps[i];
    found.push(at * 1000);
  }
  return found;
}

export class People {
  constructor(run) {
    this.run = run;
    this.raw = run.people;
    this.starts = running(this.raw.counts);
    this.eventStarts = running(this.raw.eventCounts.map((count) => Math.max(count, 0)));
    this.places = new Map(this.raw.ids.map((id, place) => [id, place]));
  }

  get size() {
    return this.raw.ids.length;
  }

  has(id) {
    return this.places.has(id);
  }

  // All moves of a customer, in the order in which they were made.
  moves(id) {
    const place = this.places.get(id);
    const [start, count] = [this.starts[place], this.raw.counts[place]];
    return instants(this.raw.moves.at, start, count).map((atMs, i) => this.move(start + i, atMs));
  }

  move(row, atMs) {
    const { segmentation, from, to, cause, change, version } = this.raw.moves;
    return {
      atMs,
      segmentation: this.run.segmentations[segmentation[row]],
      from: this.segmentIndex(from[row]),
      to: this.segmentIndex(to[row]),
      cause: this.run.causes[cause[row]],
      change: this.run.changes[change[row]],
      version: version[row],
      sentence: this.sentence(row),
    };
  }

  segmentIndex(number) {
    if (number < 0) return -1;
    const [segmentation, id] = this.raw.segments[number];
    return this.run.segmentations[segmentation].indexOf(id);
  }

  sentence(row) {
    const pattern = this.raw.moves.pattern[row];
    const numbers = this.raw.moves.numbers[row];
    if (pattern < 0) return numbers;
    const values = numbers.split(" ");
    return this.raw.patterns[pattern].split(NUMBER_MARK).map((part, i) => (i ? values[i - 1] + part : part)).join("");
  }

  // Purchases, refunds, cancellations and engagements, an order once and as it is now; null where the report does not
  // hold them.
  events(id) {
    const place = this.places.get(id);
    const count = this.raw.eventCounts[place];
    if (count < 0) return null;
    const start = this.eventStarts[place];
    return instants(this.raw.events.at, start, count).map((atMs, i) => ({
      atMs,
      kind: KINDS[this.raw.events.kind[start + i]],
      amount: this.raw.events.amount[start + i] / this.run.minorPerMajor,
    }));
  }

  // What silence alone leads to next, by segmentation.
  following(id) {
    return new Map(
      this.raw.next[this.places.get(id)].map(([number, atSeconds, target]) => [
        this.run.segmentations[number],
        { atMs: atSeconds * 1000, to: this.segmentIndex(target) },
      ]),
    );
  }


  // The moves of the last days of all who are not here with every move; why they were made is not told.
  recentMovers(segmentation, firstDay, test) {
    const recent = segmentation.newest?.recent;
    if (!recent || recent.firstDay > firstDay) return [];
    const [found, firstMs] = [[], startMs(firstDay)];
    let at = 0;
    recent.id.forEach((id, row) => {
      at += recent.at[row];
      if (this.has(id) || at * 1000 < firstMs) return;
      const move = { atMs: at * 1000, from: recent.from[row], to: recent.to[row], cause: this.run.causes[recent.cause[row]], change: this.run.changes[recent.change[row]], sentence: null };
      if (test(move.from, move.to, move.cause, move.change)) found.push({ id, move });
    });
    return found;
  }

  // Who made a move in some days that a test (from, to, cause, change, version) lets through.
  movers(segmentation, firstDay, lastDay, test) {
    const [firstMs, endMs] = [startMs(firstDay), startMs(lastDay + 1)];
    const found = [];
    const number = this.run.segmentations.indexOf(segmentation);
    const { segmentation: of, at } = this.raw.moves;
    this.raw.ids.forEach((id, place) => {
      let atMs = 0;
      const end = this.starts[place] + this.raw.counts[place];
      for (let row = this.starts[place]; row < end; row += 1) {
        atMs += at[row] * 1000;
        if (of[row] !== number || atMs < firstMs || atMs >= endMs) continue;
        const move = this.move(row, atMs);
        if (test(move.from, move.to, move.cause, move.change, move.version)) found.push({ id, move });
      }
    });
    return found;
  }
}

function running(counts) {
  let sum = 0;
  return counts.map((count) => {
    sum += count;
    return sum - count;
  });
}
