import assert from "node:assert/strict";
import { test } from "node:test";
import { addressOf, fullWeeksOf, periodOf, readAddress, weeksOf } from "../assets/state.js";
import { FIRST_DAY, LAST_DAY, run } from "./run.mjs";

function at(hash) {
  globalThis.location = { hash };
  return readAddress();
}

test("an address says the page and what is looked at", () => {
  const address = addressOf("movements", { segmentation: "value", days: 30, from: null, to: undefined, change: "" });
  assert.equal(address, "#/movements?segmentation=value&days=30");
  const { page, query } = at(address);
  assert.deepEqual([page, query.get("segmentation"), query.get("days")], ["movements", "value", "30"]);
});

test("without an address it is the first page", () => {
  assert.equal(at("").page, "overview");
});

test("ids come back as they were, whatever letters they are of", () => {
  const id = "a&b=c #ü%20";
  assert.equal(at(addressOf("customer", { id })).query.get("id"), id);
});

test("a period ends with the last day and is compared with as many days before", () => {
  const period = periodOf(run(), 7);
  assert.deepEqual([period.first, period.last, period.length], [LAST_DAY - 6, LAST_DAY, 7]);
  assert.deepEqual(period.before, { first: LAST_DAY - 13, last: LAST_DAY - 7 });
  assert.equal(period.name, "in the last 7 days");
});

test("a period that reaches back too far begins with the run and is compared with nothing", () => {
  const period = periodOf(run(), 30);
  assert.deepEqual([period.first, period.length, period.before], [FIRST_DAY, 20, null]);
  assert.equal(periodOf(run(), "all").before, null);
});

test("weeks end with the last day; whole ones lie within the run", () => {
  assert.deepEqual(weeksOf(run()), [LAST_DAY - 20, LAST_DAY - 13, LAST_DAY - 6]);
  assert.deepEqual(fullWeeksOf(run()), [LAST_DAY - 13, LAST_DAY - 6]);
});
