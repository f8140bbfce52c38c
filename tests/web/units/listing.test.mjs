import assert from "node:assert/strict";
import { test } from "node:test";
import { Listing } from "../assets/listing.js";
import { run } from "./run.mjs";

const ids = (rows) => rows.map((row) => row.id);

test("members are listed by revenue, equal ones in the order of ids", () => {
  const pages = run();
  const listing = new Listing(pages);
  assert.deepEqual(ids(listing.members(pages.segmentations[0], 1)), ["ab", "b"]);
  assert.deepEqual(ids(listing.members(pages.segmentations[1], 0)), ["ab", "a"]);
  assert.deepEqual(ids(listing.members(pages.segmentations[2], 0)), ["ab", "a"]);
});

test("a customer is told in major units, with all segments", () => {
  const listing = new Listing(run());
  const row = listing.of("b");
  assert.deepEqual([row.orders, row.revenue, row.lastDay], [3, 9, 20_019]);
  assert.deepEqual(listing.segmentsOf(row).map(([segmentation, index]) => [segmentation.name, index]), [["value", 1], ["region", 1]]);
  assert.equal(listing.of("z"), null);
});

test("buyers of a cell are found by its number", () => {
  const listing = new Listing(run());
  assert.deepEqual(ids(listing.inCells([24])), ["ab", "b"]);
  assert.deepEqual(ids(listing.inCells([0, 24])), ["ab", "b", "a"]);
});

test("ids are found by how they begin", () => {
  const listing = new Listing(run());
  assert.deepEqual(listing.startingWith("a", 9), ["a", "ab"]);
  assert.deepEqual(listing.startingWith("a", 1), ["a"]);
});

test("a document without a list lists nobody", () => {
  const pages = run({ listed: undefined });
  const listing = new Listing(pages);
  assert.deepEqual([listing.size, listing.isComplete, listing.of("a")], [0, false, null]);
  assert.deepEqual(listing.members(pages.segmentations[0], 0), []);
});
