import assert from "node:assert/strict";
import { test } from "node:test";
import { NOBODY, firstAtLeast, isMove, isOfKind, isOwn } from "../assets/model.js";
import { FIRST_DAY, LAST_DAY, document, run } from "./run.mjs";

test("a list is searched for the first value that is not smaller", () => {
  const list = [1, 3, 3, 7];
  assert.deepEqual([0, 1, 2, 3, 4, 7, 8].map((value) => firstAtLeast(list, value)), [0, 0, 1, 1, 3, 3, 4]);
  assert.equal(firstAtLeast([], 5), 0);
});

test("the run begins with the first day that anything is known of", () => {
  assert.equal(run().firstDay, FIRST_DAY);
});

test("flows are added up by ends over some days, the greatest first", () => {
  const [value] = run().segmentations;
  assert.deepEqual(value.pairs(FIRST_DAY, LAST_DAY, () => true).map(({ from, to, customers, revenue }) => [from, to, customers, revenue]), [
    [NOBODY, 1, 10, 0], [1, 2, 4, 123.45], [1, 0, 2, 50], [2, 1, 1, 7],
  ]);
  assert.equal(value.sum(20_010, 20_018, () => true).customers, 6);
  assert.equal(value.sum(FIRST_DAY, LAST_DAY, (_from, _to, cause) => !isOwn(cause)).customers, 1);
});

test("sizes follow from the flows, day by day", () => {
  const [value] = run().segmentations;
  assert.deepEqual(value.sizes(20_009, LAST_DAY).map((sizes) => [sizes[0], sizes[1], sizes.at(-1)]), [[0, 2, 2], [10, 8, 5], [0, 0, 3], [0, 0, 0]]);
});

test("what segments brought is told by day, first orders as nobody's", () => {
  const [value] = run().segmentations;
  const sums = value.trade(FIRST_DAY, LAST_DAY);
  assert.deepEqual([...sums].sort(([a], [b]) => a - b), [[NOBODY, { revenue: 10, orders: 1 }], [0, { revenue: 10, orders: 1 }], [1, { revenue: 13.5, orders: 2 }]]);
  assert.equal(value.trade(20_011, LAST_DAY).get(1).revenue, 3);
});

test("where nothing is known of sales, no segment brought anything", () => {
  const raw = document();
  delete raw.segmentations[0].trade;
  assert.equal(run(raw).segmentations[0].trade(FIRST_DAY, LAST_DAY).size, 0);
});

test("all trade of some days is in major units", () => {
  const { revenue, orders, engagements } = run().trade(20_010, LAST_DAY);
  assert.deepEqual([revenue, orders, engagements], [23.5, 3, 6]);
});

test("overlaps are told from both sides, with how many times as often as anybody", () => {
  const [value, region] = run().segmentations;
  const champions = value.overlaps(0).map(({ segmentation, index, customers, share, lift }) => [segmentation.name, index, customers, share, lift]);
  assert.deepEqual(champions, [["region", 0, 2, 1, 2.5], ["vips", 0, 2, 1, 5]]);
  assert.deepEqual(region.overlaps(0).map(({ index, customers, share }) => [index, customers, share]), [[0, 2, 0.5], [1, 2, 0.5]]);
  assert.deepEqual(value.overlaps(3), [], "nobody is there");
});

test("directions are those of the life cycle, and where there is none, none", () => {
  const [value, region] = run().segmentations;
  assert.deepEqual([[0, 2], [2, 1], [1, 1], [NOBODY, 0]].map(([from, to]) => value.direction(from, to)), ["down", "up", null, null]);
  assert.equal(region.direction(0, 1), null);
});

test("whoever falls silent step by step has lapsed once", () => {
  const [value] = run().segmentations;
  assert.equal(isOfKind(value, "lapsed", 1, "lapsed"), true);
  assert.equal(isOfKind(value, "lapsed", 2, "lapsed"), false);
  assert.equal(isOfKind(value, "returned", 2, "returned"), true);
});

test("a first entry is no move, but into an audience", () => {
  const [value, , vips] = run().segmentations;
  assert.deepEqual([isMove(value, NOBODY), isMove(value, 0), isMove(vips, NOBODY)], [false, true, true]);
});

test("nobody is called by where they are looked for", () => {
  const [value, , vips] = run().segmentations;
  assert.deepEqual([value.nameOf(NOBODY), vips.nameOf(NOBODY), value.nameOf(3)], ["first seen", "outside", "Old (former)"]);
});
