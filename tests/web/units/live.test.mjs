import assert from "node:assert/strict";
import { test } from "node:test";
import { Latest, count } from "../assets/live.js";
import { LAST_DAY, document, run } from "./run.mjs";

const DAY_MS = 86_400_000;

// The document as a live console has it: no revenue of flows, what was there before, and what is counted already.
function live(changes = {}) {
  const raw = document(changes);
  for (const each of raw.segmentations) {
    each.entryId = "1000-5";
    each.flows.revenue = null;
    each.opening = each.segments.map(() => 3);
  }
  return run({ ...raw, days: { knownFrom: 20_010, day: [20_010], revenue: [500], orders: [1], engagements: null }, counts: null });
}

const end = (id) => (id ? { id, name: id } : null);
const move = (from, to, changes = {}) => ({
  entryId: "1000-6", migration_id: "m1", customer_id: "c1", segmentation: "value", from_segment: end(from), to_segment: end(to),
  change: "moved", cause: { kind: "purchase" }, effective_at: new Date(LAST_DAY * DAY_MS + 1).toISOString(), ...changes,
});

test("a migration is counted in sizes, members and flows", () => {
  const shown = live();
  const [value] = shown.segmentations;
  const before = value.sizes(LAST_DAY, LAST_DAY).map(([size]) => size);
  assert.equal(count(shown, move("s2", "s1")), true);
  assert.deepEqual(value.sizes(LAST_DAY, LAST_DAY).map(([size], place) => size - before[place]), [1, -1, 0, 0]);
  assert.deepEqual(["s1", "s2", "s5"].map((id) => value.members[id].customers), [3, 4, 3]);
  assert.deepEqual(["s1", "s2", "s5"].map((id) => value.members[id].share), [0.3, 0.4, 0.3]);
  assert.equal(value.sum(LAST_DAY, LAST_DAY, (from, to) => from === 1 && to === 0).customers, 1);
  assert.equal(shown.customers, 10);
});

test("a migration that the document has, or that comes twice, is not counted again", () => {
  const shown = live();
  const [value] = shown.segmentations;
  for (const entryId of ["999-9", "1000-5"]) count(shown, move("s2", "s1", { entryId }));
  assert.equal(value.members.s1.customers, 2);
  count(shown, move("s2", "s1"));
  count(shown, move("s2", "s1"));
  assert.equal(value.members.s1.customers, 3);
  count(shown, move("s2", "s1", { entryId: "1000-10" }));
  assert.equal(value.members.s1.customers, 4, "10 comes after 6, as numbers");
});

test("what customers had brought is added to their flow, and not known once somebody's is not", () => {
  const shown = live();
  const [value] = shown.segmentations;
  value.flows.revenue = value.flows.day.map(() => 100);
  const spent = () => value.sum(LAST_DAY + 1, LAST_DAY + 1, (from, to) => from === 1 && to === 0).revenue;
  const tomorrow = { effective_at: new Date((LAST_DAY + 1) * DAY_MS + 1).toISOString() };
  count(shown, move("s2", "s1", { ...tomorrow, revenue_before: 12.5 }));
  count(shown, move("s2", "s1", { ...tomorrow, revenue_before: 7.25, entryId: "1000-7" }));
  assert.equal(spent(), 19.75);
  count(shown, move("s2", "s1", { ...tomorrow, entryId: "1000-8" }));
  assert.equal(spent(), null);
  assert.equal(value.flows.revenue.length, value.flows.day.length);
});

test("days stay in order, whenever a move became true", () => {
  const shown = live();
  const [value] = shown.segmentations;
  const at = (day) => new Date(day * DAY_MS).toISOString();
  count(shown, move("s2", "s1", { effective_at: at(20_005) }));
  count(shown, move("s2", "s1", { entryId: "1000-7", effective_at: at(20_010) }));
  count(shown, move("s2", "s1", { entryId: "1000-8", effective_at: at(LAST_DAY + 2) }));
  const { day, customers, from } = value.flows;
  assert.deepEqual(day, [...day].sort((a, b) => a - b));
  assert.equal(day.length, customers.length);
  assert.equal(day.length, from.length);
  assert.equal(customers[day.indexOf(20_010)], 3, "added to those of the same day, ends and cause");
  assert.equal(shown.lastDay, LAST_DAY + 2);
});

test("whoever enters or leaves the first segmentation is a customer more or fewer", () => {
  const shown = live();
  count(shown, move(null, "s2", { change: "entered" }));
  assert.equal(shown.customers, 11);
  count(shown, move("s2", null, { entryId: "1000-7", change: "left" }));
  assert.equal(shown.customers, 10);
  count(shown, move(null, "vips", { segmentation: "vips", change: "entered" }));
  assert.equal(shown.customers, 10);
  assert.equal(shown.segmentation("vips").members.vips.share, 0.3);
});

test("segments and segmentations that the document lacks are told", () => {
  const shown = live();
  assert.equal(count(shown, move("s2", "s77")), false);
  assert.equal(count(shown, move("s2", "s1", { segmentation: "new" })), false);
  assert.equal(shown.segmentations[0].members.s2.customers, 5);
});

test("trade is told as far back as it is known", () => {
  const shown = live();
  assert.equal(shown.tradeFrom, 20_010);
  assert.equal(shown.trade(20_000, 20_009).revenue, null);
  assert.deepEqual([shown.trade(20_000, LAST_DAY).revenue, shown.trade(20_000, LAST_DAY).since], [5, 20_010]);
  assert.equal(shown.trade(20_000, LAST_DAY).engagements, null);
});

test("the latest come first, each once, and not without end", () => {
  const latest = new Latest();
  const at = (second) => ({ migration_id: `m${second}`, entryId: `${second}-0` });
  latest.add(at(5));
  latest.begin([at(5), at(3), at(4)]);
  assert.deepEqual(latest.moves.map((each) => each.migration_id), ["m5", "m4", "m3"]);
  for (let second = 10; second < 400; second += 1) latest.add(at(second));
  assert.equal(latest.moves.length, 200);
  assert.equal(latest.moves[0].migration_id, "m399");
});
