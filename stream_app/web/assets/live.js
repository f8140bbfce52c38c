// Migrations as they happen: counted in the document, and kept for a feed of the latest. The stream is opened before
// the document is fetched, and each part of the document names the last migration that it counts, so none is missed
// and none counted twice, whatever arrives in between.

import { dayOf } from "./format.js";

const EVENTS_KEPT = 5_000;
const LATEST_KEPT = 200;
const RECONNECT_MS = 2_000;

export class Stream {
  // onMove(migration) for each, onState("live" | "waiting") when that changes.
  constructor(causes, { onMove, onState }) {
    this.causes = causes;
    this.onMove = onMove;
    this.onState = onState;
    this.events = [];
    this.state = "waiting";
    /** @type {EventSource | null} */
    this.source = null;
    this.open();
  }

  open() {
    const query = new URLSearchParams(this.causes.map((cause) => ["cause", cause]));
    this.source = new EventSource(`/v1/migrations/stream?${query}`);
    this.source.addEventListener("open", () => this.enter("live"));
    this.source.addEventListener("migration", (event) => this.receive(event));
    this.source.addEventListener("error", () => {
      this.enter("waiting");
      if (this.source.readyState === EventSource.CLOSED) setTimeout(() => this.open(), RECONNECT_MS);  // refused, not cut off
    });
  }

  enter(state) {
    if (state === this.state) return;
    this.state = state;
    this.onState(state);
  }

  receive(event) {
    const move = { ...JSON.parse(event.data), entryId: event.lastEventId };
    this.events.push(move);
    if (this.events.length > EVENTS_KEPT) this.events.shift();
    this.onMove(move);
  }

  // Counts in a document what came since it was made.
  catchUp(run) {
    for (const move of this.events) count(run, move);
  }
}

// The latest migrations, the newest first.
export class Latest {
  constructor() {
    this.moves = [];
  }

  add(move) {
    this.moves = [move, ...this.moves].slice(0, LATEST_KEPT);
  }

  // Adds those of before, or of when the stream was away.
  begin(moves) {
    const known = new Set(this.moves.map((move) => move.migration_id));
    this.moves = [...this.moves, ...moves.filter((move) => !known.has(move.migration_id))]
      .sort((a, b) => (isAfter(a.entryId, b.entryId) ? -1 : 1)).slice(0, LATEST_KEPT);
  }
}

// Counts a migration in the document's figures, unless they have it; returns whether the document knows its segments.
export function count(run, move) {
  const segmentation = run.segmentation(move.segmentation);
  if (!segmentation) return false;
  if (!isAfter(move.entryId, segmentation.entryId)) return true;
  const [from, to] = [move.from_segment, move.to_segment].map((end) => (end ? segmentation.indexOf(end.id) : -1));
  if ((move.from_segment && from < 0) || (move.to_segment && to < 0)) return false;
  const day = dayOf(Date.parse(move.effective_at));
  run.lastDay = Math.max(run.lastDay, day);
  run.asOfMs = Math.max(run.asOfMs, Date.parse(move.effective_at));
  const revenue = move.revenue_before === undefined ? null : Math.round(move.revenue_before * run.minorPerMajor);
  countFlow(segmentation.flows, day, [from, to, run.causes.indexOf(move.cause.kind), run.changes.indexOf(move.change)], revenue);
  if (from >= 0) resize(segmentation, from, -1);
  if (to >= 0) resize(segmentation, to, 1);
  if (segmentation === run.segmentations[0] && !segmentation.isAudience) run.customers += Number(from < 0) - Number(to < 0);
  segmentation.entryId = move.entryId;
  return true;
}

const KEYS = ["from", "to", "cause", "change"];

// The revenue is null where nobody knows it; then that of the row is not known any more.
function countFlow(flows, day, key, revenue) {
  let row = flows.day.length;
  while (row > 0 && flows.day[row - 1] > day) row -= 1;
  for (let same = row - 1; same >= 0 && flows.day[same] === day; same -= 1) {
    if (KEYS.every((name, place) => flows[name][same] === key[place])) {
      flows.customers[same] += 1;
      if (flows.revenue) flows.revenue[same] = revenue === null || flows.revenue[same] === null ? null : flows.revenue[same] + revenue;
      return;
    }
  }
  flows.day.splice(row, 0, day);
  flows.customers.splice(row, 0, 1);
  flows.revenue?.splice(row, 0, revenue);
  KEYS.forEach((name, place) => flows[name].splice(row, 0, key[place]));
}

function resize(segmentation, index, by) {
  const { id } = segmentation.segments[index];
  const members = (segmentation.members[id] ??= { id, customers: 0, revenue: null });
  members.customers += by;
  const all = Object.values(segmentation.members).reduce((sum, each) => sum + each.customers, 0);
  const total = segmentation.isAudience ? segmentation.run.customers : all;
  for (const each of Object.values(segmentation.members)) each.share = total ? each.customers / total : 0;
}

// Ids of the stream are "milliseconds-number".
function isAfter(left, right) {
  const [[leftMs, leftNumber], [rightMs, rightNumber]] = [left, right].map((id) => id.split("-").map(Number));
  return leftMs > rightMs || (leftMs === rightMs && leftNumber > rightNumber);
}
